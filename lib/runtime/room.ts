/** Where a container is put: into namespaces, or, where there are none and the caller accepts that, into a sandbox. */
import type { ContainerOptions } from '../options.js'
import { type Assembled, type AssembleInput, assemble } from './assemble.js'
import { type ChosenNamespaces, chooseNamespaces } from './choose-namespaces.js'
import { checkTier, type Tier } from './isolation.js'
import type { Owner } from './owner.js'
import { makeSandbox } from './sandbox.js'
import { assembleSandbox } from './sandbox-workload.js'
import type { Workload } from './workload.js'

/** What a workload is kept apart by. */
export function tierOf({ sandbox }: Pick<Workload, 'sandbox'>): Tier {
  return sandbox ? 'landlock' : 'namespaces'
}

export interface Room {
  /** `options`: instead of those that it was taken for. */
  assemble(input: Omit<AssembleInput, 'namespaces' | 'owner' | 'options'> & { options?: ContainerOptions }): Assembled
  /** Of a sandbox there are none. */
  namespaces?: ChosenNamespaces
  /** Gives back what was made or taken for it, when its programs have ended. */
  close(): Promise<void>
}

/** `close()` must be called, whatever comes after. */
export async function takeRoom(owner: Owner, options: ContainerOptions): Promise<Room> {
  const { isolation } = owner
  checkTier(isolation, options.security?.require)
  if (isolation.tier === 'landlock') {
    const sandbox = await makeSandbox(owner)
    return {
      assemble: (input) => assembleSandbox({ options, ...input, owner }, sandbox),
      close: () => sandbox.close(),
    }
  }
  const namespaces = await chooseNamespaces(options, isolation)
  return {
    assemble: (input) =>
      assemble({ options, ...input, owner, namespaces, copied: input.copied || isolation.layers === 'copy' }),
    namespaces,
    close: async () => namespaces.close(),
  }
}

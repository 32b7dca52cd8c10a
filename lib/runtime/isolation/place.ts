/** Where a container is put: into namespaces, or, where there are none and the caller accepts that, into a sandbox. */
import type { ContainerOptions } from '../../options.js'
import { type Assembled, type AssembleInput, assemble } from '../options/assemble.js'
import { type ChosenNamespaces, chooseNamespaces } from '../options/choose-namespaces.js'
import type { Workload } from '../options/workload.js'
import type { Owner } from '../process/owner.js'
import { checkTier, type Tier } from './isolation.js'
import { makeSandbox } from './sandbox.js'
import { assembleSandbox } from './sandbox-workload.js'

/** What a workload is kept apart by. */
export function tierOf({ sandbox }: Pick<Workload, 'sandbox'>): Tier {
  return sandbox ? 'landlock' : 'namespaces'
}

export interface Place {
  /** `options`: instead of those that it was taken for. */
  assemble(input: Omit<AssembleInput, 'namespaces' | 'owner' | 'options'> & { options?: ContainerOptions }): Assembled
  /** Of a sandbox there are none. */
  namespaces?: ChosenNamespaces
  /** Gives back what was made or taken for it, when its programs have ended. */
  close(): Promise<void>
}

/** `close()` must be called, whatever comes after. */
export async function takePlace(owner: Owner, options: ContainerOptions): Promise<Place> {
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

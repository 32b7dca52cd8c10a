/** Where a cache lies that several machines or builds share, as the builder sees it; and the first of such places. */
import { parseReference, type Reference } from '../reference/parse.js'
import { RegistryClient } from '../registry/client.js'
import type { Auth } from '../registry/credentials.js'
import { obtain } from '../registry/obtain.js'
import { PartProgress } from '../registry/progress.js'
import { pushFrom } from '../registry/push.js'
import type { Descriptor } from '../spec/descriptor.js'
import type { Workspace } from './workspace.js'

export interface CachePlace extends Disposable {
  /** For people. */
  readonly name: string
  /** What is there; undefined: nothing yet. */
  manifest(): Promise<{ bytes: Buffer; descriptor: Descriptor } | undefined>
  /** Afterwards the store has this content, verified; false: the place does not have it any more. */
  bring(descriptor: Descriptor): Promise<boolean>
  /** Puts what is in the store in place of what is there. `parts`: what the manifest names. */
  send(manifest: Descriptor, parts: readonly Descriptor[]): Promise<void>
}

/** A name in a registry. */
export class RegistryPlace implements CachePlace {
  readonly name: string
  readonly #space: Workspace
  readonly #client: RegistryClient
  readonly #reference: Reference

  constructor(space: Workspace, name: string, auth: Auth | undefined) {
    this.name = name
    this.#space = space
    this.#reference = parseReference(name)
    this.#client = new RegistryClient({ auth })
  }

  async manifest(): Promise<{ bytes: Buffer; descriptor: Descriptor } | undefined> {
    const { signal } = this.#space
    return unlessMissing(this.#client.resolve(this.#reference, { signal }).then(({ manifest }) => manifest))
  }

  async bring(descriptor: Descriptor): Promise<boolean> {
    const { roots, lease, signal } = this.#space
    const progress = new PartProgress(descriptor, 'layer', undefined)
    const wanted = { client: this.#client, reference: this.#reference, descriptor, progress, lease, signal }
    const brought = obtain({ store: roots.store, ...wanted }, () => undefined)
    return (await unlessMissing(brought)) !== undefined
  }

  async send(manifest: Descriptor): Promise<void> {
    const { roots, signal } = this.#space
    await pushFrom(roots.store, this.#client, this.#reference, manifest, { signal })
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }
}

function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error) => {
    if ((error as { code?: string }).code === 'ERR_CAISSON_IMAGE_NOT_FOUND') return undefined
    throw error
  })
}

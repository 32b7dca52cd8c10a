/**
 * Names of images: the entries of index.json. One without a name is an image whose name was given to another one; it
 * stays until it is removed or pruned.
 */
import { readFile, stat } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { CaissonError } from '../errors.js'
import type { Descriptor } from '../spec/descriptor.js'
import { parseDigest } from '../spec/digest.js'
import { type IndexDocument, parseIndex } from '../spec/index-document.js'
import { damaged, storeError } from './failure.js'
import { writeWhole } from './files.js'
import type { Layout } from './layout.js'
import { withLock } from './lock.js'

/** OCI's key for the name; skopeo and umoci read it. */
export const NAME_KEY = 'org.opencontainers.image.ref.name'
/** The full name once more, where containerd looks for it. */
const CONTAINERD_KEY = 'io.containerd.image.name'

/** Ours alone can be larger than a stranger's document. */
const BOUNDS = { bytes: 64 * 1024 * 1024, depth: 64 }
const ENTRIES_MAX = 1_000_000

export interface Ref {
  /** undefined: an image without a name. */
  name?: string
  descriptor: Descriptor
}

export class Refs {
  readonly #layout: Layout
  #known: { version: string; index: IndexDocument } | undefined

  constructor(layout: Layout) {
    this.#layout = layout
  }

  async list(): Promise<Ref[]> {
    return (await this.#read()).manifests.map((descriptor) => {
      const { annotations: { [NAME_KEY]: name, [CONTAINERD_KEY]: _, ...others } = {}, ...rest } = descriptor
      const plain = Object.keys(others).length > 0 ? { ...rest, annotations: others } : rest
      return name === undefined ? { descriptor: plain } : { name, descriptor: plain }
    })
  }

  async get(name: string): Promise<Descriptor | undefined> {
    return (await this.list()).find((ref) => ref.name === name)?.descriptor
  }

  /**
   * Gives a name, in one step. What had it before stays as an image without a name, unless it has another one.
   * `has` says whether the store holds the content: a name never leads to nothing.
   */
  async set(name: string, descriptor: Descriptor, has: (digest: string) => Promise<boolean>): Promise<void> {
    checkName(name)
    parseDigest(descriptor.digest)
    await this.#change(async (refs) => {
      if (!(await has(descriptor.digest)))
        throw damaged(`${descriptor.digest} is not there, so ${name} cannot be its name`, 'Store the content first.')
      const before = refs.find((ref) => ref.name === name)
      if (before && isDeepStrictEqual(before.descriptor, descriptor)) return undefined
      const others = refs.filter((ref) => ref !== before)
      const unnamed = (ref: Ref) => ref.name === undefined && ref.descriptor.digest === descriptor.digest
      const kept = others.filter((ref) => !unnamed(ref))
      const { digest } = before?.descriptor ?? descriptor
      if (before && digest !== descriptor.digest && !kept.some((ref) => ref.descriptor.digest === digest))
        kept.push({ descriptor: before.descriptor })
      return [...kept, { name, descriptor }]
    })
  }

  /** Keeps an image that has no name. Nothing to do when it is there. */
  async keep(descriptor: Descriptor): Promise<void> {
    parseDigest(descriptor.digest)
    await this.#change(async (refs) =>
      refs.some((ref) => ref.descriptor.digest === descriptor.digest) ? undefined : [...refs, { descriptor }],
    )
  }

  /** Whether there was such a name. The image itself goes with its last name, at the next collection. */
  async delete(name: string): Promise<boolean> {
    return this.#change(async (refs) => {
      const kept = refs.filter((ref) => ref.name !== name)
      return kept.length === refs.length ? undefined : kept
    })
  }

  /** Removes an image with all its names. */
  async deleteImage(digest: string): Promise<boolean> {
    return this.#change(async (refs) => {
      const kept = refs.filter((ref) => ref.descriptor.digest !== digest)
      return kept.length === refs.length ? undefined : kept
    })
  }

  async #change(change: (refs: Ref[]) => Promise<Ref[] | undefined>): Promise<boolean> {
    return withLock(this.#layout.collectLock, false, () =>
      withLock(this.#layout.indexLock, true, async () => {
        const refs = await change(await this.list())
        if (refs === undefined) return false
        const manifests = refs.map(({ name, descriptor }) => ({
          ...descriptor,
          ...(name === undefined
            ? {}
            : { annotations: { ...descriptor.annotations, [NAME_KEY]: name, [CONTAINERD_KEY]: name } }),
        }))
        const index = { ...(await this.#read()), manifests }
        await writeWhole(this.#layout.index, `${JSON.stringify(index)}\n`, this.#layout.ingest)
        return true
      }),
    ).catch((error) => {
      throw storeError(error, 'index.json cannot be written')
    })
  }

  async #read(): Promise<IndexDocument> {
    try {
      const status = await stat(this.#layout.index, { bigint: true })
      const version = `${status.ino}:${status.size}:${status.mtimeNs}`
      if (this.#known?.version === version) return this.#known.index
      const bytes = await readFile(this.#layout.index)
      const index = parseIndex(bytes, undefined, { bounds: BOUNDS, entries: ENTRIES_MAX })
      this.#known = { version, index }
      return index
    } catch (error) {
      if (error instanceof CaissonError)
        throw damaged(`index.json: ${error.message}`, 'Remove the file and pull the images again; blobs are kept.')
      throw storeError(error, 'index.json cannot be read')
    }
  }
}

/** Characters that OCI allows in a name (image-spec annotations.md), and the brackets of IPv6 addresses. */
const NAME = /^[A-Za-z0-9[][A-Za-z0-9._:@/+[\]-]*$/

function checkName(name: string): void {
  if (name.length > 2048 || !NAME.test(name))
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `store: ${JSON.stringify(name.slice(0, 200))} is no name`, {
      stage: 'store',
      hint: 'Give the full reference of an image.',
    })
}

/** What documents lead to: everything that has to stay because an image or a lease names it. */
import { CaissonError } from '../errors.js'
import { chainIds } from '../spec/chain-id.js'
import type { Descriptor } from '../spec/descriptor.js'
import { isDigest } from '../spec/digest.js'
import { parseImageConfig } from '../spec/image-config.js'
import { parseIndex } from '../spec/index-document.js'
import { DOCUMENT_BOUNDS } from '../spec/json.js'
import { parseManifest } from '../spec/manifest.js'
import { isConfig, isIndex, isManifest } from '../spec/media-types.js'
import type { Blobs } from './blobs.js'

/** Indexes in indexes; the reference implementations have no use for more than two. */
const DEPTH_MAX = 8

export interface Reached {
  /** Content, whether the store has it or not. */
  digests: Set<string>
  /** Diff ids and chain ids of images' layers. */
  snapshots: Set<string>
  /** Documents that lead on and cannot be read, with what is wrong. */
  unreadable: Map<string, CaissonError>
  /** Content that is wanted and not there, by what names it. Of an index, manifests of other platforms are not wanted. */
  missing: Map<string, string>
  /** Sizes that documents promise. */
  sizes: Map<string, number>
}

export class Reach implements Reached {
  readonly digests = new Set<string>()
  readonly snapshots = new Set<string>()
  readonly unreadable = new Map<string, CaissonError>()
  readonly missing = new Map<string, string>()
  readonly sizes = new Map<string, number>()
  readonly #blobs: Blobs
  readonly #followed = new Set<string>()

  constructor(blobs: Blobs) {
    this.#blobs = blobs
  }

  /** `from` says what names it, for reports; undefined when it may be missing. */
  async follow(
    descriptor: Pick<Descriptor, 'digest'> & Partial<Descriptor>,
    from: string | undefined,
    depth = 0,
  ): Promise<void> {
    const { digest, mediaType = '', size } = descriptor
    // One that we cannot compute is one that the store never holds.
    if (!isDigest(digest)) return
    this.digests.add(digest)
    if (size !== undefined) this.sizes.set(digest, size)
    if (from !== undefined && !(await this.#blobs.has(digest))) this.missing.set(digest, from)
    const leadsOn = isIndex(mediaType) || isManifest(mediaType)
    // Under another type it may lead to something else.
    if (!leadsOn || this.#followed.has(`${digest} ${mediaType}`)) return
    this.#followed.add(`${digest} ${mediaType}`)
    try {
      if (!(await this.#blobs.has(digest))) return
      const bytes = await this.#blobs.read(digest, DOCUMENT_BOUNDS.bytes)
      if (isManifest(mediaType)) await this.#followManifest(bytes, digest, mediaType)
      else if (depth < DEPTH_MAX) await this.#followIndex(bytes, digest, mediaType, depth + 1)
    } catch (error) {
      if (!(error instanceof CaissonError)) throw error
      this.unreadable.set(digest, error)
    }
  }

  async #followManifest(bytes: Buffer, digest: string, mediaType: string): Promise<void> {
    const { config, layers } = parseManifest(bytes, mediaType)
    for (const part of [config, ...layers]) await this.follow(part, digest)
    if (!isConfig(config.mediaType) && config.mediaType !== 'application/octet-stream') return
    try {
      const { rootfs } = parseImageConfig(await this.#blobs.read(config.digest, DOCUMENT_BOUNDS.bytes))
      for (const id of [...rootfs.diff_ids, ...chainIds(rootfs.diff_ids)]) this.snapshots.add(id)
    } catch (error) {
      // It leads to no content; and what was unpacked can be unpacked again.
      if (!(error instanceof CaissonError)) throw error
    }
  }

  /** Manifests of other platforms are not there; but one has to be. */
  async #followIndex(bytes: Buffer, digest: string, mediaType: string, depth: number): Promise<void> {
    const { manifests } = parseIndex(bytes, mediaType)
    let there = 0
    for (const manifest of manifests) {
      await this.follow(manifest, undefined, depth)
      if (isDigest(manifest.digest) && (await this.#blobs.has(manifest.digest))) there++
    }
    const [first] = manifests
    if (first && there === 0) this.missing.set(first.digest, digest)
  }
}

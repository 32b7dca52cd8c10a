/** Images on their way to a registry: layers that lie plain in the store are sent compressed. */
import type { FileHandle } from 'node:fs/promises'
import type { PushStore } from '../registry/push.js'
import { together } from '../registry/together.js'
import type { Descriptor } from '../spec/descriptor.js'
import { MEDIA_TYPES, ociType } from '../spec/media-types.js'
import { type Compressing, compressLayer, knownCompressed } from './compress.js'
import type { StoredImage } from './stored.js'
import { writeManifest } from './write-manifest.js'

/** Layers at once: each takes a thread of the application's. */
const AT_ONCE = 2

export interface Compressed {
  root: Descriptor
  store: PushStore
  /** What compressed layers are made of, by digest. */
  plain: ReadonlyMap<string, Descriptor>
}

/**
 * The manifest with compressed layers; undefined when there is nothing to compress. Layers that were compressed before are
 * compressed again only when the registry wants their bytes.
 */
export async function compressedForPush(
  compressing: Compressing,
  { manifest }: StoredImage,
): Promise<Compressed | undefined> {
  const { store, lease, signal } = compressing
  const plain = manifest.layers.filter(isPlain)
  if (plain.length === 0) return undefined
  const made = new Map<string, Descriptor>()
  await together(plain, AT_ONCE, signal, async (layer, either) => {
    const known = await knownCompressed(store, layer)
    made.set(layer.digest, known ?? (await compressLayer({ store, lease, signal: either }, layer)))
  })
  const layers = manifest.layers.map((layer) => (isPlain(layer) ? (made.get(layer.digest) as Descriptor) : layer))
  const oci = (part: Descriptor) => ({ ...part, mediaType: ociType(part.mediaType) })
  const root = await writeManifest(store, lease, oci(manifest.config), layers.map(oci), manifest.annotations)
  const sources = new Map(plain.map((layer) => [(made.get(layer.digest) as Descriptor).digest, layer]))
  return { root, store: new LazyStore(compressing, sources), plain: sources }
}

const isPlain = ({ mediaType }: Descriptor) => ociType(mediaType) === MEDIA_TYPES.ociLayer

class LazyStore implements PushStore {
  readonly #compressing: Compressing
  readonly #sources: ReadonlyMap<string, Descriptor>

  constructor(compressing: Compressing, sources: ReadonlyMap<string, Descriptor>) {
    this.#compressing = compressing
    this.#sources = sources
  }

  read(digest: string, maxBytes: number): Promise<Buffer> {
    return this.#compressing.store.read(digest, maxBytes)
  }

  async open(digest: string): Promise<FileHandle> {
    const plain = this.#sources.get(digest)
    if (plain) await compressLayer(this.#compressing, plain)
    return this.#compressing.store.open(digest)
  }
}

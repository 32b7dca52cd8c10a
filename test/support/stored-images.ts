/** Images in stores, with layers that can be unpacked. */
import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Descriptor } from '../../lib/spec/descriptor.js'
import { MEDIA_TYPES } from '../../lib/spec/media-types.js'
import { Store } from '../../lib/store/store.js'
import { archive } from './archive.js'
import { describeBytes, sha256 } from './images.js'
import { scratch } from './tree.js'

export interface StoredImage {
  store: Store
  root: Descriptor
  layers: Descriptor[]
  config: Descriptor
}

export interface ImageOptions {
  store?: Store
  layers?: number
  /** Bytes of the file in each layer. */
  size?: number
  architecture?: string
  /** What the files hold. Default: random. */
  content?: (index: number) => Buffer
}

/** A new image in a new store, or in `store`. */
export async function storedImage(options: ImageOptions = {}): Promise<StoredImage> {
  const { store = await Store.open(scratch()), layers = 3, size = 50_000, architecture = 'amd64' } = options
  const plain = Array.from({ length: layers }, (_, index) =>
    archive({ name: `file-${index}`, data: options.content?.(index) ?? randomBytes(size) }),
  )
  const packed = plain.map((bytes) => gzipSync(bytes, { level: 1 }))
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: 'linux',
      config: { Cmd: ['/file-0'] },
      rootfs: { type: 'layers', diff_ids: plain.map(sha256) },
    }),
  )
  const described = packed.map((bytes) => describeBytes(MEDIA_TYPES.ociLayerGzip, bytes))
  const configured = describeBytes(MEDIA_TYPES.ociConfig, config)
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: configured, layers: described }),
  )
  for (const [index, bytes] of packed.entries()) await store.write(described[index] as Descriptor, bytes)
  await store.write(configured, config)
  const root = describeBytes(MEDIA_TYPES.ociManifest, manifest)
  await store.write(root, manifest)
  return { store, root, layers: described, config: configured }
}

/** An index of images that are in one store. */
export async function storedIndex(store: Store, images: Array<{ root: Descriptor; architecture: string }>) {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: images.map(({ root, architecture }) => ({ ...root, platform: { os: 'linux', architecture } })),
    }),
  )
  const root = describeBytes(MEDIA_TYPES.ociIndex, bytes)
  await store.write(root, bytes)
  return root
}

/** Manifests that are made here: of parts that are in the store. */
import { createHash } from 'node:crypto'
import type { Descriptor } from '../spec/descriptor.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { Lease } from '../store/lease.js'
import type { Store } from '../store/store.js'

/** Stores a document under its digest. */
export async function writeDocument(
  store: Store,
  lease: Lease,
  mediaType: string,
  document: object,
): Promise<Descriptor> {
  const { descriptor, bytes } = described(mediaType, document)
  await store.write(descriptor, bytes, { lease })
  return descriptor
}

/** The same of an image's configuration and manifest, at the same time. */
export async function writeImage(
  store: Store,
  lease: Lease,
  document: object,
  layers: readonly Descriptor[],
): Promise<Descriptor> {
  const config = described(MEDIA_TYPES.ociConfig, document)
  const manifest = writeManifest(store, lease, config.descriptor, layers)
  await Promise.all([store.write(config.descriptor, config.bytes, { lease }), manifest])
  return manifest
}

function described(mediaType: string, document: object): { descriptor: Descriptor; bytes: Buffer } {
  const bytes = Buffer.from(JSON.stringify(document))
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes }
}

/** The manifest of an image; the same parts give the same bytes. */
export function writeManifest(
  store: Store,
  lease: Lease,
  config: Descriptor,
  layers: readonly Descriptor[],
  annotations?: Record<string, string>,
): Promise<Descriptor> {
  const part = ({ mediaType, digest, size }: Descriptor) => ({ mediaType, digest, size })
  return writeDocument(store, lease, MEDIA_TYPES.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: part(config),
    layers: layers.map(part),
    ...(annotations ? { annotations } : {}),
  })
}

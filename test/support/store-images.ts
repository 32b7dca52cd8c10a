/** Images made by hand, put into a store as a pull would. */
import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Descriptor } from '../../lib/spec/descriptor.js'
import type { ImageConfig } from '../../lib/spec/image.js'
import { MEDIA_TYPES } from '../../lib/spec/media-types.js'
import type { Lease } from '../../lib/store/lease.js'
import type { Store } from '../../lib/store/store.js'

export function digestOf(bytes: Uint8Array, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

export function describe(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

export interface MadeImage {
  manifest: Descriptor
  config: Descriptor
  layers: Descriptor[]
  diffIds: string[]
  /** All of it, by digest. */
  blobs: Map<string, Buffer>
}

/** From plain layer archives, the lowest first. */
export function makeImage(archives: readonly Buffer[], config: ImageConfig = {}): MadeImage {
  const blobs = new Map<string, Buffer>()
  const put = (mediaType: string, bytes: Buffer) => {
    const descriptor = describe(mediaType, bytes)
    blobs.set(descriptor.digest, bytes)
    return descriptor
  }
  const layers = archives.map((archive) => put(MEDIA_TYPES.ociLayerGzip, gzipSync(archive, { level: 1 })))
  const diffIds = archives.map((archive) => digestOf(archive))
  const document = { architecture: 'amd64', os: 'linux', config, rootfs: { type: 'layers', diff_ids: diffIds } }
  const configuration = put(MEDIA_TYPES.ociConfig, Buffer.from(JSON.stringify(document)))
  const written = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: configuration, layers }
  const manifest = put(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(written)))
  return { manifest, config: configuration, layers, diffIds, blobs }
}

/** Leases, ingests piece by piece, and names it. The lease is released at the end, unless the caller gave one. */
export async function storeImage(store: Store, image: MadeImage, name?: string, given?: Lease): Promise<void> {
  const lease = given ?? (await store.lease())
  try {
    await lease.add(image.manifest)
    for (const [digest, bytes] of image.blobs) {
      const ingest = await store.ingest({ digest, size: bytes.length }, { lease })
      try {
        for (let at = ingest.offset; at < bytes.length && !ingest.present; at += 4096)
          await ingest.write(bytes.subarray(at, at + 4096))
        await ingest.commit()
      } catch (error) {
        await ingest.abort()
        throw error
      }
    }
    if (name !== undefined) await store.setRef(name, image.manifest)
  } finally {
    if (!given) await lease.release()
  }
}

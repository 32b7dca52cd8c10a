/** Layers in the form that registries keep. Those that are made here lie plain in the store. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { Descriptor } from '../spec/descriptor.js'
import { isDigest } from '../spec/digest.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { Lease } from '../store/lease.js'
import type { Store } from '../store/store.js'

export interface Compressing {
  store: Store
  lease: Lease
  signal?: AbortSignal
}

/** The layer compressed by gzip, in the store. The same layer gives the same bytes, as long as zlib is the same. */
export async function compressLayer({ store, lease, signal }: Compressing, plain: Descriptor): Promise<Descriptor> {
  const known = await knownCompressed(store, plain)
  if (known) {
    await lease.add({ digest: known.digest })
    if (await store.has(known.digest)) return known
  }
  const { createGzip } = await import('node:zlib')
  const spool = await store.spool(lease)
  try {
    const source = createReadStream(store.path(plain.digest), { highWaterMark: 1024 * 1024, signal })
    const gzip = source.pipe(createGzip({ level: 6, chunkSize: 1024 * 1024 }))
    source.on('error', (error) => gzip.destroy(error))
    for await (const chunk of gzip) await spool.write(chunk)
    const made = { mediaType: MEDIA_TYPES.ociLayerGzip, ...(await spool.commit()) }
    await store.records.put(keyOf(plain), { kind: 'compressed', digest: made.digest, size: made.size }, NOTHING)
    return made
  } catch (error) {
    await spool.abort()
    throw error
  }
}

/** What the layer came to when it was compressed before, whether that is still in the store or not. */
export async function knownCompressed(store: Store, plain: Descriptor): Promise<Descriptor | undefined> {
  const { kind, digest, size } = ((await store.records.get(keyOf(plain))) ?? {}) as Record<string, unknown>
  if (kind !== 'compressed' || typeof digest !== 'string' || !isDigest(digest) || typeof size !== 'number') return
  return { mediaType: MEDIA_TYPES.ociLayerGzip, digest, size }
}

/** A record tells of content, and keeps none: a registry may have it, or it is made again. */
const NOTHING = { digests: [], snapshots: [] }

const keyOf = ({ digest }: Descriptor) =>
  `sha256:${createHash('sha256')
    .update(JSON.stringify(['caisson-gzip-1', process.versions.zlib, digest]))
    .digest('hex')}`

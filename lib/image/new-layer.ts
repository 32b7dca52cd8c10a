/** Layers that are made here: packed, compressed, and stored. */
import { Writable } from 'node:stream'
import { type PackOptions, packLayer } from '../layer/pack.js'
import type { Descriptor } from '../spec/descriptor.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { Lease } from '../store/lease.js'
import type { Store } from '../store/store.js'

export interface NewLayer {
  descriptor: Descriptor
  diffId: string
  /** Members of the archive; 0: nothing is different. */
  entries: number
}

/** The same tree gives the same layer. */
export async function storeLayer(store: Store, lease: Lease, options: PackOptions): Promise<NewLayer> {
  const spool = await store.spool(lease)
  const output = new Writable({
    highWaterMark: 1024 * 1024,
    write: (chunk, _encoding, callback) => void spool.write(chunk).then(() => callback(), callback),
  })
  try {
    const { diffId, entries } = await packLayer({ ...options, output, compression: 'gzip' })
    const stored = await spool.commit()
    return { descriptor: { mediaType: MEDIA_TYPES.ociLayerGzip, ...stored }, diffId, entries }
  } catch (error) {
    await spool.abort()
    throw error
  }
}

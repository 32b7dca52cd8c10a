/** What a layer is that no manifest has described: its first bytes tell. */
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { Store } from '../store/store.js'

const GZIP = Buffer.from([0x1f, 0x8b])
/** RFC 8878, 3.1.1. */
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

/** The media type of a layer in the store. */
export async function layerType(store: Store, digest: string): Promise<string> {
  const handle = await store.open(digest)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(ZSTD.length), 0, ZSTD.length, 0)
    if (bytesRead >= GZIP.length && buffer.subarray(0, GZIP.length).equals(GZIP)) return MEDIA_TYPES.ociLayerGzip
    return bytesRead === ZSTD.length && buffer.equals(ZSTD) ? MEDIA_TYPES.ociLayerZstd : MEDIA_TYPES.ociLayer
  } finally {
    await handle.close()
  }
}

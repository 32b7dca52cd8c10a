/** Records of a cache that came from elsewhere: a document of its own, or a part of an image's configuration. */
import { DEFAULT_LIMITS } from '../layer/options.js'
import type { Descriptor } from '../spec/descriptor.js'
import { isDigest } from '../spec/digest.js'
import { parseDocument } from '../spec/json.js'
import { MEDIA_TYPES, ociType } from '../spec/media-types.js'
import type { CacheRecord } from './cache.js'

/** Under this name an image's configuration has the records of its own steps. */
export const INLINE_CACHE = 'caisson.build-cache.v1'

/** Bytes of one layer when it is decompressed: as large as those of images may be. */
const LAYER_MAX = DEFAULT_LIMITS.bytes
/** DEFLATE cannot do more: what claims to is not fetched. */
const RATIO_MAX = 1032

/** A record, and the form in which its layer is there. */
export interface Exported {
  key: string
  record: CacheRecord
  blob?: Descriptor
}

export function readRecords(bytes: Uint8Array): Map<string, Exported> {
  return checkedRecords((parseDocument(bytes, 'cache') as { records?: unknown }).records)
}

/** Those of an image, whose layers are those of its manifest; undefined: it has none. */
export function readInlineRecords(bytes: Uint8Array, layers: readonly Descriptor[]): Map<string, Exported> | undefined {
  const document = parseDocument(bytes, 'image configuration') as {
    rootfs?: { diff_ids?: unknown }
    [INLINE_CACHE]?: { records?: unknown }
  }
  const records = document[INLINE_CACHE]?.records
  if (records === undefined) return undefined
  const diffIds = document.rootfs?.diff_ids
  const blobs = new Map(Array.isArray(diffIds) ? diffIds.map((diffId, index) => [diffId, layers[index]]) : [])
  const found = (Array.isArray(records) ? records : []).map((each) => {
    const { key, record } = (each ?? {}) as Record<string, unknown>
    const { layer } = (record ?? {}) as { layer?: { digest?: unknown } | null }
    return layer ? { key, record, blob: blobs.get(layer.digest) } : { key, record }
  })
  return checkedRecords(found)
}

/** Whoever wrote it may have written anything: a record that is not as ours are is left out. */
function checkedRecords(records: unknown): Map<string, Exported> {
  const found = new Map<string, Exported>()
  for (const each of Array.isArray(records) ? records : []) {
    const { key, record, blob } = (each ?? {}) as Record<string, unknown>
    const read = readRecord(record)
    if (typeof key !== 'string' || !isDigest(key) || !read) continue
    if (read.kind === 'content' || read.layer === null) {
      if (blob === undefined) found.set(key, { key, record: read })
    } else if (isBlobOf(blob, read.layer))
      found.set(key, { key, record: read, blob: { mediaType: blob.mediaType, digest: blob.digest, size: blob.size } })
  }
  return found
}

/** A new record with nothing in it but what is known. */
function readRecord(value: unknown): CacheRecord | undefined {
  const { kind, layer, created, digests } = (value ?? {}) as Record<string, unknown>
  if (kind === 'content') {
    const good = Array.isArray(digests) && digests.every((each) => typeof each === 'string' && isDigest(each))
    return good ? { kind, digests } : undefined
  }
  // It goes into the history of an image: nothing but a time may.
  const time = typeof created === 'string' ? new Date(created) : undefined
  if (kind !== 'step' || time === undefined || Number.isNaN(time.getTime())) return undefined
  if (layer === null) return { kind, layer, created: time.toISOString() }
  return isPart(layer)
    ? { kind, layer: { digest: layer.digest, size: layer.size }, created: time.toISOString() }
    : undefined
}

/** Plain it is the layer itself. */
function isBlobOf(blob: unknown, layer: { digest: string; size: number }): blob is Descriptor {
  const { mediaType } = (blob ?? {}) as Partial<Descriptor>
  if (!isPart(blob) || typeof mediaType !== 'string') return false
  if (ociType(mediaType) === MEDIA_TYPES.ociLayer) return blob.digest === layer.digest && blob.size === layer.size
  const most = Math.min(LAYER_MAX, blob.size * RATIO_MAX)
  return ociType(mediaType) === MEDIA_TYPES.ociLayerGzip && layer.size <= most
}

function isPart(value: unknown): value is { digest: string; size: number } {
  const { digest, size } = (value ?? {}) as Record<string, unknown>
  return typeof digest === 'string' && isDigest(digest) && Number.isSafeInteger(size) && (size as number) >= 0
}

/**
 * The cache of builds in a registry: a manifest whose configuration lists records by key, and whose layers are those that
 * the records are about. Layers are fetched when a build finds their key, and are verified as all content is. A record
 * says what the files after a step are, so whoever may write to the repository decides that; and no more: the
 * configuration of an image is never taken from a cache.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { compressLayer } from '../image/compress.js'
import { writeDocument, writeManifest } from '../image/write-manifest.js'
import { DEFAULT_LIMITS } from '../layer/options.js'
import { parseReference, type Reference } from '../reference/parse.js'
import { RegistryClient } from '../registry/client.js'
import { obtain } from '../registry/obtain.js'
import { PartProgress } from '../registry/progress.js'
import { pushFrom } from '../registry/push.js'
import type { Descriptor } from '../spec/descriptor.js'
import { isDigest } from '../spec/digest.js'
import { parseDocument } from '../spec/json.js'
import { LAYERS_MAX, parseManifest } from '../spec/manifest.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { CacheRecord } from './cache.js'
import { copyError } from './tree.js'
import type { Workspace } from './workspace.js'

/** Of the configuration; whoever expects an image says what this is. */
const CONFIG_TYPE = 'application/vnd.caisson.build-cache.v1+json'
/** Bytes of the list of records. */
const CONFIG_MAX = 4 * 1024 * 1024
/** Bytes of one layer when it is decompressed: as large as those of images may be. */
const LAYER_MAX = DEFAULT_LIMITS.bytes
/** DEFLATE cannot do more: what claims to is not fetched. */
const RATIO_MAX = 1032

/** A record, and the compressed form of its layer. */
interface Exported {
  key: string
  record: CacheRecord
  blob?: Descriptor
}

type Transfer = Pick<ConstructorParameters<typeof RegistryClient>[0] & object, 'auth'>

export class RemoteCache {
  readonly #space: Workspace
  readonly #client: RegistryClient
  readonly #reference: Reference
  readonly #records: ReadonlyMap<string, Exported>

  private constructor(
    space: Workspace,
    client: RegistryClient,
    reference: Reference,
    records: ReadonlyMap<string, Exported>,
  ) {
    this.#space = space
    this.#client = client
    this.#reference = reference
    this.#records = records
  }

  /** One that is not there yet is empty. */
  static async open(space: Workspace, ref: string, { auth }: Transfer): Promise<RemoteCache> {
    const reference = parseReference(ref)
    const client = new RegistryClient({ auth })
    try {
      const { bytes, descriptor } = await client.fetchManifest(reference, undefined, space.signal)
      const { config } = parseManifest(bytes, descriptor.mediaType)
      if (config.mediaType !== CONFIG_TYPE || config.size > CONFIG_MAX)
        throw copyError(`${ref} is no cache of builds`, 'Give the name that cacheTo was given.')
      await fetchInto(space, client, reference, config)
      const text = await space.roots.store.read(config.digest, CONFIG_MAX)
      return new RemoteCache(space, client, reference, readRecords(text))
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_CAISSON_IMAGE_NOT_FOUND')
        return new RemoteCache(space, client, reference, new Map())
      client.close()
      throw error
    }
  }

  record(key: string): CacheRecord | undefined {
    return this.#records.get(key)?.record
  }

  /** Afterwards the store has the layer of that record; false: the registry does not have it any more. */
  async fetch(key: string): Promise<boolean> {
    const { record, blob } = this.#records.get(key) ?? {}
    if (record?.kind !== 'step' || !record.layer || !blob) return false
    const { roots, lease } = this.#space
    if (await roots.store.has(record.layer.digest)) return true
    try {
      await fetchInto(this.#space, this.#client, this.#reference, blob)
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_CAISSON_IMAGE_NOT_FOUND') return false
      throw error
    }
    await expand(this.#space, blob.digest, record.layer)
    await lease.drop({ digest: blob.digest })
    return true
  }

  close(): void {
    this.#client.close()
  }
}

/** Sends records and their layers. */
export async function exportCache(
  space: Workspace,
  ref: string,
  records: ReadonlyMap<string, CacheRecord>,
  { auth }: Transfer,
): Promise<void> {
  const { roots, lease, signal } = space
  const { store } = roots
  const exported: Exported[] = []
  const blobs = new Map<string, Descriptor>()
  for (const [key, record] of records) {
    if (record.kind === 'content' || !record.layer) {
      exported.push({ key, record })
      continue
    }
    if (blobs.size === LAYERS_MAX) break
    const { digest, size } = record.layer
    const blob =
      blobs.get(digest) ??
      (await compressLayer({ store, lease, signal }, { mediaType: MEDIA_TYPES.ociLayer, digest, size }))
    blobs.set(digest, blob)
    exported.push({ key, record, blob })
  }
  const config = await writeDocument(store, lease, CONFIG_TYPE, { records: exported })
  const manifest = await writeManifest(store, lease, config, [...blobs.values()])
  const client = new RegistryClient({ auth })
  try {
    await pushFrom(store, client, parseReference(ref), manifest, { signal })
  } finally {
    client.close()
  }
}

async function fetchInto(space: Workspace, client: RegistryClient, reference: Reference, descriptor: Descriptor) {
  const { roots, lease, signal } = space
  const progress = new PartProgress(descriptor, 'layer', undefined)
  await obtain({ store: roots.store, client, reference, descriptor, progress, lease, signal }, () => undefined)
}

/** Layers of builds lie plain in the store. */
async function expand(space: Workspace, from: string, layer: { digest: string; size: number }): Promise<void> {
  const { createGunzip } = await import('node:zlib')
  const { store } = space.roots
  const spool = await store.spool(space.lease)
  try {
    const source = createReadStream(store.path(from), { highWaterMark: 1024 * 1024, signal: space.signal })
    const plain = source.pipe(createGunzip({ chunkSize: 1024 * 1024 }))
    source.on('error', (error) => plain.destroy(error))
    let size = 0
    const hash = createHash('sha256')
    for await (const chunk of plain) {
      size += chunk.length
      if (size > layer.size) break
      hash.update(chunk)
      await spool.write(chunk)
    }
    // Looked at before it is in the store, under whatever name.
    if (size === layer.size && `sha256:${hash.digest('hex')}` === layer.digest) {
      await spool.commit({ digest: layer.digest, size })
      return
    }
  } catch (error) {
    await spool.abort()
    // What zlib says of the bytes; all else is about this machine.
    if (!/^Z_/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  await spool.abort()
  throw copyError(`a layer of the cache is not ${layer.digest}`, 'Remove the cache from the registry: it is damaged.')
}

/** What comes from a registry may be anything: a record that is not as ours are is left out. */
function readRecords(bytes: Uint8Array): Map<string, Exported> {
  const found = new Map<string, Exported>()
  const { records } = parseDocument(bytes, 'cache') as { records?: unknown }
  for (const each of Array.isArray(records) ? records : []) {
    const { key, record, blob } = (each ?? {}) as Record<string, unknown>
    const read = readRecord(record)
    if (typeof key !== 'string' || !isDigest(key) || !read) continue
    if (read.kind === 'content' || read.layer === null) {
      if (blob === undefined) found.set(key, { key, record: read })
    } else if (isBlob(blob) && read.layer.size <= Math.min(LAYER_MAX, blob.size * RATIO_MAX))
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

function isBlob(blob: unknown): blob is Descriptor {
  return isPart(blob) && (blob as Partial<Descriptor>).mediaType === MEDIA_TYPES.ociLayerGzip
}

function isPart(value: unknown): value is { digest: string; size: number } {
  const { digest, size } = (value ?? {}) as Record<string, unknown>
  return typeof digest === 'string' && isDigest(digest) && Number.isSafeInteger(size) && (size as number) >= 0
}

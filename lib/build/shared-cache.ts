/**
 * The cache of builds in a registry or a directory: a manifest whose configuration lists records by key, and whose layers
 * are those that the records are about; or an image whose own configuration has them. Layers are fetched when a build finds
 * their key, and are verified as all content is. A record says what the files after a step are, so whoever may write to the
 * place decides that; and no more: the configuration of an image is never taken from a cache.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { compressLayer } from '../image/compress.js'
import { writeDocument, writeManifest } from '../image/write-manifest.js'
import type { Descriptor } from '../spec/descriptor.js'
import { DOCUMENT_BOUNDS } from '../spec/json.js'
import { LAYERS_MAX, parseManifest } from '../spec/manifest.js'
import { isConfig, MEDIA_TYPES } from '../spec/media-types.js'
import type { CacheRecord } from './cache.js'
import { type CachePlace, RegistryPlace } from './cache-place.js'
import { type Exported, readInlineRecords, readRecords } from './cache-records.js'
import type { BuildOptions, CacheSource, CacheTarget, InlineCache } from './options.js'
import { copyError } from './tree.js'
import type { Workspace } from './workspace.js'

/** Of the configuration; whoever expects an image says what this is. */
const CONFIG_TYPE = 'application/vnd.caisson.build-cache.v1+json'
/** Bytes of the list of records. */
const CONFIG_MAX = DOCUMENT_BOUNDS.bytes

export class SharedCache implements Disposable {
  readonly #space: Workspace
  readonly #place: CachePlace
  readonly #records: ReadonlyMap<string, Exported>

  private constructor(space: Workspace, place: CachePlace, records: ReadonlyMap<string, Exported>) {
    this.#space = space
    this.#place = place
    this.#records = records
  }

  /** One that is not there yet is empty. */
  static async open(space: Workspace, source: CacheSource, options: Pick<BuildOptions, 'auth'>): Promise<SharedCache> {
    const place = await placeOf(space, source, options)
    try {
      return new SharedCache(space, place, await recordsIn(space, place))
    } catch (error) {
      place[Symbol.dispose]()
      throw error
    }
  }

  record(key: string): CacheRecord | undefined {
    return this.#records.get(key)?.record
  }

  /** Afterwards the store has the layer of that record; false: it is not there any more. */
  async fetch(key: string): Promise<boolean> {
    const { record, blob } = this.#records.get(key) ?? {}
    if (record?.kind !== 'step' || !record.layer || !blob) return false
    const { roots, lease } = this.#space
    if (await roots.store.has(record.layer.digest)) return true
    if (!(await this.#place.bring(blob))) return false
    // A plain one is the layer itself.
    if (blob.digest === record.layer.digest) return true
    await expand(this.#space, blob.digest, record.layer, this.#place.name)
    await lease.drop({ digest: blob.digest })
    return true
  }

  [Symbol.dispose](): void {
    this.#place[Symbol.dispose]()
  }
}

/** What is in a cache that is not the space's own. */
async function recordsIn(space: Workspace, place: CachePlace): Promise<ReadonlyMap<string, Exported>> {
  const there = await place.manifest()
  if (!there) return new Map()
  const { config, layers } = parseManifest(there.bytes, there.descriptor.mediaType)
  const isImage = isConfig(config.mediaType)
  if ((config.mediaType !== CONFIG_TYPE && !isImage) || config.size > CONFIG_MAX) throw noCache(place)
  if (!(await place.bring(config))) return new Map()
  const text = await space.roots.store.read(config.digest, CONFIG_MAX)
  const records = isImage ? readInlineRecords(text, layers) : readRecords(text)
  if (!records) throw noCache(place)
  return records
}

const noCache = ({ name }: CachePlace) =>
  copyError(
    `${name} is no cache of builds`,
    'Give the name that cacheTo was given, or an image that was built with it inline.',
  )

/** Loaded when it is needed: few builds have a cache in a directory. */
async function placeOf(
  space: Workspace,
  at: Exclude<CacheSource | CacheTarget, InlineCache>,
  { auth }: Pick<BuildOptions, 'auth'>,
): Promise<CachePlace> {
  if (at.type === 'registry') return new RegistryPlace(space, at.ref, auth)
  const { DirectoryPlace } = await import('./cache-directory.js')
  return new DirectoryPlace(space, 'src' in at ? at.src : at.dest)
}

/** Puts records and their layers there. */
export async function exportCache(
  space: Workspace,
  target: Exclude<CacheTarget, InlineCache>,
  records: ReadonlyMap<string, CacheRecord>,
  options: Pick<BuildOptions, 'auth'>,
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
  const layers = [...blobs.values()]
  const config = await writeDocument(store, lease, CONFIG_TYPE, { records: exported })
  const manifest = await writeManifest(store, lease, config, layers)
  using place = await placeOf(space, target, options)
  await place.send(manifest, [config, ...layers])
}

/** Layers of builds lie plain in the store. */
async function expand(
  space: Workspace,
  from: string,
  layer: { digest: string; size: number },
  place: string,
): Promise<void> {
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
  throw copyError(`a layer of the cache ${place} is not ${layer.digest}`, 'Remove that cache: it is damaged.')
}

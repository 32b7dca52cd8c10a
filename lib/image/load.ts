/** Images out of archives and directories: what they hold goes into the store, and gets its names. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { CaissonError, invalidArgument } from '../errors.js'
import { checkLimits, type LayerLimits } from '../layer/options.js'
import type { Lease } from '../store/lease.js'
import type { Store } from '../store/store.js'
import { checkAborted } from '../util/abort.js'
import { checkNames, type Names } from '../util/option-names.js'
import { peeked } from './archive-compression.js'
import { type ArchiveMember, archiveError, readArchive } from './archive-reader.js'
import { readUnpacked } from './archive-unpacked.js'
import { dockerImages } from './load-docker.js'
import { type Members, takeMember } from './load-members.js'
import { layoutImages, readLayoutDirectory } from './load-oci.js'
import type { NamedImage } from './names.js'
import { readStored, type StoredImage } from './stored.js'

/** A path of an archive or of an OCI layout, or the bytes of an archive. */
export type LoadSource = string | AsyncIterable<Uint8Array> | Uint8Array

export interface LoadOptions {
  /**
   * Bounds of each layer when it is unpacked, and `bytes` of the archive as a whole when it is decompressed. With these the
   * layers for this machine are unpacked at once, and what is beyond a bound is no image.
   */
  limits?: LayerLimits
  signal?: AbortSignal
}

const NAMES: Names<LoadOptions> = { limits: true, signal: true }

/** What loading wants of whoever has the store. */
export interface LoadPlaces {
  store: Store
  /** For what goes with this process. */
  scratch(): Promise<string>
  /** Unpacks the layers of an image, within bounds. */
  unpack(image: StoredImage, options: LoadOptions): Promise<unknown>
}

interface LoadedImage {
  stored: StoredImage
  names: readonly string[]
}

/** Nothing has a name before all of it is there, and verified. */
export async function loadImages(
  places: LoadPlaces,
  source: LoadSource,
  options: LoadOptions = {},
): Promise<LoadedImage[]> {
  checkNames(options, NAMES, '')
  checkLimits(options.limits)
  const { store } = places
  const { limits, signal } = options
  checkAborted(signal, 'load')
  const lease = await store.lease()
  try {
    const directory = typeof source === 'string' && (await isDirectory(source))
    const images = directory
      ? await readLayoutDirectory(store, lease, source, signal)
      : await fromArchive(places, lease, source, options)
    if (images.length === 0) throw archiveError('there is no image in it')
    if (limits) for (const { descriptor } of images) await places.unpack(await readStored(store, descriptor), options)
    for (const { descriptor, names } of images) {
      if (names.length === 0) await store.refs.keep(descriptor)
      for (const name of names) await store.setRef(name, descriptor)
    }
    // As long as they are leased: another process may remove them at once.
    return await Promise.all(
      images.map(async ({ descriptor, names }) => ({ stored: await readStored(store, descriptor), names })),
    )
  } finally {
    await lease.release()
  }
}

async function fromArchive(
  { store, scratch }: LoadPlaces,
  lease: Lease,
  source: unknown,
  options: LoadOptions,
): Promise<NamedImage[]> {
  const members: Members = { documents: new Map(), documentBytes: 0, stored: new Map(), links: new Map() }
  const take = (member: ArchiveMember) => takeMember(store, lease, members, member)
  const { compression, chunks } = await peeked(chunksOf(source))
  if (compression === 'zstd') await readUnpacked(await scratch(), chunks, take, options)
  else await readArchive(chunks, take, options)
  const { documents } = members
  const [layout, index, docker] = ['oci-layout', 'index.json', 'manifest.json'].map((name) => documents.get(name))
  if (layout && index) return layoutImages(store, { layout, index, docker })
  if (docker) return dockerImages(store, lease, members)
  throw archiveError('it has neither an index.json (OCI) nor a manifest.json (docker save)')
}

async function isDirectory(source: string): Promise<boolean> {
  const status = await stat(source).catch(() => undefined)
  if (status) return status.isDirectory()
  throw new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `load: ${source} does not exist`, {
    stage: 'load',
    hint: 'Give the path of an archive, or of a directory with an OCI image layout.',
  })
}

/** Of a stream, whatever ends it early ends with an error of ours. */
function chunksOf(source: unknown): AsyncIterable<Uint8Array> {
  if (typeof source === 'string') return readable(createReadStream(source, { highWaterMark: 1024 * 1024 }))
  if (source instanceof Uint8Array) return one(source)
  if (typeof source === 'object' && source !== null && Symbol.asyncIterator in source)
    return readable(source as AsyncIterable<Uint8Array>)
  throw invalidArgument('source', source, 'a path, a stream of bytes, or bytes')
}

async function* readable(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* source
  } catch (error) {
    throw new CaissonError('ERR_CAISSON_FILE', `load: the archive cannot be read: ${(error as Error).message}`, {
      stage: 'load',
      hint: 'Look at where it comes from.',
      cause: error as Error,
    })
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

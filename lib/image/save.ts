/**
 * Archives of images. Both forms are OCI layouts; `docker` has a manifest.json besides, which every version of Docker
 * reads. The same images give the same bytes.
 */

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { realpath, rename, rm, stat } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { Header, Pax } from 'tar'
import { CaissonError, invalidArgument } from '../errors.js'
import { familiarReference } from '../reference/format.js'
import { parseReference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import { isFull } from '../store/files.js'
import type { Store } from '../store/store.js'
import { checkAborted } from '../util/abort.js'
import type { StoredImage } from './stored.js'

export interface SaveOptions {
  /** `oci` (default): an OCI layout. `docker`: one that `docker load` of any version reads. */
  format?: 'oci' | 'docker'
  signal?: AbortSignal
}

/** An image with the names that it has in the archive: full references. */
export interface SavedImage {
  image: StoredImage
  names: readonly string[]
  /** In the archive, too, and what its names lead to: all images of it have the same. */
  index?: Descriptor
}

/** An image that is there by several names is in the archive once, with all of them. */
export function savedTogether(images: readonly SavedImage[]): SavedImage[] {
  const together = new Map<string, SavedImage>()
  for (const { image, names } of images) {
    const { digest } = image.descriptor
    const before = together.get(digest)?.names ?? []
    together.set(digest, { image, names: [...new Set([...before, ...names])] })
  }
  return [...together.values()]
}

const BLOCK = 512
const CHUNK = 1024 * 1024

/** To a stream, which is ended, or to a file, which is there whole or not at all. */
export async function saveImages(
  store: Store,
  images: readonly SavedImage[],
  to: string | Writable,
  { format = 'oci', signal }: SaveOptions = {},
): Promise<void> {
  if (format !== 'oci' && format !== 'docker') throw invalidArgument('format', format, '"oci" or "docker"')
  if (typeof to === 'object' && typeof (to as Writable | null)?.write === 'function')
    return writeArchive(store, images, to, format, signal)
  if (typeof to !== 'string' || to === '') throw invalidArgument('to', to, 'a path or a stream')
  const status = await stat(to).catch(() => undefined)
  // What is no file stays what it is: /dev/stdout, /dev/null, a FIFO. A directory is refused by open(2).
  if (status && !status.isFile()) return writeArchive(store, images, createWriteStream(to), format, signal)
  const place = status ? await realpath(to) : to
  const beside = `${place}.${process.pid}-${Date.now().toString(36)}.part`
  try {
    await writeArchive(store, images, createWriteStream(beside, { flags: 'wx' }), format, signal)
    await rename(beside, place)
  } catch (error) {
    await rm(beside, { force: true })
    throw saveError(error)
  }
}

async function writeArchive(
  store: Store,
  images: readonly SavedImage[],
  output: Writable,
  format: 'oci' | 'docker',
  signal: AbortSignal | undefined,
): Promise<void> {
  const written = finished(output, { readable: false })
  written.catch(() => undefined)
  const put = async (chunk: Uint8Array) => {
    checkAborted(signal, 'save')
    if (output.destroyed || output.errored) await written
    if (!output.write(chunk)) await Promise.race([once(output, 'drain'), written])
  }
  try {
    const blobs = new Map<string, Descriptor>()
    for (const { image, index } of images)
      for (const blob of [...(index ? [index] : []), image.descriptor, image.manifest.config, ...image.manifest.layers])
        blobs.set(blob.digest, blob)
    // skopeo gives directories that it has to guess to root, which only root may.
    const algorithms = new Set([...blobs.keys()].map((digest) => digest.replace(/:.*/, '')))
    for (const name of ['blobs/', ...[...algorithms].sort().map((algorithm) => `blobs/${algorithm}/`)])
      await put(memberHeader(name, 0))
    for (const blob of [...blobs.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))) {
      await put(memberHeader(blobName(blob), blob.size))
      await copyBlob(store, blob, put)
    }
    const documents: Record<string, object> = { 'index.json': indexOf(images) }
    if (format === 'docker') documents['manifest.json'] = dockerManifestOf(images)
    documents['oci-layout'] = { imageLayoutVersion: '1.0.0' }
    for (const [name, document] of Object.entries(documents)) {
      const bytes = Buffer.from(JSON.stringify(document))
      await put(memberHeader(name, bytes.length))
      await put(padded(bytes))
    }
    await put(Buffer.alloc(2 * BLOCK))
    output.end()
    await written
  } catch (error) {
    output.destroy()
    throw saveError(error)
  }
}

async function copyBlob(
  store: Store,
  { digest, size }: Descriptor,
  put: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  const handle = await store.open(digest)
  try {
    let left = size
    for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: CHUNK })) {
      left -= chunk.length
      await put(chunk)
    }
    if (left !== 0)
      throw new CaissonError(
        'ERR_CAISSON_STORE',
        `save: ${digest} has ${size - left} bytes, and ${size} were promised`,
        {
          stage: 'save',
          hint: 'Run verifyStore(), and pull the image again.',
        },
      )
  } finally {
    await handle.close()
  }
  await put(Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK))
}

function blobName({ digest }: Descriptor): string {
  return `blobs/${digest.replace(':', '/')}`
}

function memberHeader(path: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK)
  const kind = path.endsWith('/') ? { type: 'Directory' as const, mode: 0o755 } : { type: 'File' as const, mode: 0o644 }
  const header = new Header({ path, size, ...kind, uid: 0, gid: 0, mtime: new Date(0) })
  header.encode(block, 0)
  // The name of a blob by sha512 is longer than a plain header can have it.
  return header.needPax ? Buffer.concat([new Pax({ path }).encode(), block]) : block
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)])
}

function indexOf(images: readonly SavedImage[]): object {
  const seen = new Set<string>()
  const manifests = images.flatMap(({ image: { descriptor, document }, names, index }) => {
    const { mediaType, digest, size } = index ?? descriptor
    if (index && seen.has(digest)) return []
    seen.add(digest)
    const { architecture, os, variant } = document
    const platform = { architecture, os, ...(variant ? { variant } : {}) }
    const entry = { mediaType, digest, size, ...(index ? {} : { platform }) }
    if (names.length === 0) return [entry]
    return names.map((name) => ({
      ...entry,
      annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
    }))
  })
  return { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }
}

function dockerManifestOf(images: readonly SavedImage[]): object {
  return images.map(({ image: { manifest }, names }) => ({
    Config: blobName(manifest.config),
    RepoTags: names.map((name) => familiarReference(parseReference(name))),
    Layers: manifest.layers.map(blobName),
  }))
}

function saveError(error: unknown): unknown {
  if (error instanceof CaissonError) return error
  const { code, errno, syscall, path, name } = error as NodeJS.ErrnoException
  if (name === 'AbortError') return new CaissonError('ERR_CAISSON_ABORTED', 'save: aborted', { stage: 'save' })
  const full = isFull(error)
  return new CaissonError(
    full ? 'ERR_CAISSON_RESOURCE_EXHAUSTED' : 'ERR_CAISSON_FILE',
    `save: ${(error as Error).message}`,
    {
      stage: 'save',
      hint: full ? 'The disk is full: make room, or save to another place.' : 'See the system call and the file.',
      cause:
        code !== undefined && errno !== undefined
          ? { code, errno, syscall: syscall ?? 'write', path }
          : (error as Error),
    },
  )
}

/** OCI image layouts (image-spec image-layout.md), as an archive or as a directory. */

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { parseReference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import { isDigest, parseDigest } from '../spec/digest.js'
import { parseImageConfig } from '../spec/image-config.js'
import { parseIndex } from '../spec/index-document.js'
import { DOCUMENT_BOUNDS, parseDocument } from '../spec/json.js'
import { checkImageManifest, type Manifest, parseManifest } from '../spec/manifest.js'
import { isConfig, isIndex, isLayer, isManifest } from '../spec/media-types.js'
import { isRefName } from '../spec/ref-name.js'
import type { Lease } from '../store/lease.js'
import type { Store } from '../store/store.js'
import { checkAborted } from '../util/abort.js'
import { archiveError } from './archive-reader.js'
import { parseDockerManifest } from './load-docker.js'
import { storeAs } from './load-members.js'
import { fullNames, type NamedImage, nameIn } from './names.js'

export interface LayoutDocuments {
  layout: Buffer
  index: Buffer
  /** manifest.json, which newer dockers write as well. */
  docker?: Buffer
}

/** Makes content of the layout part of the store; a no-op when it came with the archive. */
type Bring = (descriptor: Descriptor) => Promise<boolean>

const NAME_KEY = 'org.opencontainers.image.ref.name'
const CONTAINERD_KEY = 'io.containerd.image.name'
const INDEX_DEPTH = 4

/** The images of a layout whose blobs are in the store, or are brought there. */
export async function layoutImages(
  store: Store,
  documents: LayoutDocuments,
  bring: Bring = ({ digest }) => store.has(digest),
): Promise<NamedImage[]> {
  checkVersion(documents.layout)
  const images = new Map<string, NamedImage>()
  for (const entry of parseIndex(documents.index).manifests) {
    if (!isIndex(entry.mediaType) && !isManifest(entry.mediaType)) continue
    if (!(await follow(store, entry, bring, 0)))
      throw archiveError(`${entry.digest} is named in index.json, and is not there`)
    const { annotations = {}, mediaType, digest, size } = entry
    const image = images.get(digest) ?? { descriptor: { mediaType, digest, size }, names: [] }
    const named = annotations[NAME_KEY]
    const texts = [annotations[CONTAINERD_KEY], named && isRefName(named) ? named : undefined].filter(
      (text) => text !== undefined,
    )
    image.names = [...new Set([...image.names, ...fullNames(texts, nameIn)])]
    images.set(digest, image)
  }
  if (documents.docker) await nameAsDocker(store, documents.docker, [...images.values()])
  return [...images.values()]
}

function checkVersion(layout: Buffer): void {
  const version = parseDocument(layout, 'oci-layout').imageLayoutVersion
  if (version !== '1.0.0') throw archiveError(`it is an OCI layout of version ${JSON.stringify(version)}, not 1.0.0`)
}

/** Everything that a manifest needs; of an index, what is there. Whether it is an image, or has one. */
async function follow(store: Store, descriptor: Descriptor, bring: Bring, depth: number): Promise<boolean> {
  if (!isDigest(descriptor.digest) || !(await bring(descriptor))) return false
  const bytes = await store.read(descriptor.digest, DOCUMENT_BOUNDS.bytes)
  if (isIndex(descriptor.mediaType)) {
    if (depth === INDEX_DEPTH) throw archiveError('indexes lie too deep in each other')
    let there = 0
    for (const child of parseIndex(bytes, descriptor.mediaType).manifests)
      if (isIndex(child.mediaType) || isManifest(child.mediaType))
        if (await follow(store, child, bring, depth + 1)) there++
    return there > 0
  }
  const manifest = parseManifest(bytes, descriptor.mediaType)
  const isImage = depth === 0 || hasImage(manifest)
  if (isImage) checkImageManifest(manifest)
  for (const part of [manifest.config, ...manifest.layers])
    if (!(await bring(part))) throw archiveError(`${part.digest} is missing, which ${descriptor.digest} needs`)
  if (isImage) parseImageConfig(await store.read(manifest.config.digest, DOCUMENT_BOUNDS.bytes), manifest.layers.length)
  return isImage
}

/** Beside an image an index may have what is said about it: attestations, signatures. */
function hasImage({ config, layers }: Manifest): boolean {
  return isConfig(config.mediaType) && layers.every(({ mediaType }) => isLayer(mediaType))
}

/** The names in manifest.json are docker's own, so they count when index.json has none. */
async function nameAsDocker(store: Store, docker: Buffer, images: NamedImage[]): Promise<void> {
  const configs = new Map<string, string[]>()
  for (const { config, names } of parseDockerManifest(docker))
    configs.set(config.replace(/^blobs\/([^/]+)\//, '$1:').replace(/\.json$/, ''), fullNames(names, parseReference))
  for (const image of images) {
    if (image.names.length > 0 || !isManifest(image.descriptor.mediaType)) continue
    const bytes = await store.read(image.descriptor.digest, DOCUMENT_BOUNDS.bytes)
    image.names = configs.get(parseManifest(bytes).config.digest) ?? []
  }
}

/** A directory on disk: of it, what its documents name, and nothing through a link. */
export async function readLayoutDirectory(
  store: Store,
  lease: Lease,
  directory: string,
  signal?: AbortSignal,
): Promise<NamedImage[]> {
  return layoutImages(store, await readDocuments(directory), bringFromLayout(store, lease, directory, signal))
}

/** Which image of a layout; without either the only one, or the one that is called latest. */
export interface LayoutChoice {
  tag?: string
  digest?: string
}

/** Brings one image of such a directory to the store, which has no name there. */
export async function readLayoutImage(
  store: Store,
  lease: Lease,
  directory: string,
  choice: LayoutChoice,
  signal?: AbortSignal,
): Promise<Descriptor> {
  const found = await findInLayout(directory, choice)
  if (await follow(store, found, bringFromLayout(store, lease, directory, signal), 0)) return found
  throw archiveError(`${found.digest} is named in index.json, and is not there`)
}

/** What index.json says of it. */
export async function findInLayout(directory: string, choice: LayoutChoice): Promise<Descriptor> {
  const { layout, index } = await readDocuments(directory)
  checkVersion(layout)
  const { mediaType, digest, size } = chooseEntry(parseIndex(index).manifests, choice, directory)
  return { mediaType, digest, size }
}

function chooseEntry(manifests: readonly Descriptor[], { tag, digest }: LayoutChoice, directory: string): Descriptor {
  const images = manifests.filter(({ mediaType }) => isIndex(mediaType) || isManifest(mediaType))
  const nameOf = ({ annotations }: Descriptor) => annotations?.[NAME_KEY] ?? ''
  const called = (wanted: string) => (image: Descriptor) =>
    nameOf(image) === wanted || nameOf(image).endsWith(`:${wanted}`)
  const fitting = images.filter(
    (image) =>
      (digest === undefined || image.digest === digest) &&
      (tag === undefined ? digest !== undefined || images.length === 1 || called('latest')(image) : called(tag)(image)),
  )
  const [first] = fitting
  if (first && fitting.every((image) => image.digest === first.digest)) return first
  const what = first ? 'several such images' : 'no such image'
  const there = images.slice(0, 20).map((image) => JSON.stringify(nameOf(image) || image.digest))
  throw archiveError(`${directory} has ${what}`, `Add :TAG or @DIGEST to its path. There are: ${there.join(', ')}.`)
}

async function readDocuments(directory: string): Promise<LayoutDocuments> {
  const document = async (name: string) => {
    const handle = await openPlain(path.join(directory, name), name)
    try {
      const { size } = await handle.stat()
      if (size > DOCUMENT_BOUNDS.bytes) throw archiveError(`${name} has ${size} bytes`)
      return await handle.readFile()
    } finally {
      await handle.close()
    }
  }
  return { layout: await document('oci-layout'), index: await document('index.json') }
}

/** Content of a layout on disk; what is not there may be in the store. */
export function bringFromLayout(store: Store, lease: Lease, directory: string, signal?: AbortSignal): Bring {
  return async ({ digest, size }) => {
    checkAborted(signal, 'load')
    const { algorithm, encoded } = parseDigest(digest)
    const name = path.join('blobs', algorithm, encoded)
    const handle = await openPlain(path.join(directory, name), name).catch(() => undefined)
    if (!handle) {
      await lease.add({ digest })
      return store.has(digest)
    }
    try {
      await storeAs(
        store,
        lease,
        { digest, size },
        handle.createReadStream({ autoClose: false, highWaterMark: 1 << 20 }),
      )
      return true
    } finally {
      await handle.close()
    }
  }
}

async function openPlain(file: string, name: string) {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      throw archiveError(`${name}: ${error.code}`, 'A directory to load is an OCI image layout.')
    },
  )
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw archiveError(`${name} is no file`)
}

/** An image in the store, read for one platform: its manifest and its configuration. */
import { CaissonError } from '../errors.js'
import type { Descriptor } from '../spec/descriptor.js'
import type { ImageDocument } from '../spec/image.js'
import { parseImageConfig } from '../spec/image-config.js'
import { parseIndex } from '../spec/index-document.js'
import { DOCUMENT_BOUNDS } from '../spec/json.js'
import { checkImageManifest, type Manifest, parseManifest } from '../spec/manifest.js'
import { isIndex } from '../spec/media-types.js'
import { defaultPlatform, formatPlatform, type Platform, platformRank, rankManifests } from '../spec/platform.js'
import type { Store } from '../store/store.js'

export interface StoredImage {
  /** What its names lead to: an index, or the manifest itself. */
  root: Descriptor
  /** The manifest for the platform. */
  descriptor: Descriptor
  manifest: Manifest
  document: ImageDocument
}

const INDEX_DEPTH = 4

/** Documents never change, so they are parsed once; the latest are kept. */
const read = new Map<string, StoredImage>()
const KEPT = 256

/**
 * Without `wanted`, what fits this machine best, or else what there is: an archive may have brought one of another
 * platform. With it, throws ERR_CAISSON_IMAGE_NOT_FOUND when the store has nothing for it.
 */
export async function readStored(store: Store, root: Descriptor, wanted?: Platform): Promise<StoredImage> {
  const platform = wanted ?? defaultPlatform()
  const key = `${store.directory} ${root.mediaType} ${root.digest} ${formatPlatform(platform)} ${wanted !== undefined}`
  const known = read.get(key)
  if (known && (await store.has(known.descriptor.digest))) return known
  const descriptor = await chooseManifest(store, root, platform, wanted !== undefined)
  if (!descriptor) throw await nothingFor(store, root, platform)
  const manifest = parseManifest(await store.read(descriptor.digest, DOCUMENT_BOUNDS.bytes), descriptor.mediaType)
  checkImageManifest(manifest)
  const config = await store.read(manifest.config.digest, DOCUMENT_BOUNDS.bytes)
  const document = parseImageConfig(config, manifest.layers.length)
  if (wanted && platformRank(document, wanted) === undefined) throw await nothingFor(store, root, platform)
  const image = { root, descriptor, manifest, document }
  read.delete(key)
  read.set(key, image)
  if (read.size > KEPT) read.delete(read.keys().next().value as string)
  return image
}

/** Of an index, the best that is here: it may have been fetched for one platform only. */
async function chooseManifest(
  store: Store,
  from: Descriptor,
  platform: Platform,
  strict: boolean,
  depth = 0,
): Promise<Descriptor | undefined> {
  if (!isIndex(from.mediaType)) return (await store.has(from.digest)) ? from : undefined
  // One that lies in another may be of platforms that nobody fetched.
  if (depth === INDEX_DEPTH || (depth > 0 && !(await store.has(from.digest)))) return undefined
  const { manifests } = parseIndex(await store.read(from.digest, DOCUMENT_BOUNDS.bytes), from.mediaType)
  const fitting = rankManifests(manifests, platform, strict && platform.variant !== undefined)
  const others = strict ? [] : manifests.filter((entry) => !fitting.includes(entry))
  for (const entry of [...fitting, ...others]) {
    const found = await chooseManifest(store, entry, platform, strict, depth + 1)
    if (found) return found
  }
  return undefined
}

async function nothingFor(store: Store, root: Descriptor, platform: Platform): Promise<CaissonError> {
  const entries = isIndex(root.mediaType)
    ? parseIndex(await store.read(root.digest, DOCUMENT_BOUNDS.bytes), root.mediaType).manifests
    : []
  const there: string[] = []
  for (const entry of entries)
    if (entry.platform && (await store.has(entry.digest))) there.push(formatPlatform(entry.platform))
  return new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `${root.digest} is not here for ${formatPlatform(platform)}`, {
    stage: 'image',
    hint: there.length > 0 ? `It is here for ${there.join(', ')}; pull it for that platform.` : 'Pull it again.',
  })
}

/** Images from and to registries. */
import { CaissonError, invalidArgument } from '../errors.js'
import { checkLimits, type LayerLimits } from '../layer/options.js'
import { formatReference } from '../reference/format.js'
import { parseName, parseReference, type Reference } from '../reference/parse.js'
import { withClient } from '../registry/clients.js'
import { type Auth, checkAuth } from '../registry/credentials.js'
import type { OnProgress } from '../registry/progress.js'
import { pullInto, type PullOptions as RegistryPullOptions } from '../registry/pull.js'
import { pushFrom } from '../registry/push.js'
import { PulledLayers } from '../snapshot/pulled.js'
import type { Descriptor } from '../spec/descriptor.js'
import { parseImageConfig } from '../spec/image-config.js'
import { parseIndex } from '../spec/index-document.js'
import { DOCUMENT_BOUNDS } from '../spec/json.js'
import { isIndex } from '../spec/media-types.js'
import { formatPlatform, type Platform, parsePlatform, platformRank } from '../spec/platform.js'
import type { Store } from '../store/store.js'
import { checkNames, type Names } from '../util/option-names.js'
import { namedImage } from './list.js'
import { namedIn } from './names.js'
import { compressedForPush } from './push-compressed.js'
import type { ImageRoots } from './rootfs.js'
import { readStored, type StoredImage } from './stored.js'

export interface TransferOptions {
  /** `{ username, password }` or `{ identityToken }`; default: what docker login, podman login and helpers have kept. */
  auth?: Auth
  /** Told of each part of the image: config and layers. */
  onProgress?: OnProgress
  signal?: AbortSignal
}

export interface PushOptions extends TransferOptions {
  /**
   * How layers are sent that lie plain in the store, as those of builds do: `gzip` (default), as docker push does; the
   * image has another digest in the registry then. With `none` everything is sent as it is.
   */
  compression?: 'gzip' | 'none'
}

export interface PushedImage {
  /** By which the registry has it. */
  digest: string
}

export interface PullOptions extends TransferOptions {
  /** As `linux/arm64`. Default: this machine's. */
  platform?: string
  /** Bounds of each layer when it is unpacked. */
  limits?: LayerLimits
}

const TRANSFER: Names<TransferOptions> = { auth: true, onProgress: true, signal: true }
const PUSH: Names<PushOptions> = { ...TRANSFER, compression: true }
const PULL: Names<PullOptions> = { ...TRANSFER, platform: true, limits: true }

/** Before anybody is asked: credentials that are misspelt would be missing. */
function checkTransfer({ auth, onProgress }: TransferOptions): void {
  // Docker's clients send an object of empty strings for nobody.
  const nobody = (given: object) => Object.values(given).every((value) => value === '' || value === undefined)
  if (auth !== undefined && typeof auth !== 'function' && !checkAuth(auth) && !nobody(auth))
    throw invalidArgument('auth', auth, '{ username, password }, { identityToken } or { registryToken }')
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalidArgument('onProgress', onProgress, 'a function')
}

/** Full names of all images of a repository, as its registry lists them. `name` has no tag and no digest. */
export async function namesInRegistry(name: string, { auth, signal }: TransferOptions): Promise<string[]> {
  const repository = parseName(name)
  if (repository.tag !== undefined || repository.digest !== undefined)
    throw invalidArgument('name', name, 'a name without a tag or digest')
  const tags = await withClient(auth, (client) => client.tags(repository, signal))
  return tags.map((tag) => formatReference({ ...repository, tag }))
}

export function checkPull(options: PullOptions): void {
  checkNames(options, PULL, '')
  checkTransfer(options)
  checkLimits(options.limits)
}

interface PulledImage {
  stored: StoredImage
  /** All that it has here. */
  names: readonly string[]
}

/** Nothing has the name before all of it is there, verified and unpacked. */
export async function pullImage(roots: ImageRoots, ref: string, options: PullOptions = {}): Promise<PulledImage> {
  checkPull(options)
  const { auth, onProgress, signal, platform, limits } = options
  const reference = parseReference(ref)
  const wanted = platform === undefined ? undefined : parsePlatform(platform)
  const { store } = roots
  const lease = await store.lease()
  let layers: PulledLayers | undefined
  const unpacker: RegistryPullOptions['unpacker'] = async ({ manifest, config }) => {
    const document = parseImageConfig(config, manifest.layers.length)
    // A name may mean one image alone, and only its configuration says what it is for.
    if (wanted && platformRank(document, wanted) === undefined) throw otherPlatform(ref, document, wanted)
    const diffIds = document.rootfs.diff_ids
    const holding = { lease: roots.lease, signal, limits }
    await layers?.stop()
    layers = await PulledLayers.begin(roots.snapshots, store, { layers: manifest.layers, diffIds }, holding)
    return layers
  }
  try {
    const { root } = await withClient(auth, (client) =>
      pullInto(store, client, reference, { platform: wanted, onProgress, signal, lease, unpacker }),
    )
    await layers?.finish()
    const name = namedIn(ref)
    if (name === undefined) await store.refs.keep(root)
    else await store.setRef(name, root)
    // As long as it is leased: another process may remove it at once.
    const image = await namedImage(store, root.digest)
    return { stored: await readStored(store, root, wanted), names: image?.names ?? [] }
  } finally {
    await layers?.stop()
    await lease.release()
  }
}

function otherPlatform(ref: string, is: Platform, wanted: Platform): CaissonError {
  const [own, other] = [formatPlatform(is), formatPlatform(wanted)]
  return new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `${ref} is for ${own} alone, not for ${other}`, {
    stage: 'pull',
    hint: `Pull it for ${own}, or look for a name that has ${other}.`,
  })
}

export async function pushImage(
  store: Store,
  ref: string,
  image: StoredImage,
  options: PushOptions = {},
): Promise<PushedImage> {
  checkNames(options, PUSH, '')
  checkTransfer(options)
  const { auth, onProgress, signal, compression = 'gzip' } = options
  if (!['gzip', 'none'].includes(compression)) throw invalidArgument('compression', compression, 'gzip or none')
  const lease = await store.lease()
  try {
    const root = (await isWhole(store, image.root)) ? image.root : image.descriptor
    await lease.add({ digest: root.digest, mediaType: root.mediaType })
    // Of an index the digests are somebody else's. Where nothing can be written, nothing can be compressed.
    const mayCompress = compression === 'gzip' && !isIndex(root.mediaType) && !lease.readOnly
    const compressed = mayCompress ? await compressedForPush({ store, lease, signal }, image) : undefined
    const sent = compressed ?? { store, root }
    const reference = parseReference(ref)
    const repositories = await repositoriesWith(store, reference)
    const mountFrom = (digest: string) => repositories.get(compressed?.plain.get(digest)?.digest ?? digest)
    const transfer = { onProgress, signal, mountFrom }
    await withClient(auth, (client) => pushFrom(sent.store, client, reference, sent.root, transfer))
    return { digest: sent.root.digest }
  } finally {
    await lease.release()
  }
}

/** An index is pushed when all that it names is here; otherwise the one image of it is. */
async function isWhole(store: Store, root: Descriptor): Promise<boolean> {
  if (!(await store.has(root.digest))) return false
  if (!isIndex(root.mediaType)) return true
  const { manifests } = parseIndex(await store.read(root.digest, DOCUMENT_BOUNDS.bytes), root.mediaType)
  for (const manifest of manifests) if (!(await isWhole(store, manifest))) return false
  return true
}

/**
 * Where a registry may have content already: other repositories that images of the store came from or went to, by the
 * names that they have here. What it can take from one of these need not be sent.
 */
async function repositoriesWith(store: Store, { registry, repository }: Reference): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const { name, descriptor } of await store.refs.list()) {
    const other = name === undefined ? undefined : parseReference(name)
    if (other?.registry !== registry || other.repository === repository) continue
    const image = await readStored(store, descriptor).catch(() => undefined)
    if (!image) continue
    for (const { digest } of [image.manifest.config, ...image.manifest.layers]) found.set(digest, other.repository)
  }
  return found
}

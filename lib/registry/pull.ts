/** Pulls: from a name to content in a store, several parts at once, and to whoever unpacks the layers meanwhile. */
import type { Reference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import { checkImageManifest, type Manifest, parseManifest } from '../spec/manifest.js'
import type { Platform } from '../spec/platform.js'
import type { Lease } from '../store/lease.js'
import type { RegistryClient } from './client.js'
import type { BlobTarget } from './content.js'
import { isSpoilt } from './failure.js'
import { MANIFEST_MAX } from './manifests.js'
import { obtain, type Wanted } from './obtain.js'
import { type OnProgress, PartProgress } from './progress.js'
import { together } from './together.js'

/** What a pull wants of a store. */
export interface PullStore {
  has(digest: string): Promise<boolean>
  /** The whole of a document; verified. */
  read(digest: string, maxBytes: number): Promise<Buffer>
  /** `present`: another brought it in the meantime. */
  ingest(
    expected: { digest: string; size: number },
    options: { lease?: Lease; signal?: AbortSignal; fresh?: boolean },
  ): Promise<BlobTarget & { present?: boolean }>
  write(descriptor: Descriptor, bytes: Uint8Array, options: { lease?: Lease }): Promise<void>
  /** Takes away what is not what its digest says; whether it was so. */
  discardDamaged(digest: string): Promise<boolean>
}

/** Takes one layer while it comes. The order of calls is that of LayerSink. */
export interface LayerReceiver {
  write(chunk: Uint8Array): Promise<void>
  /** After the last chunk, when the layer is verified and stored. */
  end(): Promise<unknown>
  /** It does not come, or is not what was promised: what there is of it must go. */
  abort(): Promise<void>
}

/** Unpacks the layers of one image. */
export interface LayerUnpacker {
  /** For a layer that is about to come; undefined: it is unpacked already, or will be taken from the store later. */
  receive(layer: Descriptor, index: number): Promise<LayerReceiver | undefined>
  /** For a layer that is in the store. Called for each that was not received, also for those that are unpacked. */
  stored(layer: Descriptor, index: number): Promise<unknown>
}

export interface PullOptions {
  platform?: Platform
  /** Parts at once. Default 4. */
  concurrency?: number
  onProgress?: OnProgress
  signal?: AbortSignal
  /** Protects what was fetched until it has a name. */
  lease?: Lease
  /** Called when manifest and configuration are there; once more when what was there turned out to be damaged. */
  unpacker?: (image: { manifest: Manifest; config: Buffer }) => LayerUnpacker | Promise<LayerUnpacker>
}

export interface Pulled {
  /** What the name means at the registry: an index, or the manifest. */
  root: Descriptor
  manifest: Descriptor
  document: Manifest
  config: Buffer
}

const CONCURRENCY = 4

/**
 * Afterwards the store has the image; giving it a name is the caller's. Content that was there and has been damaged since
 * is fetched anew.
 */
export async function pullInto(
  store: PullStore,
  client: RegistryClient,
  reference: Reference,
  options: PullOptions = {},
): Promise<Pulled> {
  /** Content that the store had. */
  const there = new Set<string>()
  try {
    return await pullOnce(store, client, reference, options, there)
  } catch (error) {
    if (!isSpoilt(error)) throw error
    let damaged = 0
    for (const digest of there) if (await store.discardDamaged(digest)) damaged++
    if (damaged === 0) throw error
    return pullOnce(store, client, reference, options, new Set())
  }
}

async function pullOnce(
  store: PullStore,
  client: RegistryClient,
  reference: Reference,
  options: PullOptions,
  there: Set<string>,
): Promise<Pulled> {
  const { platform, concurrency = CONCURRENCY, lease, signal } = options
  const stored = async (digest: string) => {
    // Protected before it is looked for: what is found then stays.
    await lease?.add({ digest })
    if (!(await store.has(digest))) return undefined
    return store.read(digest, MANIFEST_MAX).catch(() => store.discardDamaged(digest).then(() => undefined))
  }
  const { manifest, indexes, root } = await client.resolve(reference, { platform, signal, stored })
  const document = parseManifest(manifest.bytes, manifest.descriptor.mediaType)
  checkImageManifest(document)
  const wanted = (descriptor: Descriptor, kind: 'config' | 'layer') => {
    const progress = new PartProgress(descriptor, kind, options.onProgress)
    return { store, client, reference, descriptor, progress, lease }
  }
  for (const { digest } of [document.config, ...document.layers]) if (await store.has(digest)) there.add(digest)
  const layers = distinct(document.layers).map(({ layer, index }) => ({ index, part: wanted(layer, 'layer') }))
  await fetchPart({ ...wanted(document.config, 'config'), signal })
  const config = await store.read(document.config.digest, MANIFEST_MAX)
  const unpacker = await options.unpacker?.({ manifest: document, config })
  await together(layers, concurrency, signal, ({ part, index }, either) =>
    fetchPart({ ...part, signal: either }, unpacker, index),
  )
  // Last, so that what is there of an image is there as a whole.
  await store.write(manifest.descriptor, manifest.bytes, { lease })
  for (const { descriptor, bytes } of indexes.reverse()) await store.write(descriptor, bytes, { lease })
  return { root, manifest: manifest.descriptor, document, config }
}

/** An image may have the same layer twice, as one that is empty; the lowest place is that of the first. */
function distinct(layers: readonly Descriptor[]): Array<{ layer: Descriptor; index: number }> {
  const seen = new Set<string>()
  return layers
    .map((layer, index) => ({ layer, index }))
    .filter(({ layer }) => {
      if (seen.has(layer.digest)) return false
      seen.add(layer.digest)
      return true
    })
}

async function fetchPart(wanted: Wanted, unpacker?: LayerUnpacker, index = 0): Promise<void> {
  const { descriptor, progress } = wanted
  const { existed, receiver } = await obtain(wanted, () => unpacker?.receive(descriptor, index))
  if (unpacker) {
    progress.to('extracting')
    if (receiver) await receiver.end()
    else await unpacker.stored(descriptor, index)
  }
  progress.ended(existed ? 'exists' : 'done')
}

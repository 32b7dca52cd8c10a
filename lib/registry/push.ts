/** Pushes: from a store to a registry, several parts at once; what the registry has is not sent. */
import type { FileHandle } from 'node:fs/promises'
import type { Reference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import { parseIndex } from '../spec/index-document.js'
import { parseManifest } from '../spec/manifest.js'
import { isIndex } from '../spec/media-types.js'
import type { RegistryClient } from './client.js'
import type { BlobSource } from './content.js'
import { type FetchedManifest, MANIFEST_MAX } from './manifests.js'
import { type OnProgress, PartProgress } from './progress.js'
import { together } from './together.js'

/** What a push wants of a store. */
export interface PushStore {
  read(digest: string, maxBytes: number): Promise<Buffer>
  /** The caller closes it. */
  open(digest: string): Promise<FileHandle>
}

export interface PushOptions {
  /** Parts at once. Default 4. */
  concurrency?: number
  onProgress?: OnProgress
  signal?: AbortSignal
  /** A repository of the same registry that may have the layers. */
  mountFrom?: string | ((digest: string) => string | undefined)
  /** Blobs that are larger go in several requests. */
  chunkSize?: number
}

const CONCURRENCY = 4

/** Pushes an index with all that it names, or one manifest, under the reference's tag. */
export async function pushFrom(
  store: PushStore,
  client: RegistryClient,
  reference: Reference,
  root: Descriptor,
  options: PushOptions = {},
): Promise<void> {
  const { concurrency = CONCURRENCY, signal } = options
  const manifests = await collectManifests(store, root)
  await together(partsOf(manifests, options.onProgress), concurrency, signal, ({ descriptor, progress }, either) =>
    pushPart(store, client, reference, descriptor, progress, { ...options, signal: either }),
  )
  // A registry takes a manifest only when it has all that it names: the root comes last.
  for (const manifest of manifests.slice(0, -1)) await client.pushManifest(reference, manifest, 'digest', signal)
  await client.pushManifest(reference, manifests.at(-1) as FetchedManifest, 'tag', signal)
}

const INDEX_DEPTH = 3

/** What is named before what names it. */
async function collectManifests(store: PushStore, root: Descriptor, depth = 0): Promise<FetchedManifest[]> {
  const descriptor = { mediaType: root.mediaType, digest: root.digest, size: root.size }
  const bytes = await store.read(root.digest, MANIFEST_MAX)
  const below: FetchedManifest[] = []
  if (isIndex(root.mediaType) && depth < INDEX_DEPTH)
    for (const child of parseIndex(bytes, root.mediaType).manifests)
      below.push(...(await collectManifests(store, child, depth + 1)))
  return [...below, { descriptor, bytes }]
}

function partsOf(manifests: FetchedManifest[], tell: OnProgress | undefined) {
  const parts = new Map<string, { descriptor: Descriptor; progress: PartProgress }>()
  for (const { descriptor, bytes } of manifests) {
    if (isIndex(descriptor.mediaType)) continue
    const { config, layers } = parseManifest(bytes, descriptor.mediaType)
    const add = (part: Descriptor, kind: 'config' | 'layer') => {
      if (!parts.has(part.digest))
        parts.set(part.digest, { descriptor: part, progress: new PartProgress(part, kind, tell) })
    }
    for (const layer of layers) add(layer, 'layer')
    add(config, 'config')
  }
  return [...parts.values()]
}

async function pushPart(
  store: PushStore,
  client: RegistryClient,
  reference: Reference,
  descriptor: Descriptor,
  progress: PartProgress,
  { mountFrom, chunkSize, signal }: PushOptions,
): Promise<void> {
  const uploaded = await client.pushBlob(reference, descriptor, storedBlob(store, descriptor.digest), {
    mountFrom: typeof mountFrom === 'function' ? mountFrom(descriptor.digest) : mountFrom,
    chunkSize,
    signal,
    onProgress: (bytes) => progress.to('uploading', bytes),
  })
  progress.ended(uploaded === 'uploaded' ? 'done' : uploaded)
}

const READ_SIZE = 256 * 1024

function storedBlob(store: PushStore, digest: string): BlobSource {
  return {
    async *read(offset) {
      const handle = await store.open(digest)
      try {
        for (let at = offset; ; ) {
          // Each its own: the last one may still be on its way.
          const chunk = Buffer.allocUnsafeSlow(READ_SIZE)
          const { bytesRead } = await handle.read(chunk, 0, READ_SIZE, at)
          if (bytesRead === 0) return
          at += bytesRead
          yield chunk.subarray(0, bytesRead)
        }
      } finally {
        await handle.close()
      }
    },
  }
}

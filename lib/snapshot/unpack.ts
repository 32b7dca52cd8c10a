/**
 * From the archives of an image to directories for overlay. Layers are unpacked at the same time, in whatever order they
 * come; only what one of them needs from those below it (hard links, directories that it does not name) waits for them.
 */
import { availableParallelism } from 'node:os'
import { type AppliedLayer, applyLayer } from '../layer/apply.js'
import type { LayerLimits } from '../layer/options.js'
import { settleLayer } from '../layer/tree.js'
import { chainIds } from '../spec/chain-id.js'
import type { Lease } from '../store/lease.js'
import { bootId, type FoundLayer, type LayerFacts, type NewLayer, type Snapshots } from './snapshots.js'

/** What an archive comes from: a path, a descriptor (closed by its owner), or chunks. */
export type LayerBytes = string | number | AsyncIterable<Uint8Array>

export interface LayerToUnpack {
  /** Of the plain archive; it is verified. */
  diffId: string
  /** Of the archive as it comes. */
  digest?: string
  size?: number
  /** Called only when the layer is not there yet. */
  source: (signal: AbortSignal) => LayerBytes | Promise<LayerBytes>
  /** Bytes of the archive as it comes. */
  onProgress?: (progress: { bytes: number; entries: number }) => void
}

export interface UnpackLayersOptions {
  /** Holds the layers from now on. */
  lease: Lease
  limits?: LayerLimits
  signal?: AbortSignal
  /** Layers at the same time. Default: as many as there are processors. */
  concurrency?: number
  /** A layer is there, unpacked by us or before. */
  onDone?: (index: number, unpacked: boolean) => void
}

export interface LayerStack {
  /** The topmost first. */
  directories: string[]
  /** Bytes of all files of all layers. */
  bytes: number
}

/** `layers`: the lowest first. When one fails, the others are stopped, and what is whole stays for the next attempt. */
export async function unpackLayers(
  snapshots: Snapshots,
  layers: readonly LayerToUnpack[],
  options: UnpackLayersOptions,
): Promise<LayerStack> {
  const chain = chainIds(layers.map(({ diffId }) => diffId))
  await options.lease.add(
    ...layers.flatMap(({ diffId }, index) => [{ snapshot: diffId }, { snapshot: chain[index] as string }]),
  )
  const stopping = new AbortController()
  const stop = () => stopping.abort(options.signal?.reason)
  options.signal?.addEventListener('abort', stop, { once: true })
  if (options.signal?.aborted) stop()
  const slots = new Slots(options.concurrency ?? availableParallelism())
  const found: Array<Promise<FoundLayer>> = []
  try {
    for (const [index, layer] of layers.entries()) {
      const below = found.slice(0, index)
      const work = one({
        snapshots,
        layer,
        chainId: chain[index] as string,
        below,
        slots,
        options,
        signal: stopping.signal,
      })
      const watched = work.then(({ layer: there, unpacked }) => {
        options.onDone?.(index, unpacked)
        return there
      })
      watched.catch(() => stopping.abort())
      found.push(watched)
    }
    return stackOf(await firstFailure(found))
  } finally {
    options.signal?.removeEventListener('abort', stop)
  }
}

/** The directories of layers that are all there, or undefined. */
export async function findStack(
  snapshots: Snapshots,
  diffIds: readonly string[],
  lease: Lease,
): Promise<LayerStack | undefined> {
  const chain = chainIds(diffIds)
  await lease.add(...diffIds.flatMap((diffId, index) => [{ snapshot: diffId }, { snapshot: chain[index] as string }]))
  const layers: FoundLayer[] = []
  for (const [index, diffId] of diffIds.entries()) {
    const layer = await snapshots.find(chain[index] as string, diffId)
    if (!layer) return undefined
    layers.push(layer)
  }
  return stackOf(layers)
}

/** Waits for all, so that nothing goes on in the background, and throws what failed first. */
async function firstFailure<T>(works: ReadonlyArray<Promise<T>>): Promise<T[]> {
  let failed: { error: unknown } | undefined
  for (const work of works)
    work.catch((error) => {
      failed ??= { error }
    })
  const results = await Promise.allSettled(works)
  if (failed) throw failed.error
  return results.map((result) => (result as PromiseFulfilledResult<T>).value)
}

function stackOf(layers: readonly FoundLayer[]): LayerStack {
  // Overlay has no mark on a root that hides what is below: those layers are left out.
  const lowest = Math.max(
    layers.findLastIndex(({ opaqueRoot }) => opaqueRoot),
    0,
  )
  const shown = layers.slice(lowest).map(({ directory }) => directory)
  return {
    // A layer that is there twice shows what it does the second time, and overlay takes no directory twice.
    directories: [...new Set(shown.reverse())],
    bytes: layers.reduce((total, { bytes }) => total + bytes, 0),
  }
}

interface OneLayer {
  snapshots: Snapshots
  layer: LayerToUnpack
  chainId: string
  below: ReadonlyArray<Promise<FoundLayer>>
  slots: Slots
  options: UnpackLayersOptions
  signal: AbortSignal
}

async function one(work: OneLayer): Promise<{ layer: FoundLayer; unpacked: boolean }> {
  const { snapshots, layer, chainId, slots, signal } = work
  const before = await snapshots.find(chainId, layer.diffId)
  if (before) return { layer: before, unpacked: false }
  // Who holds the lock of a chain waits for shorter chains alone, so nobody waits for each other.
  const made = await snapshots.begin(chainId, signal)
  try {
    const meanwhile = await snapshots.find(chainId, layer.diffId)
    if (meanwhile) return { layer: meanwhile, unpacked: false }
    const directory = await made.directory()
    const applied = await slots.use(() => apply(work, directory))
    return { layer: await settleAndPublish(work, made, directory, applied), unpacked: true }
  } finally {
    await made.end()
  }
}

async function apply({ snapshots, layer, options, signal }: OneLayer, directory: string): Promise<AppliedLayer> {
  const { owners, overlayXattrs } = snapshots.form
  const { diffId, digest, size, onProgress } = layer
  return applyLayer({
    directory,
    source: await layer.source(signal),
    whiteouts: 'overlay',
    overlayXattrs,
    owners,
    devices: 'skip',
    limits: options.limits,
    expected: { diffId, digest, size },
    sync: true,
    signal,
    onProgress,
  })
}

async function settleAndPublish(
  { snapshots, layer, below }: OneLayer,
  made: NewLayer,
  directory: string,
  applied: AppliedLayer,
): Promise<FoundLayer> {
  const { diffId } = layer
  const facts: LayerFacts = {
    diffId,
    bytes: applied.unpackedBytes,
    entries: applied.entries,
    opaqueRoot: applied.opaqueRoot,
  }
  if (applied.unsettled.length === 0) return made.publish(true, facts)
  const lowers = (await Promise.all(below)).map((lower) => lower.directory).reverse()
  await settleLayer({
    directory,
    lowers,
    unsettled: applied.unsettled,
    overlayXattrs: snapshots.form.overlayXattrs,
  })
  // What settling changed was not synced: this one counts until the machine goes down.
  return made.publish(false, { ...facts, boot: bootId() })
}

/** So many at a time; first come, first served. */
class Slots {
  #free: number
  readonly #waiting: Array<() => void> = []

  constructor(count: number) {
    this.#free = count
  }

  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}

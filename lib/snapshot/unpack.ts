/** From the archives of an image to directories for overlay. */
import { chainIds } from '../spec/chain-id.js'
import type { Lease } from '../store/lease.js'
import type { FoundLayer, Snapshots } from './snapshots.js'
import { type LayerBytes, type LayerPromise, leaseLayers, Unpacking, type UnpackingOptions } from './unpacking.js'

export interface LayerToUnpack extends LayerPromise {
  /** Of the plain archive; it is verified. */
  diffId: string
  /** Called only when the layer is not there yet. */
  source: (signal: AbortSignal) => LayerBytes | Promise<LayerBytes>
}

export interface UnpackLayersOptions extends UnpackingOptions {
  /** A layer is unpacked, by us or before. */
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
  { onDone, ...options }: UnpackLayersOptions,
): Promise<LayerStack> {
  const diffIds = layers.map(({ diffId }) => diffId)
  const unpacking = await Unpacking.begin(snapshots, diffIds, options)
  for (const [index, { source, ...promise }] of layers.entries())
    unpacking
      .take(index, () => source(unpacking.signal), promise)
      .then(
        (unpacked) => onDone?.(index, unpacked),
        // finish() throws it.
        () => undefined,
      )
  return stackOf(await unpacking.finish())
}

/** The directories of layers that are all there, or undefined. */
export async function findStack(
  snapshots: Snapshots,
  diffIds: readonly string[],
  lease: Lease,
): Promise<LayerStack | undefined> {
  const chain = chainIds(diffIds)
  await leaseLayers(lease, diffIds)
  const layers: FoundLayer[] = []
  for (const [index, diffId] of diffIds.entries()) {
    const layer = await snapshots.find(chain[index] as string, diffId)
    if (!layer) return undefined
    layers.push(layer)
  }
  return stackOf(layers)
}

/** `layers`: the lowest first. */
export function stackOf(layers: readonly FoundLayer[]): LayerStack {
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

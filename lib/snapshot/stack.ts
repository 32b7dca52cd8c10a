/** Layers that are unpacked, as directories for overlay. */
import { chainIds } from '../spec/chain-id.js'
import type { Lease } from '../store/lease.js'
import type { FoundLayer, Snapshots } from './snapshots.js'

export interface LayerStack {
  /** The topmost first. */
  directories: string[]
  /** Bytes of all files of all layers. */
  bytes: number
}

/** By both names that a layer may have. */
export async function leaseLayers(lease: Lease, diffIds: readonly string[]): Promise<void> {
  const chain = chainIds(diffIds)
  await lease.add(...diffIds.flatMap((diffId, index) => [{ snapshot: diffId }, { snapshot: chain[index] as string }]))
}

/** The directories of layers that are all there, or undefined. */
export async function findStack(
  snapshots: Snapshots,
  diffIds: readonly string[],
  lease: Lease,
): Promise<LayerStack | undefined> {
  const chain = chainIds(diffIds)
  await leaseLayers(lease, diffIds)
  const found = await Promise.all(diffIds.map((diffId, index) => snapshots.find(chain[index] as string, diffId)))
  const layers = found.filter((layer) => layer !== undefined)
  if (layers.length < diffIds.length) return undefined
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

/** From the archives of an image to directories for overlay. */
import type { Snapshots } from './snapshots.js'
import { type LayerStack, stackOf } from './stack.js'
import { type LayerBytes, type LayerPromise, Unpacking, type UnpackingOptions } from './unpacking.js'

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

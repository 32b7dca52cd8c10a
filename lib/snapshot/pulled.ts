/** Unpacks the layers of an image while it is pulled: from the network where they come, from the store otherwise. */
import type { Descriptor } from '../spec/descriptor.js'
import type { Snapshots } from './snapshots.js'
import { type LayerStack, stackOf } from './stack.js'
import { type LayerReceiver, Unpacking, type UnpackingOptions } from './unpacking.js'

/** Where content lies; what is read from it is verified again. */
export interface BlobPaths {
  path(digest: string): string
}

export class PulledLayers {
  readonly #unpacking: Unpacking
  readonly #blobs: BlobPaths
  readonly #layers: readonly Descriptor[]

  private constructor(unpacking: Unpacking, blobs: BlobPaths, layers: readonly Descriptor[]) {
    this.#unpacking = unpacking
    this.#blobs = blobs
    this.#layers = layers
  }

  /** `layers` of the manifest and `diffIds` of the configuration: as many of both, the lowest first. */
  static async begin(
    snapshots: Snapshots,
    blobs: BlobPaths,
    image: { layers: readonly Descriptor[]; diffIds: readonly string[] },
    options: UnpackingOptions,
  ): Promise<PulledLayers> {
    return new PulledLayers(await Unpacking.begin(snapshots, image.diffIds, options), blobs, image.layers)
  }

  /**
   * Before a layer comes; undefined: its chunks are not wanted. What is unpacked has to have the diff id; the digest of
   * the same chunks the store computes, and without it the pull fails.
   */
  receive({ size }: Descriptor, index: number): Promise<LayerReceiver | undefined> {
    return this.#unpacking.receive(index, { size })
  }

  /** For a layer that is in the store. */
  async stored({ digest, size }: Descriptor, index: number): Promise<void> {
    await this.#unpacking.take(index, () => this.#blobs.path(digest), { digest, size })
  }

  /** When all layers are in the store. */
  async finish(): Promise<LayerStack> {
    // Of one that is there twice the pull told only once.
    for (const [index, layer] of this.#layers.entries())
      if (!this.#unpacking.has(index)) this.stored(layer, index).catch(() => undefined)
    return stackOf(await this.#unpacking.finish())
  }

  /** The pull has failed. */
  stop(): Promise<void> {
    return this.#unpacking.stop()
  }
}

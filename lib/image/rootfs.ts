/** Roots of images in the store: their layers unpacked, and held for as long as this process lives. */
import type { ImageRoot } from '../runtime/options/assemble.js'
import { type SnapshotForm, Snapshots } from '../snapshot/snapshots.js'
import { findStack, type LayerStack } from '../snapshot/stack.js'
import type { LayerToUnpack } from '../snapshot/unpack.js'
import type { UnpackingOptions } from '../snapshot/unpacking.js'
import type { Descriptor } from '../spec/descriptor.js'
import type { Lease } from '../store/lease.js'
import type { Store } from '../store/store.js'
import type { StoredImage } from './stored.js'

export class ImageRoots {
  readonly store: Store
  readonly snapshots: Snapshots
  /** Of all that containers of this process are made of: it ends with the process, however that ends. */
  readonly lease: Lease
  /** An image keeps its root, so that what is known of the root is known of the image. */
  readonly #roots = new WeakMap<StoredImage, Promise<ImageRoot>>()

  private constructor(store: Store, snapshots: Snapshots, lease: Lease) {
    this.store = store
    this.snapshots = snapshots
    this.lease = lease
  }

  static async open(store: Store, form: SnapshotForm): Promise<ImageRoots> {
    const snapshots = await Snapshots.open(store.directory, form)
    return new ImageRoots(store, snapshots, await store.lease())
  }

  /** Unpacks what is not unpacked yet, from the store. */
  rootOf(image: StoredImage, signal?: AbortSignal): Promise<ImageRoot> {
    let root = this.#roots.get(image)
    if (!root) {
      const { manifest, document } = image
      root = this.unpack(manifest.layers, document.rootfs.diff_ids, { signal }).then(({ directories }) => ({
        // Overlay wants one at least.
        lower: directories.length > 0 ? directories : [this.snapshots.empty],
        trees: [],
        hidden: [],
        config: document.config,
      }))
      this.#roots.set(image, root)
      root.catch(() => this.#roots.delete(image))
    }
    return root
  }

  async unpack(
    descriptors: readonly Descriptor[],
    diffIds: readonly string[],
    options: Pick<UnpackingOptions, 'signal' | 'sync' | 'limits'> = {},
  ): Promise<LayerStack> {
    const there = await findStack(this.snapshots, diffIds, this.lease)
    if (there) return there
    const layers = descriptors.map(
      ({ digest, size }, index): LayerToUnpack => ({
        diffId: diffIds[index] as string,
        digest,
        size,
        source: () => this.store.path(digest),
      }),
    )
    const { unpackLayers } = await import('../snapshot/unpack.js')
    return unpackLayers(this.snapshots, layers, { lease: this.lease, ...options })
  }
}

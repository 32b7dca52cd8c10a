/** Whether what is in the store is what it should be. */
import { imageRoots } from './runtime/image-roots.js'
import type { StoreReport } from './store/verify.js'

/**
 * Recomputes the digest of every blob, and looks whether each image has all that it needs. Takes as long as reading all
 * images from the disk; nothing is changed.
 */
export async function verifyStore(options: { signal?: AbortSignal } = {}): Promise<StoreReport> {
  const { store } = await imageRoots()
  return store.verify(options.signal)
}

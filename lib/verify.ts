/** The store on disk, looked at as a whole. */
import { namedImages } from './image/list.js'
import { imageRoots } from './runtime/image/roots.js'
import { verifySnapshots } from './snapshot/verify.js'
import { type Amount, type ContentUsage, Store } from './store/store.js'
import type { StoreReport } from './store/verify.js'
import { type Abortable, checkAborted } from './util/abort.js'

export type VerifyStoreOptions = Abortable

/** What images take on the disk. Layers that several images have are counted once. */
export interface StoreUsage extends ContentUsage {
  /** Images, with and without names. */
  images: number
  /** Unpacked layers, for users as this one. */
  layers: Amount
  /** What `RUN --mount=type=cache` of builds has kept; Image.pruneBuildCache() removes it. */
  cacheMounts: Amount
}

/** Nothing is read but sizes. What Image.prune() would remove is in it. */
export async function storeUsage({ signal }: Abortable = {}): Promise<StoreUsage> {
  checkAborted(signal, 'store')
  const { store, snapshots } = await imageRoots()
  const images = await namedImages(store)
  const { listCacheMounts } = await import('./build/cache-mounts.js')
  const mounts = await listCacheMounts(store.directory)
  const cacheMounts = { count: mounts.length, bytes: mounts.reduce((sum, { bytes }) => sum + bytes, 0) }
  return { images: images.length, ...(await store.usage()), layers: await snapshots.usage(), cacheMounts }
}

/**
 * Reads every blob and computes its digest anew, follows every image to all that it needs, and looks at the unpacked
 * layers. Nothing is changed, and other processes may go on meanwhile. What is wrong is in the report; an error means
 * that the store could not be looked at.
 */
export async function verifyStore({ signal }: VerifyStoreOptions = {}): Promise<StoreReport> {
  checkAborted(signal, 'store')
  const store = await Store.open()
  const report = await store.verify(signal)
  report.problems.push(...(await verifySnapshots(store.directory)))
  report.ok = report.problems.length === 0
  return report
}

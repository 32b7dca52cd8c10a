/** The store on disk, looked at as a whole. */
import { verifySnapshots } from './snapshot/verify.js'
import { Store } from './store/store.js'
import type { StoreReport } from './store/verify.js'

export interface VerifyStoreOptions {
  signal?: AbortSignal
}

/**
 * Reads every blob and computes its digest anew, follows every image to all that it needs, and looks at the unpacked
 * layers. Nothing is changed, and other processes may go on meanwhile. What is wrong is in the report; an error means
 * that the store could not be looked at.
 */
export async function verifyStore({ signal }: VerifyStoreOptions = {}): Promise<StoreReport> {
  const store = await Store.open()
  const report = await store.verify(signal)
  report.problems.push(...(await verifySnapshots(store.directory)))
  report.ok = report.problems.length === 0
  return report
}

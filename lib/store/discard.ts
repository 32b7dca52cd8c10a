/** Content that is no longer what its name says: it is taken away, so that it can be stored anew. */
import { rm } from 'node:fs/promises'
import { digestOfFile } from './blob-file.js'
import type { Blobs } from './blobs.js'
import { storeError } from './failure.js'
import type { Layout } from './layout.js'
import { takeLock } from './lock.js'

/** Whether it was there, and damaged. What is right stays. */
export async function discardDamaged(layout: Layout, blobs: Blobs, digest: string): Promise<boolean> {
  if (!(await blobs.has(digest))) return false
  try {
    // As whoever brings it: what another process has put there in the meantime is read, and not what was there before.
    const lock = await takeLock(layout.partial(digest), { exclusive: true })
    try {
      if (!(await blobs.has(digest)) || (await isWhole(blobs, digest))) return false
      await rm(layout.blob(digest))
      return true
    } finally {
      // An empty file would stay, as if a download had been interrupted.
      await lock.remove()
    }
  } catch (error) {
    throw storeError(error, `${digest} cannot be looked at`)
  }
}

async function isWhole(blobs: Blobs, digest: string): Promise<boolean> {
  const handle = await blobs.open(digest)
  try {
    return (await digestOfFile(handle.fd, digest, blobs.path(digest))).digest === digest
  } finally {
    await handle.close()
  }
}

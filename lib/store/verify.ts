/** Recomputes everything: whether each blob is what its name says, and whether images have all that they need. */
import { CaissonError } from '../errors.js'
import { digestOfFile } from './blob-file.js'
import type { Blobs } from './blobs.js'
import { isReadOnly } from './files.js'
import type { Layout } from './layout.js'
import { takeLock } from './lock.js'
import { Reach } from './reach.js'
import type { Refs } from './refs.js'

export interface StoreProblem {
  /**
   * `corrupt`: a blob is not what its name says. `missing`: an image needs a blob that is not there. `size`: a blob is
   * not as large as promised. `unreadable`: a document is none. `snapshot`: an unpacked layer is not whole.
   */
  kind: 'corrupt' | 'missing' | 'size' | 'unreadable' | 'snapshot'
  /** Of the blob or the layer. */
  digest: string
  /** Names of images that it concerns. */
  images: string[]
  message: string
}

export interface StoreReport {
  /** Nothing is wrong. */
  ok: boolean
  blobs: number
  /** Bytes that were read. */
  bytes: number
  images: number
  problems: StoreProblem[]
}

export async function verify(layout: Layout, blobs: Blobs, refs: Refs, signal?: AbortSignal): Promise<StoreReport> {
  const report: StoreReport = { ok: true, blobs: 0, bytes: 0, images: 0, problems: [] }
  const problems = new Map<string, StoreProblem>()
  const add = (kind: StoreProblem['kind'], digest: string, message: string) => {
    if (!problems.has(digest)) problems.set(digest, { kind, digest, images: [], message })
  }
  const sizes = new Map<string, number>()
  for (const digest of await blobs.list()) {
    if (signal?.aborted)
      throw new CaissonError('ERR_CAISSON_ABORTED', 'store: verification aborted', { stage: 'store' })
    const actual = await recompute(blobs, digest)
    // Collected in the meantime.
    if (!actual) continue
    report.blobs++
    report.bytes += actual.size
    sizes.set(digest, actual.size)
    if (actual.digest !== digest) add('corrupt', digest, `${digest} is on disk, and what it holds is ${actual.digest}`)
  }
  // While nothing can be collected: what an image needs is looked for at the moment at which it has a name.
  await unlessCollected(layout, async () => {
    for (const { name, descriptor } of await refs.list()) {
      report.images++
      const reach = new Reach(blobs)
      await reach.follow(descriptor, name ?? descriptor.digest)
      for (const [digest, from] of reach.missing) add('missing', digest, `${digest} is not there; ${from} needs it`)
      for (const [digest, size] of reach.sizes)
        if (sizes.has(digest) && sizes.get(digest) !== size)
          add('size', digest, `${digest} has ${sizes.get(digest)} bytes, and ${size} were promised`)
      for (const [digest, error] of reach.unreadable) add('unreadable', digest, error.message)
      for (const digest of reach.digests) problems.get(digest)?.images.push(name ?? descriptor.digest)
    }
  })
  report.problems = [...problems.values()]
  report.ok = report.problems.length === 0
  return report
}

/** Where nothing can be written, nothing is collected, and no lock can be made. */
async function unlessCollected(layout: Layout, work: () => Promise<void>): Promise<void> {
  const lock = await takeLock(layout.collectLock, { exclusive: false }).catch((error) => {
    if (!isReadOnly(error)) throw error
  })
  try {
    await work()
  } finally {
    lock?.release()
  }
}

async function recompute(blobs: Blobs, digest: string): Promise<{ digest: string; size: number } | undefined> {
  const handle = await blobs.open(digest).catch(async (error) => {
    if (await blobs.has(digest)) throw error
    return undefined
  })
  if (!handle) return undefined
  try {
    return await digestOfFile(handle.fd, digest, blobs.path(digest))
  } finally {
    await handle.close()
  }
}

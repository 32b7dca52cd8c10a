/**
 * Collection: removes what no image, no lease and no living process needs. Whoever adds something holds the collect lock
 * together with others while it does; the collection holds it alone, so that between its look and its removal nothing
 * becomes wanted. What it finds is moved out of sight at once, and removed when the lock is free again.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, stat } from 'node:fs/promises'
import path from 'node:path'
import { removeTree } from '../layer/tree.js'
import type { Blobs } from './blobs.js'
import { damaged, storeError } from './failure.js'
import { isMissing } from './files.js'
import type { Layout } from './layout.js'
import { liveLeases } from './lease.js'
import { tryLock, withLock } from './lock.js'
import { Reach, type Reached } from './reach.js'
import { kept } from './records.js'
import type { Refs } from './refs.js'

export interface Collected {
  /** Digests. */
  blobs: string[]
  /** Of blobs and of what interrupted downloads left. */
  bytes: number
  /** Unpacked layers. */
  snapshots: number
}

/** Moves what it has and nobody reached to `trash`; gives how many. Called while nothing can be added. */
export type Sweeper = (reached: Reached, trash: string) => Promise<number>

/** Milliseconds after which an interrupted download is not waited for. */
const PARTIAL_AGE = 24 * 3_600_000
/** The same for a file that was about to be renamed. */
const TEMPORARY_AGE = 3_600_000

export async function collect(
  layout: Layout,
  blobs: Blobs,
  refs: Refs,
  sweepers: readonly Sweeper[],
  partialAge = PARTIAL_AGE,
): Promise<Collected> {
  const result: Collected = { blobs: [], bytes: 0, snapshots: 0 }
  try {
    const trash = path.join(layout.trash, randomBytes(8).toString('hex'))
    await withLock(layout.collectLock, true, async () => {
      await adoptTrash(layout, trash)
      const reached = await reach(layout, blobs, refs)
      for (const digest of await blobs.list()) {
        if (reached.digests.has(digest)) continue
        const file = layout.blob(digest)
        result.bytes += (await stat(file)).size
        await rename(file, path.join(trash, digest.replace(':', '-')))
        result.blobs.push(digest)
      }
      for (const sweep of sweepers) result.snapshots += await sweep(reached, trash)
    })
    result.bytes += await sweepDownloads(layout, partialAge)
    await removeTree(trash)
  } catch (error) {
    throw storeError(error, 'the collection failed')
  }
  return result
}

/** Makes a directory for what is collected, and moves there what collections before us did not finish. */
async function adoptTrash(layout: Layout, trash: string): Promise<void> {
  const left = await readdir(layout.trash)
  await mkdir(trash, { mode: 0o700 })
  for (const name of left)
    await rename(path.join(layout.trash, name), path.join(trash, name)).catch((error) => {
      // Its collector has finished after all.
      if (!isMissing(error)) throw error
    })
}

/** All that is wanted. A document that cannot be read might want anything: then nothing is removed. */
async function reach(layout: Layout, blobs: Blobs, refs: Refs): Promise<Reached> {
  const found = new Reach(blobs)
  for (const { name, descriptor } of await refs.list()) await found.follow(descriptor, name ?? descriptor.digest)
  for (const leased of await liveLeases(layout))
    if ('digest' in leased) await found.follow(leased, undefined)
    else found.snapshots.add(leased.snapshot)
  for (const { digests, snapshots } of await kept(layout)) {
    for (const digest of digests) found.digests.add(digest)
    for (const id of snapshots) found.snapshots.add(id)
  }
  const [broken] = found.unreadable
  if (broken)
    throw damaged(
      `${broken[0]} cannot be read, so nobody knows what it needs: ${broken[1].message}`,
      'Run verifyStore(), and remove the image that it names or pull it again.',
    )
  return found
}

async function sweepDownloads(layout: Layout, partialAge: number): Promise<number> {
  let bytes = 0
  for (const name of await readdir(layout.ingest)) {
    const file = path.join(layout.ingest, name)
    const isPartial = /^sha\d+-[0-9a-f]+$/.test(name)
    try {
      const { mtimeMs, size } = await stat(file)
      if (Date.now() - mtimeMs < (isPartial ? partialAge : TEMPORARY_AGE)) continue
      const lock = await tryLock(file, true)
      if (!lock) continue
      await lock.remove()
      bytes += size
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return bytes
}

/**
 * Content whose digest is known only when all of it is there: parts of archives, layers that are being packed. It becomes
 * a blob by its own digest.
 */
import { randomBytes } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import path from 'node:path'
import type { CaissonError } from '../errors.js'
import { BlobFile } from './blob-file.js'
import { storeError } from './failure.js'
import { syncDirectory } from './files.js'
import type { Layout } from './layout.js'
import type { Lease } from './lease.js'
import { takeLock, withLock } from './lock.js'

export interface Stored {
  digest: string
  /** Bytes. */
  size: number
}

export interface Spool {
  /** The file, for who writes to it directly and computes the digest as well. */
  readonly fd: number
  /** Resolved when the chunk is in the file; until then its memory must stay as it is. Several may be under way. */
  write(chunk: Uint8Array): Promise<void>
  /**
   * Afterwards the store has it under the digest that is given back; the lease keeps it. `written` is what went to the
   * descriptor, as its writer computed it.
   */
  commit(written?: Stored): Promise<Stored>
  /** Removes what was written. */
  abort(): Promise<void>
}

export async function startSpool(
  layout: Layout,
  has: (digest: string) => Promise<boolean>,
  lease: Lease,
): Promise<Spool> {
  const file = path.join(layout.ingest, `spool-${randomBytes(16).toString('hex')}`)
  // A collection leaves alone what is locked.
  const lock = await takeLock(file, { exclusive: true }).catch((error) => {
    throw storeError(error, 'a file cannot be made')
  })
  const blob = new BlobFile(lock.fd, 'sha256', file)
  let size = 0
  let failure: CaissonError | undefined
  let ended: Promise<void> | undefined
  const end = ({ remove }: { remove: boolean }) => {
    ended ??= (async () => {
      await blob.close()
      if (remove) await rm(file, { force: true }).catch(() => undefined)
      lock.release()
    })()
    return ended
  }
  /** A disk that is full is given its room back. The first failure is that of all writes under way. */
  const fail = async (error: unknown, doing: string): Promise<never> => {
    failure ??= storeError(error, doing)
    await end({ remove: true })
    throw failure
  }
  return {
    fd: lock.fd,
    async write(chunk) {
      if (failure) throw failure
      size += chunk.length
      await blob.write(chunk).catch((error) => fail(error, 'content cannot be written'))
    },
    async commit(written) {
      if (failure) throw failure
      try {
        const stored = written ?? { digest: await blob.digest(), size }
        const { digest } = stored
        await lease.add({ digest })
        const there = await has(digest)
        if (!there) {
          await blob.sync()
          const place = layout.blob(digest)
          await withLock(layout.collectLock, false, () => rename(file, place))
          await syncDirectory(path.dirname(place))
        }
        await end({ remove: there })
        return stored
      } catch (error) {
        return fail(error, 'content cannot be stored')
      }
    },
    abort: () => end({ remove: true }),
  }
}

/**
 * Content whose digest is known only when all of it is there: parts of archives, layers that are being packed. It becomes
 * a blob by its own digest.
 */
import { createHash, randomBytes } from 'node:crypto'
import { fdatasync, write } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { storeError } from './failure.js'
import { syncDirectory } from './files.js'
import type { Layout } from './layout.js'
import type { Lease } from './lease.js'
import { takeLock, withLock } from './lock.js'

const writeTo = promisify(write)
const syncData = promisify(fdatasync)

export interface Stored {
  digest: string
  /** Bytes. */
  size: number
}

export interface Spool {
  /** The file, for who writes to it directly and computes the digest as well. */
  readonly fd: number
  /** Resolved when the chunk is in the file; until then its memory must stay as it is. One at a time. */
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
  const hash = createHash('sha256')
  let size = 0
  let open = true
  const close = async (remove: boolean) => {
    if (!open) return
    open = false
    if (remove) await rm(file, { force: true }).catch(() => undefined)
    lock.release()
  }
  return {
    fd: lock.fd,
    async write(chunk) {
      hash.update(chunk)
      try {
        for (let at = 0; at < chunk.length; ) {
          const { bytesWritten } = await writeTo(lock.fd, chunk, at, chunk.length - at, size)
          at += bytesWritten
          size += bytesWritten
        }
      } catch (error) {
        // A disk that is full is given its room back.
        await close(true)
        throw storeError(error, 'content cannot be written')
      }
    },
    async commit(written = { digest: `sha256:${hash.digest('hex')}`, size }) {
      const { digest } = written
      try {
        await lease.add({ digest })
        if (await has(digest)) {
          await close(true)
          return written
        }
        await syncData(lock.fd)
        const blob = layout.blob(digest)
        await withLock(layout.collectLock, false, () => rename(file, blob))
        await syncDirectory(path.dirname(blob))
      } catch (error) {
        await close(true)
        throw storeError(error, `${digest} cannot be stored`)
      }
      await close(false)
      return written
    },
    abort: () => close(true),
  }
}

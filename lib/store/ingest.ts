/**
 * Content on its way into the store. It is written to a file that nobody takes for a blob, verified, and renamed: that
 * is the moment at which it exists. The file itself is the lock, so a digest is fetched once however many processes want
 * it, and what an interrupted download left is continued.
 */
import { fstat, ftruncate } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { CaissonError } from '../errors.js'
import { parseDigest } from '../spec/digest.js'
import { BlobFile } from './blob-file.js'
import { digestError, storeError } from './failure.js'
import { syncDirectory } from './files.js'
import type { Layout } from './layout.js'
import { type Lock, takeLock, withLock } from './lock.js'

const truncate = promisify(ftruncate)
const statusOf = promisify(fstat)

/** What content has to be. */
export interface Expected {
  digest: string
  /** Bytes. More are refused as they come. */
  size?: number
}

export interface Ingest {
  /** Another has brought it in the meantime: nothing needs to be written. */
  readonly present: boolean
  /** Bytes that are there from an interrupted download. */
  readonly offset: number
  /** Resolved when the chunk is in the file; until then its memory must stay as it is. Several may be under way. */
  write(chunk: Uint8Array): Promise<void>
  /** Verifies digest and size; afterwards the store has the blob. What does not fit is removed: ERR_CAISSON_DIGEST. */
  commit(): Promise<void>
  /** Gives up. What was written is kept for the next attempt. */
  abort(): Promise<void>
}

/** For content that is in the store. */
const PRESENT: Ingest = {
  present: true,
  offset: 0,
  write: async () => {},
  commit: async () => {},
  abort: async () => {},
}

/** Waits while another process has the same content under way. */
export async function startIngest(
  layout: Layout,
  expected: Expected,
  has: () => Promise<boolean>,
  { signal, fresh }: { signal?: AbortSignal; fresh?: boolean } = {},
): Promise<Ingest> {
  parseDigest(expected.digest)
  if (await has()) return PRESENT
  const file = layout.partial(expected.digest)
  const lock = await takeLock(file, { exclusive: true, signal }).catch((error) => {
    throw storeError(error, `${expected.digest} cannot be begun`)
  })
  try {
    if (await has()) {
      await lock.remove()
      return PRESENT
    }
    if (fresh) await truncate(lock.fd, 0)
    return await PartialBlob.resume(layout, expected, file, lock)
  } catch (error) {
    lock.release()
    throw storeError(error, `${expected.digest} cannot be begun`)
  }
}

class PartialBlob implements Ingest {
  readonly present = false
  readonly offset: number
  readonly #layout: Layout
  readonly #expected: Expected
  readonly #file: string
  readonly #lock: Lock
  readonly #blob: BlobFile
  /** With what is under way. */
  #size: number
  /** The last write: when it is settled, all are. */
  #tail: Promise<void> = Promise.resolve()
  #failure: CaissonError | undefined
  #ended: Promise<void> | undefined

  private constructor(layout: Layout, expected: Expected, file: string, lock: Lock, blob: BlobFile, offset: number) {
    this.#layout = layout
    this.#expected = expected
    this.#file = file
    this.#lock = lock
    this.#blob = blob
    this.#size = offset
    this.offset = offset
  }

  static async resume(layout: Layout, expected: Expected, file: string, lock: Lock): Promise<PartialBlob> {
    let { size } = await statusOf(lock.fd)
    if (expected.size !== undefined && size > expected.size) {
      await truncate(lock.fd, 0)
      size = 0
    }
    const blob = new BlobFile(lock.fd, parseDigest(expected.digest).algorithm, file)
    try {
      const there = size === 0 ? 0 : await blob.resume(size)
      return new PartialBlob(layout, expected, file, lock, blob, there)
    } catch (error) {
      await blob.close()
      throw error
    }
  }

  write(chunk: Uint8Array): Promise<void> {
    const done = this.#append(chunk)
    // Whoever waits for the write sees the failure; the next write repeats it.
    this.#tail = done.catch(() => undefined)
    return done
  }

  async #append(chunk: Uint8Array): Promise<void> {
    this.#check()
    const { digest, size } = this.#expected
    if (size !== undefined && this.#size + chunk.length > size)
      throw await this.#discard(digestError(digest, `more than the ${size} bytes that were promised`))
    this.#size += chunk.length
    try {
      await this.#blob.write(chunk)
    } catch (error) {
      // A disk that is full is given its room back.
      throw await this.#discard(storeError(error, `${digest} cannot be written`))
    }
  }

  async commit(): Promise<void> {
    await this.#tail
    this.#check()
    const { digest, size } = this.#expected
    if (size !== undefined && this.#size !== size)
      throw await this.#discard(digestError(digest, `${this.#size} bytes came, and ${size} were promised`))
    try {
      const actual = await this.#blob.digest()
      if (actual !== digest) throw digestError(digest, `what came is ${actual}`)
      await this.#blob.sync()
      const blob = this.#layout.blob(digest)
      await withLock(this.#layout.collectLock, false, async () => {
        await mkdir(path.dirname(blob), { recursive: true, mode: 0o700 })
        await rename(this.#file, blob)
      })
      await syncDirectory(path.dirname(blob))
    } catch (error) {
      throw await this.#discard(storeError(error, `${digest} cannot be stored`))
    }
    await this.#end()
  }

  async abort(): Promise<void> {
    await this.#tail
    await this.#end({ remove: this.#size === 0 })
  }

  #check(): void {
    if (this.#failure) throw this.#failure
    if (this.#ended)
      throw new CaissonError('ERR_CAISSON_INVALID_STATE', 'store: this download has ended', { stage: 'store' })
  }

  /** Gives the first failure, which the writes that were under way have as well. */
  async #discard(failure: CaissonError): Promise<CaissonError> {
    this.#failure ??= failure
    await this.#end({ remove: true })
    return this.#failure
  }

  /** Once. The lock is given back when nothing is written any more. */
  #end({ remove = false } = {}): Promise<void> {
    this.#ended ??= (async () => {
      await this.#blob.close()
      if (remove) await rm(this.#file, { force: true }).catch(() => undefined)
      this.#lock.release()
    })()
    return this.#ended
  }
}

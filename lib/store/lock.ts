/**
 * Locks between processes, by flock(2) on files: the kernel gives them back when their holder dies. They are asked for
 * again and again instead of waited for, so that no thread sleeps on one, and an abort is heard at once.
 */
import { unlink } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaissonError } from '../errors.js'
import { addon } from '../native/addon.js'
import { isMissing } from './files.js'

/** Milliseconds between two attempts: short at first, since most locks are held for less than one. */
const FIRST_WAIT = 1
const LONGEST_WAIT = 20

export interface Lock {
  /** The open file, for reading and writing. */
  fd: number
  release(): void
  /** The file is not needed any more. Nobody is misled: who waits for it looks whether it is still the one. */
  remove(): Promise<void>
}

/** Without waiting; undefined when another holds it. The file is made when it is missing. */
export async function tryLock(file: string, exclusive: boolean): Promise<Lock | undefined> {
  const fd = await addon().lock(file, exclusive, false)
  if (fd < 0) return undefined
  const release = () => addon().closeFd(fd)
  return { fd, release, remove: () => removeFile(file).finally(release) }
}

/** By one call: rm() asks first what it is. */
async function removeFile(file: string): Promise<void> {
  await unlink(file).catch((error) => {
    if (!isMissing(error)) throw error
  })
}

/** Waits for it. */
export async function takeLock(
  file: string,
  { exclusive, signal }: { exclusive: boolean; signal?: AbortSignal },
): Promise<Lock> {
  for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
    throwIfAborted(signal)
    const lock = await tryLock(file, exclusive)
    if (lock) return lock
    await sleep(wait, undefined, { signal }).catch(() => undefined)
  }
}

export async function withLock<T>(file: string, exclusive: boolean, work: () => Promise<T>): Promise<T> {
  const lock = await takeLock(file, { exclusive })
  try {
    return await work()
  } finally {
    lock.release()
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new CaissonError('ERR_CAISSON_ABORTED', 'store: aborted while waiting for another download', {
      stage: 'store',
      cause: signal.reason instanceof Error ? signal.reason : undefined,
    })
}

/** Digests of files, chunk by chunk, so that the event loop goes on meanwhile. */
import { createHash, type Hash } from 'node:crypto'
import { read } from 'node:fs'
import { promisify } from 'node:util'

const readOf = promisify(read)
/** Large enough for the disk, and hashed in half a millisecond. */
const CHUNK = 1024 * 1024

/** Feeds bytes `from` to `to` of an open file; gives how many there were. */
export async function hashFrom(hash: Hash, fd: number, from: number, to: number): Promise<number> {
  const chunk = Buffer.allocUnsafe(Math.max(Math.min(CHUNK, to - from), 1))
  let at = from
  while (at < to) {
    const { bytesRead } = await readOf(fd, chunk, 0, Math.min(chunk.length, to - at), at)
    if (bytesRead === 0) break
    hash.update(chunk.subarray(0, bytesRead))
    at += bytesRead
  }
  return at - from
}

/** `sha256:...` of a whole file. */
export async function digestOfFile(fd: number, algorithm: string): Promise<{ digest: string; size: number }> {
  const hash = createHash(algorithm)
  const size = await hashFrom(hash, fd, 0, Number.MAX_SAFE_INTEGER)
  return { digest: `${algorithm}:${hash.digest('hex')}`, size }
}

/** A file of content, hashed from its first byte on by a thread of the addon: while it is written, or to verify it. */
import { addon } from '../native/addon.js'
import type { NativeBlobFile } from '../native/blob.js'
import { type DigestAlgorithm, parseDigest } from '../spec/digest.js'

export class BlobFile {
  readonly #file: NativeBlobFile
  #closed: Promise<void> | undefined

  /** The descriptor stays the caller's, who closes it after close(). `path` is for errors. */
  constructor(fd: number, algorithm: DigestAlgorithm, path: string) {
    this.#file = addon().blob.open(fd, algorithm, path)
  }

  /** Hashes what is there, `end` bytes at most; how many there were. What is written then comes behind them. */
  resume(end: number): Promise<number> {
    return addon().blob.resume(this.#file, end)
  }

  /** Resolved when the chunk is in the file; until then its memory must stay as it is. Several may be under way. */
  write(chunk: Uint8Array): Promise<void> {
    return addon().blob.write(this.#file, chunk)
  }

  /** Resolved when all that was written would outlast a power cut. */
  sync(): Promise<void> {
    return addon().blob.sync(this.#file)
  }

  /** Of all of it, `sha256:...`. Nothing may follow but sync() and close(). */
  digest(): Promise<string> {
    return addon().blob.digest(this.#file)
  }

  /** Resolved when nothing is going on any more; what has not begun is not done. */
  close(): Promise<void> {
    this.#closed ??= addon().blob.close(this.#file)
    return this.#closed
  }
}

/** What the file really holds, by the algorithm of the digest that it should have. */
export async function digestOfFile(
  fd: number,
  digest: string,
  path: string,
): Promise<{ digest: string; size: number }> {
  const file = new BlobFile(fd, parseDigest(digest).algorithm, path)
  try {
    const size = await file.resume(Number.MAX_SAFE_INTEGER)
    return { digest: await file.digest(), size }
  } finally {
    await file.close()
  }
}

/** Where blobs go to and come from: the little that this folder wants of a store. */
import { createHash } from 'node:crypto'

/**
 * A blob that is being written. Nobody sees it before commit() has found that it has the promised size and digest; an
 * offset above 0 says what is there from an earlier attempt, which commit() verifies too.
 */
export interface BlobTarget {
  /** Bytes that were there at the beginning. */
  readonly offset: number
  /** Resolved when the chunk has been taken, and its memory is free again. Several may be under way, in their order. */
  write(chunk: Uint8Array): Promise<void>
  /** Throws ERR_CAISSON_DIGEST when it is not what was promised. */
  commit(): Promise<unknown>
  /** Gives up. What there is may be kept for another attempt. */
  abort(): Promise<void>
}

/** A blob that can be read from any place on. */
export interface BlobSource {
  read(offset: number): AsyncIterable<Uint8Array>
}

export function digestOf(bytes: Uint8Array, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

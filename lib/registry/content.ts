/** Where blobs go to and come from: the little that this folder wants of a store. */
import { createHash, type Hash } from 'node:crypto'
import type { Descriptor } from '../spec/descriptor.js'
import { parseDigest } from '../spec/digest.js'
import { digestError } from './failure.js'

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

/** A blob in memory: manifests, configurations. */
export class MemoryTarget implements BlobTarget {
  readonly #descriptor: Descriptor
  readonly #parts: Uint8Array[] = []
  readonly #hash: Hash
  #size = 0
  readonly offset = 0

  constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor
    this.#hash = createHash(parseDigest(descriptor.digest).algorithm)
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#parts.push(chunk)
    this.#hash.update(chunk)
    this.#size += chunk.length
  }

  async commit(): Promise<Buffer> {
    const { digest, size } = this.#descriptor
    const encoded = this.#hash.digest('hex')
    if (this.#size !== size || encoded !== parseDigest(digest).encoded)
      throw digestError(digest, `${this.#size} bytes came whose digest is ${encoded}; ${size} were promised`)
    return Buffer.concat(this.#parts)
  }

  async abort(): Promise<void> {
    this.#parts.length = 0
  }
}

export function digestOf(bytes: Uint8Array, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

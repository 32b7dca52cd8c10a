/** Where a blob goes to that a test fetches. */
import { createHash, type Hash } from 'node:crypto'
import type { BlobTarget } from '../../lib/registry/content.js'
import { digestError } from '../../lib/registry/failure.js'
import type { Descriptor } from '../../lib/spec/descriptor.js'
import { parseDigest } from '../../lib/spec/digest.js'

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

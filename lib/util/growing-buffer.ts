/**
 * Bytes that come in pieces, in one buffer. In a list of them a piece of one byte takes hundreds, and who sends pieces
 * may be hostile.
 */
export class GrowingBuffer {
  readonly #limit: number
  #bytes = Buffer.alloc(0)
  #length = 0

  /** @param limit bytes that it will have at most; more is not taken in advance. */
  constructor(limit: number) {
    this.#limit = limit
  }

  get length(): number {
    return this.#length
  }

  /** Adds `bytes`, or a part of them. */
  add(bytes: Buffer, from = 0, to = bytes.length): void {
    const length = this.#length + to - from
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(length * 2, this.#limit)))
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    bytes.copy(this.#bytes, this.#length, from, to)
    this.#length = length
  }

  /** What there is so far, as bytes of its own. */
  copy(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length))
  }

  /** What there is; it is empty afterwards. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = Buffer.alloc(0)
    this.#length = 0
    return taken
  }
}

/**
 * Takes secrets out of what commands print: output goes to logs, and errors quote the end of it. What stands there is the
 * secret as it is, or a line of it; what a command makes of it (base64, a part) nobody knows for one.
 */

/** Shorter ones would be found in everything. */
const LEAST = 4
/** Of a secret of several lines, each that is not shorter: keys are printed line by line. */
const LEAST_LINE = 8
const HIDDEN = Buffer.from('***')

export class Mask {
  /** The longest first: one may be the beginning of another. */
  readonly #secrets: readonly Buffer[]

  constructor(secrets: Iterable<Uint8Array>) {
    const all = new Set<string>()
    for (const secret of secrets) {
      const text = trimmed(Buffer.from(secret).toString('latin1'))
      if (text.length >= LEAST) all.add(text)
      for (const line of text.split('\n').map(trimmed)) if (line.length >= LEAST_LINE) all.add(line)
    }
    this.#secrets = [...all].sort((a, b) => b.length - a.length).map((text) => Buffer.from(text, 'latin1'))
  }

  /** For one stream of a command. */
  stream(): MaskedStream {
    return new MaskedStream(this.#secrets)
  }
}

const trimmed = (text: string) => text.replace(/^[\r\n]+|[\r\n]+$/g, '')

export class MaskedStream {
  readonly #secrets: readonly Buffer[]
  /** What may be the beginning of a secret. */
  #held = Buffer.alloc(0)

  constructor(secrets: readonly Buffer[]) {
    this.#secrets = secrets
  }

  /** What can be told of it now; the rest comes with what follows. */
  take(data: Buffer): Buffer {
    if (this.#secrets.length === 0) return data
    return this.#masked(Buffer.concat([this.#held, data]), true)
  }

  /** Nothing follows. */
  end(): Buffer {
    return this.#masked(this.#held, false)
  }

  #masked(all: Buffer, more: boolean): Buffer {
    const parts: Buffer[] = []
    let at = 0
    for (;;) {
      const { start, length } = this.#first(all, at)
      // A longer secret that begins before it may still come to be whole.
      const open = more ? this.#openFrom(all, at) : all.length
      if (start >= open) {
        parts.push(all.subarray(at, open))
        this.#held = Buffer.from(all.subarray(open))
        return Buffer.concat(parts)
      }
      parts.push(all.subarray(at, start), HIDDEN)
      at = start + length
    }
  }

  #first(all: Buffer, from: number): { start: number; length: number } {
    let first = { start: all.length, length: 0 }
    for (const secret of this.#secrets) {
      const start = all.indexOf(secret, from)
      if (start >= 0 && start < first.start) first = { start, length: secret.length }
    }
    return first
  }

  /** Where the first secret begins that the end cuts off. */
  #openFrom(all: Buffer, from: number): number {
    let first = all.length
    for (const secret of this.#secrets)
      for (let start = Math.max(from, all.length - secret.length + 1); start < first; start++)
        if (all.subarray(start).equals(secret.subarray(0, all.length - start))) first = start
    return first
  }
}

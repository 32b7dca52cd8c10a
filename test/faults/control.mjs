// The file that the programs of this directory share with a test (programs/control.h).
import { openSync, readSync, writeSync } from 'node:fs'

const HEAD = 32
const NAME = 24
const CALLS_MAX = 4096
export const CONTROL_SIZE = HEAD + NAME * CALLS_MAX

/** What a test tells them, and what they say. */
export class Control {
  #file

  constructor(file) {
    this.#file = openSync(file, 'r+')
  }

  /** From now on calls are counted; number `at` (from 1 on; 0: none) fails with `errno`. */
  arm(at, errno = 0) {
    const head = Buffer.alloc(HEAD)
    writeSync(this.#file, head, 0, HEAD, 0)
    head.writeUInt32LE(at, 4)
    head.writeUInt32LE(errno, 8)
    writeSync(this.#file, head, 0, HEAD, 0)
    head.writeUInt32LE(1, 0)
    writeSync(this.#file, head, 0, 4, 0)
  }

  /** Stops that: the names of the calls in their order, and whether one was made to fail. */
  disarm() {
    writeSync(this.#file, Buffer.alloc(4), 0, 4, 0)
    const head = Buffer.alloc(HEAD)
    readSync(this.#file, head, 0, HEAD, 0)
    const count = Math.min(head.readUInt32LE(12), CALLS_MAX)
    const names = Buffer.alloc(count * NAME)
    readSync(this.#file, names, 0, names.length, HEAD)
    const calls = Array.from({ length: count }, (_, i) =>
      names.toString('latin1', i * NAME, (i + 1) * NAME).replace(/\0.*$/s, ''),
    )
    return { calls, failed: head.readUInt32LE(16) !== 0 }
  }
}

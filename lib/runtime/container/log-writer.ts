/** Writes what a container prints where its output passes through this process, in the form of addon/core/log.h. */
import { type FileHandle, open, rename } from 'node:fs/promises'
import { endianness } from 'node:os'
import { GrowingBuffer } from '../../util/growing-buffer.js'

/** Before each record's bytes: length, stream (1 stdout, 2 stderr), nanoseconds since 1970. */
const HEADER = 16
/** A longer line is cut; without a bound a program could fill our memory with one. */
const LINE_MAX = 1024 * 1024
/** Bytes of a block: short records are written one behind the other, as a buffer for each would take more than they do. */
const BLOCK = 256 * 1024
const SHORT = 16 * 1024
/** Bytes that may wait for the disk before the program is made to wait. */
const WAITING_MAX = 1024 * 1024

/** What has come of a line. In one buffer: a program can write it byte by byte, and a piece takes more than its bytes. */
interface Line {
  bytes: GrowingBuffer
  /** Nanoseconds since 1970. */
  began: bigint
}

/** What is looked at when `buffers` are on disk, before anything that was added later. */
interface Point {
  buffers: Buffer[]
  look: () => Promise<void>
}

const little = endianness() === 'LE'

export class LogWriter {
  readonly #path: string
  readonly #limit: number
  readonly #lines: [Line, Line] = [newLine(), newLine()]
  #block = Buffer.alloc(0)
  /** Bytes of the block that records have, and that wait already. */
  #used = 0
  #sealed = 0
  #waiting: Buffer[] = []
  #waitingBytes = 0
  readonly #points: Point[] = []
  #file: FileHandle | undefined
  #written = 0
  #work: Promise<void> | undefined

  /** The file grows to half of `limit` (bytes), then becomes PATH.1 in place of an older one. */
  constructor(path: string, limit: number) {
    this.#path = path
    this.#limit = limit
  }

  /** @param stream 0: stdout, 1: stderr */
  add(stream: 0 | 1, chunk: Buffer): void {
    const line = this.#lines[stream]
    const now = BigInt(Date.now()) * 1_000_000n
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(10, at)
      const end = Math.min(newline < 0 ? chunk.length : newline + 1, at + LINE_MAX - line.bytes.length)
      const ends = chunk[end - 1] === 10
      if (line.bytes.length === 0 && ends) this.#record(stream, now, chunk, at, end)
      else {
        if (line.bytes.length === 0) line.began = now
        line.bytes.add(chunk.subarray(at, end))
        if (ends || line.bytes.length === LINE_MAX) this.#recordLine(stream)
      }
      at = end
    }
    this.#flush()
  }

  /** Resolves when what waits for the disk has been written; undefined: it is little. */
  get behind(): Promise<void> | undefined {
    return this.#waitingBytes > WAITING_MAX ? this.#work : undefined
  }

  /**
   * Calls `look` when the file has all lines that were added so far, and nothing that comes after; `unfinished` is what
   * there is of lines that have not ended, stdout's and stderr's.
   */
  whenWritten(look: (unfinished: [Buffer, Buffer]) => Promise<void>): Promise<void> {
    const [stdout, stderr] = this.#lines
    const unfinished: [Buffer, Buffer] = [stdout.bytes.copy(), stderr.bytes.copy()]
    const buffers = this.#takeWaiting()
    return new Promise((resolve, reject) => {
      this.#points.push({ buffers, look: () => look(unfinished).then(resolve, reject) })
      this.#flush()
    })
  }

  /** Writes out lines that have not ended, too. */
  async finish(): Promise<void> {
    for (const stream of [0, 1] as const) if (this.#lines[stream].bytes.length > 0) this.#recordLine(stream)
    this.#flush()
    while (this.#work) await this.#work
    await this.#file?.close()
    this.#file = undefined
  }

  #recordLine(stream: 0 | 1): void {
    const { bytes, began } = this.#lines[stream]
    const whole = bytes.take()
    this.#record(stream, began, whole, 0, whole.length)
  }

  #record(stream: 0 | 1, time: bigint, bytes: Buffer, from: number, to: number): void {
    const size = to - from
    this.#waitingBytes += HEADER + size
    if (size > SHORT) {
      this.#seal()
      const header = Buffer.alloc(HEADER)
      writeHeader(header, 0, { size, stream, time })
      this.#waiting.push(header, bytes.subarray(from, to))
      return
    }
    if (this.#used + HEADER + size > this.#block.length) {
      this.#seal()
      this.#block = Buffer.alloc(BLOCK)
      this.#used = this.#sealed = 0
    }
    writeHeader(this.#block, this.#used, { size, stream, time })
    bytes.copy(this.#block, this.#used + HEADER, from, to)
    this.#used += HEADER + size
  }

  /** What is in the block waits, before what comes. */
  #seal(): void {
    if (this.#used > this.#sealed) this.#waiting.push(this.#block.subarray(this.#sealed, this.#used))
    this.#sealed = this.#used
  }

  #flush(): void {
    if (this.#work || (this.#waitingBytes === 0 && this.#points.length === 0)) return
    this.#work = this.#next()
      // A full disk takes the log, not the program, as in the addon.
      .catch(() => undefined)
      .then(() => {
        this.#work = undefined
        this.#flush()
      })
  }

  async #next(): Promise<void> {
    const point = this.#points.shift()
    try {
      await this.#write(point ? point.buffers : this.#takeWaiting())
    } finally {
      await point?.look()
    }
  }

  #takeWaiting(): Buffer[] {
    this.#seal()
    const buffers = this.#waiting
    this.#waiting = []
    return buffers
  }

  async #write(buffers: readonly Buffer[]): Promise<void> {
    if (buffers.length === 0) return
    const bytes = Buffer.concat(buffers)
    this.#waitingBytes -= bytes.length
    this.#file ??= await this.#open()
    if (this.#written > 0 && this.#written + bytes.length > this.#limit / 2) {
      await this.#file.close()
      this.#file = undefined
      await rename(this.#path, `${this.#path}.1`)
      this.#file = await this.#open()
    }
    const { bytesWritten } = await this.#file.write(bytes)
    // Half a record would take the program's words that follow for the head of the next one.
    if (bytesWritten < bytes.length) await this.#file.truncate(this.#written)
    else this.#written += bytesWritten
  }

  async #open(): Promise<FileHandle> {
    const file = await open(this.#path, 'a', 0o600)
    this.#written = (await file.stat()).size
    return file
  }
}

function newLine(): Line {
  return { bytes: new GrowingBuffer(LINE_MAX), began: 0n }
}

function writeHeader(to: Buffer, at: number, { size, stream, time }: { size: number; stream: 0 | 1; time: bigint }) {
  if (little) {
    to.writeUInt32LE(size, at)
    to.writeBigUInt64LE(time, at + 8)
  } else {
    to.writeUInt32BE(size, at)
    to.writeBigUInt64BE(time, at + 8)
  }
  to[at + 4] = stream + 1
}

/** Writes what a container prints where its output passes through this process, in the form of addon/core/log.h. */
import { type FileHandle, open, rename } from 'node:fs/promises'
import { endianness } from 'node:os'

/** Before each record's bytes: length, stream (1 stdout, 2 stderr), nanoseconds since 1970. */
const HEADER = 16
/** A longer line is cut; without a bound a program could fill our memory with one. */
const LINE_MAX = 1024 * 1024
/** Bytes that may wait for the disk before the program is made to wait. */
const WAITING_MAX = 1024 * 1024

/** What has come of a line. In one buffer: a program can write it byte by byte, and a piece takes more than its bytes. */
interface Line {
  bytes: Buffer
  size: number
  began: number
}

const little = endianness() === 'LE'

export class LogWriter {
  readonly #path: string
  readonly #limit: number
  readonly #lines: [Line, Line] = [newLine(), newLine()]
  #waiting: Buffer[] = []
  #waitingBytes = 0
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
    for (let at = 0; at < chunk.length; ) {
      const line = this.#lines[stream]
      const newline = chunk.indexOf(10, at)
      const end = Math.min(newline < 0 ? chunk.length : newline + 1, at + LINE_MAX - line.size)
      if (line.size === 0) line.began = Date.now()
      append(line, chunk.subarray(at, end))
      at = end
      if (line.size === LINE_MAX || chunk[end - 1] === 10) this.#record(stream)
    }
    this.#flush()
  }

  /** Resolves when what waits for the disk has been written; undefined: it is little. */
  get behind(): Promise<void> | undefined {
    return this.#waitingBytes > WAITING_MAX ? this.#work : undefined
  }

  /** Writes out lines that have not ended, too. */
  async finish(): Promise<void> {
    for (const stream of [0, 1] as const) if (this.#lines[stream].size > 0) this.#record(stream)
    this.#flush()
    while (this.#work) await this.#work
    await this.#file?.close()
    this.#file = undefined
  }

  #record(stream: 0 | 1): void {
    const { bytes, size, began } = this.#lines[stream]
    const header = Buffer.alloc(HEADER)
    const time = BigInt(began) * 1_000_000n
    if (little) {
      header.writeUInt32LE(size, 0)
      header.writeBigUInt64LE(time, 8)
    } else {
      header.writeUInt32BE(size, 0)
      header.writeBigUInt64BE(time, 8)
    }
    header[4] = stream + 1
    this.#waiting.push(header, bytes.subarray(0, size))
    this.#waitingBytes += HEADER + size
    this.#lines[stream] = newLine()
  }

  #flush(): void {
    if (this.#work || this.#waiting.length === 0) return
    this.#work = this.#write()
      // A full disk takes the log, not the program, as in the addon.
      .catch(() => undefined)
      .then(() => {
        this.#work = undefined
        this.#flush()
      })
  }

  async #write(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#waitingBytes = 0
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
  return { bytes: Buffer.alloc(0), size: 0, began: 0 }
}

function append(line: Line, piece: Buffer): void {
  const size = line.size + piece.length
  if (line.size === 0) line.bytes = piece
  else {
    // The first piece is a part of what was read: it is full, and never written to.
    if (size > line.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(size * 2, LINE_MAX))
      line.bytes.copy(larger, 0, 0, line.size)
      line.bytes = larger
    }
    piece.copy(line.bytes, line.size)
  }
  line.size = size
}

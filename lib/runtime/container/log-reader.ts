/** Reads the files that addon/core/log.h and log-writer.ts write. */
import { type FileHandle, open, stat } from 'node:fs/promises'

/** Bytes before each record's own: length, stream (1 stdout, 2 stderr), nanoseconds since 1970. */
export const HEADER = 16
const CHUNK = 64 * 1024
/** Bytes of a record: a line is cut when it has 1 MiB, by what came last. More is none, whatever else wrote there. */
const RECORD_MAX = 2 * 1024 * 1024

/** 2^32 nanoseconds. */
const HIGH_MS = 4294
const HIGH_REST_NS = 967_296

const NOTHING = { bytesRead: 0 }

/** A record: from its header at `at` to `end`. */
export type RecordVisitor = (bytes: Buffer, at: number, end: number) => void

/** Milliseconds since 1970, whole: exactly, in numbers that hold no nanoseconds since then, and without a BigInt for each. */
export function timeOf(bytes: Buffer, at: number): number {
  const [low, high] = [bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12)]
  return high * HIGH_MS + Math.floor((high * HIGH_REST_NS + low) / 1e6)
}

export function isStdout(bytes: Buffer, at: number): boolean {
  return bytes[at + 4] === 1
}

/** Goes through the older file, then the newer, and on to the one that takes its place when it is full. */
export class LogReader {
  readonly #path: string
  #file: FileHandle | undefined
  #started = false
  #position = 0
  #rest: Buffer = Buffer.alloc(0)
  #damaged = false
  /** The files that there were when the first was opened, as far as they went: a program may print faster than anybody reads. */
  #there: Array<{ ino: number; size: number }> | undefined = []
  /** Where the open one ends for us; undefined: it was not there. */
  #end: number | undefined
  /** Nothing more is there now. */
  dry = false
  caughtUp = false

  constructor(path: string) {
    this.#path = path
  }

  /** From now on what was written after that is read, too. */
  release(): void {
    this.#there = undefined
    this.#end = Number.POSITIVE_INFINITY
  }

  /** What is written after this is not read, unless release() says so. False: there is no file to read yet. */
  async open(): Promise<boolean> {
    this.#file ??= await this.#open()
    return this.#file !== undefined
  }

  /** Shows what comes next, if anything does. */
  async more(visit: RecordVisitor): Promise<void> {
    this.dry = false
    await this.open()
    const end = this.#end
    if (!this.#file || end === undefined) {
      this.dry = true
      return
    }
    const buffer = Buffer.allocUnsafe(CHUNK)
    const size = Math.min(CHUNK, end - this.#position)
    const isOver = this.#damaged || size <= 0
    const { bytesRead } = isOver ? NOTHING : await this.#file.read(buffer, 0, size, this.#position)
    if (bytesRead === 0) {
      if (await this.#replaced()) {
        await this.close()
        this.#rest = Buffer.alloc(0)
        this.#damaged = false
      } else this.dry = true
      return
    }
    this.#position += bytesRead
    this.#parse(buffer.subarray(0, bytesRead), visit)
  }

  async #open(): Promise<FileHandle | undefined> {
    const older = this.#started ? undefined : await open(`${this.#path}.1`).catch(() => undefined)
    const file = older ?? (await open(this.#path).catch(() => undefined))
    this.#position = 0
    if (!file) return undefined
    if (this.#there) {
      const own = await file.stat()
      const newer = older && (await stat(this.#path).catch(() => undefined))
      if (!this.#started) this.#there = newer ? [own, newer] : [own]
      const next = this.#there.shift()
      this.#end = next?.ino === own.ino ? next.size : undefined
    }
    this.#started = true
    return file
  }

  /** The file that we hold is not (or no longer) the one that is written to. */
  async #replaced(): Promise<boolean> {
    const current = await open(this.#path).catch(() => undefined)
    if (!current) return false
    try {
      const [a, b] = await Promise.all([current.stat(), (this.#file as FileHandle).stat()])
      return a.ino !== b.ino
    } finally {
      await current.close()
    }
  }

  #parse(bytes: Buffer, visit: RecordVisitor): void {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    let at = 0
    while (all.length - at >= HEADER) {
      const length = all.readUInt32LE(at)
      if (length > RECORD_MAX) {
        // Where the next one begins nobody can tell: of this file no more is read.
        this.#damaged = true
        this.#rest = Buffer.alloc(0)
        return
      }
      const end = at + HEADER + length
      if (all.length < end) break
      visit(all, at, end)
      at = end
    }
    this.#rest = Buffer.from(all.subarray(at))
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }
}

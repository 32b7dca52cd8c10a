/** Reads what a container has printed (addon/core/log.h writes it). */
import { type FileHandle, open, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { invalidArgument } from '../../errors.js'
import { checkNames, type Names } from '../../util/option-names.js'
import { parseDuration } from '../../util/units.js'

export interface LogEntry {
  /** When the line began. */
  time: Date
  stream: 'stdout' | 'stderr'
  /** One line with its newline, however long (above 1 MiB it is cut). */
  data: Buffer
}

export interface LogOptions {
  /** Go on with what comes, until the container ends. */
  follow?: boolean
  /** Of what is there already, only the last so many lines. */
  tail?: number | 'all'
  /** A time (also as milliseconds since 1970, or as text that Date takes), or how long ago, as `10m`. */
  since?: Date | number | string
  /** Put the time in front of each line's data, as RFC 3339. */
  timestamps?: boolean
  signal?: AbortSignal
}

/** Bytes of log that are kept for each container: the newest. */
export const LOG_LIMIT = 64 * 1024 * 1024
/** Less would hold no line. */
export const LOG_LEAST = 16 * 1024

const HEADER = 16
const CHUNK = 64 * 1024
/** Bytes of a record: a line is cut when it has 1 MiB, by what came last. More is none, whatever else wrote there. */
const RECORD_MAX = 2 * 1024 * 1024
/** Lines beside those asked for that are held before they go. */
const SPARE = 1024
/** Milliseconds between looks at a log that is followed. */
const POLL = 20

/** As `10m` or `1h30m`; a number would be a time. */
const AGO = /^\d[\d.]*(ms|s|m|h)/

const OPTIONS: Names<LogOptions> = { follow: true, tail: true, since: true, timestamps: true, signal: true }

/** What readLog() takes, of what callers give. */
export function checkLogOptions(given: LogOptions): LogRange & LogOptions {
  checkNames(given, OPTIONS, '')
  const { tail, since, ...options } = given
  for (const name of ['follow', 'timestamps'] as const)
    if (options[name] !== undefined && typeof options[name] !== 'boolean')
      throw invalidArgument(name, options[name], 'true or false')
  if (tail !== undefined && tail !== 'all' && !(Number.isInteger(tail) && tail >= 0))
    throw invalidArgument('tail', tail, "a number of lines, or 'all'")
  const from = typeof since === 'string' && AGO.test(since) ? Date.now() - parseDuration(since, 'since') : since
  const time = from === undefined ? undefined : new Date(from).getTime()
  if (Number.isNaN(time)) throw invalidArgument('since', since, 'a time, or how long ago, as 10m')
  return { ...options, tail: tail === 'all' ? undefined : tail, since: time }
}

const NOTHING = { bytesRead: 0 }

interface LogRange {
  tail?: number
  since?: Date | number
}

/** `ended`: nothing more will be written. */
export async function* readLog(
  path: string,
  options: Pick<LogOptions, 'follow' | 'timestamps' | 'signal'> & LogRange,
  ended: () => boolean,
): AsyncGenerator<LogEntry, void, undefined> {
  const { tail, follow = false, signal, timestamps = false } = options
  const since = Number(options.since ?? Number.NEGATIVE_INFINITY)
  const shown = (entry: LogEntry) => (timestamps ? withTime(entry) : entry)
  const reader = new LogReader(path)
  try {
    const last: LogEntry[] = []
    for (let atEnd = false; !atEnd; ) {
      // Asked before the reading, so that what came between the two is still read.
      const over = ended()
      for (const entry of await reader.more()) {
        if (entry.time.getTime() < since) continue
        if (tail === undefined || reader.caughtUp) yield shown(entry)
        else {
          last.push(entry)
          // Not one by one: each time all of them would move.
          if (last.length >= tail * 2 + SPARE) last.splice(0, last.length - tail)
        }
      }
      if (reader.dry) {
        // What was written since it was marked is still to come.
        atEnd = !follow || (over && reader.caughtUp)
        if (!reader.caughtUp) {
          reader.caughtUp = true
          if (follow) reader.release()
          for (const entry of last.splice(Math.max(0, last.length - (tail ?? 0)))) yield shown(entry)
          last.length = 0
        }
        if (!atEnd) await sleep(POLL, undefined, { ref: true, signal }).catch(() => undefined)
        if (signal?.aborted) return
      }
    }
  } finally {
    await reader.close()
  }
}

function withTime(entry: LogEntry): LogEntry {
  return { ...entry, data: Buffer.concat([Buffer.from(`${entry.time.toISOString()} `), entry.data]) }
}

/** Goes through the older file, then the newer, and on to the one that takes its place when it is full. */
class LogReader {
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

  async more(): Promise<LogEntry[]> {
    this.dry = false
    this.#file ??= await this.#open()
    const end = this.#end
    if (!this.#file || end === undefined) {
      this.dry = true
      return []
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
      return []
    }
    this.#position += bytesRead
    return this.#parse(buffer.subarray(0, bytesRead))
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

  #parse(bytes: Buffer): LogEntry[] {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    const entries: LogEntry[] = []
    let at = 0
    while (all.length - at >= HEADER) {
      const length = all.readUInt32LE(at)
      if (length > RECORD_MAX) {
        // Where the next one begins nobody can tell: of this file no more is read.
        this.#damaged = true
        this.#rest = Buffer.alloc(0)
        return entries
      }
      if (all.length - at < HEADER + length) break
      const stream = all[at + 4] === 1 ? 'stdout' : 'stderr'
      const time = new Date(Number(all.readBigUInt64LE(at + 8) / 1000n) / 1000)
      entries.push({ time, stream, data: Buffer.from(all.subarray(at + HEADER, at + HEADER + length)) })
      at += HEADER + length
    }
    this.#rest = Buffer.from(all.subarray(at))
    return entries
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }
}

/** What a container has printed: line by line, or all of it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { invalidArgument } from '../../errors.js'
import { GrowingBuffer } from '../../util/growing-buffer.js'
import { checkNames, type Names } from '../../util/option-names.js'
import { parseDuration } from '../../util/units.js'
import { HEADER, isStdout, LogReader, timeOf } from './log-reader.js'

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
      const entries: LogEntry[] = []
      await reader.more((bytes, at, end) => {
        if (timeOf(bytes, at) >= since) entries.push(entryOf(bytes, at, end))
      })
      for (const entry of entries) {
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

/** All that was printed since a time (milliseconds since 1970), without its lines. */
export interface LogOutput {
  stdout: Buffer
  stderr: Buffer
  /** There is more than asked for. */
  truncated: boolean
}

/** The first `limit` bytes: of short lines there may be millions, and nobody wants to see them one by one. */
export async function readOutput(path: string, since: number, limit: number): Promise<LogOutput> {
  const reader = new LogReader(path)
  const stdout = new GrowingBuffer(limit)
  const stderr = new GrowingBuffer(limit)
  let truncated = false
  try {
    while (!reader.dry && !truncated)
      await reader.more((bytes, at, end) => {
        if (truncated || timeOf(bytes, at) < since) return
        truncated = stdout.length + stderr.length + end - at - HEADER > limit
        if (!truncated) (isStdout(bytes, at) ? stdout : stderr).add(bytes, at + HEADER, end)
      })
  } finally {
    await reader.close()
  }
  return { stdout: stdout.take(), stderr: stderr.take(), truncated }
}

/** With bytes of its own: who keeps one line should not keep all that were read with it. */
function entryOf(bytes: Buffer, at: number, end: number): LogEntry {
  const stream = isStdout(bytes, at) ? 'stdout' : 'stderr'
  return { time: new Date(timeOf(bytes, at)), stream, data: Buffer.from(bytes.subarray(at + HEADER, end)) }
}

function withTime(entry: LogEntry): LogEntry {
  return { ...entry, data: Buffer.concat([Buffer.from(`${entry.time.toISOString()} `), entry.data]) }
}

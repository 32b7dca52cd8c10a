/** What a container prints and reads: attach, logs, the size of its terminal. */
import type { Writable } from 'node:stream'
import type { LogEntry } from '../runtime/container/log.js'
import { roomIn } from '../util/room.js'
import type { Call } from './call.js'
import { badRequest } from './failure.js'
import { momentOf } from './prune-time.js'
import type { Route } from './router.js'
import type { Kept } from './state.js'
import { frame } from './stream-format.js'
import { contentType, streamProgram } from './streams.js'

export const containerStreamRoutes: Route[] = [
  { method: 'POST', path: '/containers/{id}/attach', handler: attach },
  { method: 'GET', path: '/containers/{id}/logs', handler: logs },
  { method: 'POST', path: '/containers/{id}/resize', handler: resize },
]

async function attach(call: Call): Promise<void> {
  const kept = await call.state.find(call.parameter('id'))
  const { container, stdinOnce } = kept
  await call.body()
  const { tty } = container.inspect()
  const logs = call.flag('logs')
  const [stdin, stdout, stderr] = [call.flag('stdin'), call.flag('stdout'), call.flag('stderr')]
  if (!call.flag('stream')) {
    const { output } = call.take(contentType(call.version, tty))
    output.on('error', () => undefined)
    if (logs) await sendLog(output, container.logs({ signal: call.gone }), { wanted: { stdout, stderr }, tty })
    output.end()
    return
  }
  // A terminal has no end that could be passed on.
  await streamProgram(call, container.attach({ logs }), {
    tty,
    stdin,
    stdout,
    stderr,
    closesInput: stdinOnce && !tty,
    left: 'detach',
  })
}

/** Nanoseconds, as Go writes times. */
const stamp = (time: Date) => time.toISOString().replace('Z', '000000Z ')

async function logs(call: Call): Promise<void> {
  const kept = await call.state.find(call.parameter('id'))
  const wanted = { stdout: call.flag('stdout'), stderr: call.flag('stderr') }
  if (!wanted.stdout && !wanted.stderr) throw badRequest('Bad parameters: you must choose at least one stream')
  const timestamps = call.flag('timestamps')
  const { tty } = kept.container.inspect()
  const entries = kept.container.logs({ ...rangeOf(call, kept), signal: call.gone })
  const until = momentIn(call, 'until')
  call.response.writeHead(200, { 'Content-Type': contentType(call.version, tty) })
  call.response.flushHeaders()
  await sendLog(call.response, entries, { wanted, tty, timestamps, until })
  if (!call.gone.aborted) call.response.end()
}

interface Shown {
  wanted: Record<LogEntry['stream'], boolean>
  tty: boolean
  timestamps?: boolean
  /** Milliseconds since 1970. */
  until?: number
}

/** Until there are no more, or nobody is there to read them. */
async function sendLog(to: Writable, entries: AsyncIterable<LogEntry>, shown: Shown): Promise<void> {
  const { wanted, tty, timestamps = false, until = Number.POSITIVE_INFINITY } = shown
  for await (const { time, stream, data } of entries) {
    if (to.destroyed || time.getTime() > until) return
    if (!wanted[stream]) continue
    const bytes = timestamps ? Buffer.concat([Buffer.from(stamp(time)), data]) : data
    if (!to.write(tty ? bytes : frame(stream, bytes))) await roomIn(to)
  }
}

function rangeOf(call: Call, { container }: Kept) {
  const tail = call.text('tail') ?? 'all'
  if (tail !== 'all' && !/^-?\d{1,9}$/.test(tail)) throw badRequest(`invalid tail: ${tail.slice(0, 100)}`)
  const since = momentIn(call, 'since')
  return {
    follow: call.flag('follow') && container.state !== 'removed',
    tail: tail === 'all' || Number(tail) < 0 ? ('all' as const) : Number(tail),
    ...(since === undefined ? {} : { since }),
  }
}

/** 0 is none. */
function momentIn(call: Call, name: 'since' | 'until'): number | undefined {
  const text = call.text(name)
  return text === undefined || Number(text) === 0 ? undefined : momentOf(text, name)
}

async function resize(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  const [rows, columns] = [call.whole('h'), call.whole('w')]
  if (rows === undefined || columns === undefined) throw badRequest('h and w are missing')
  container.resize(columns, rows)
  call.empty(200)
}

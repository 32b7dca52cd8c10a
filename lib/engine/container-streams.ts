/** What a container prints and reads: attach, logs, the size of its terminal. */
import type { Call } from './call.js'
import { badRequest, notImplemented } from './failure.js'
import { momentOf } from './prune-time.js'
import { roomIn } from './room.js'
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
  if (call.flag('logs')) throw notImplemented('an attach with logs', 'Ask for the logs beside it')
  const { tty } = container.inspect()
  const [stdin, stdout, stderr] = [call.flag('stdin'), call.flag('stdout'), call.flag('stderr')]
  if (!call.flag('stream')) {
    call.take(contentType(call.version, tty)).output.end()
    return
  }
  // A terminal has no end that could be passed on.
  await streamProgram(call, container.attach(), {
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
  const until = momentIn(call, 'until') ?? Number.POSITIVE_INFINITY
  call.response.writeHead(200, { 'Content-Type': contentType(call.version, tty) })
  call.response.flushHeaders()
  for await (const { time, stream, data } of entries) {
    if (call.gone.aborted) return
    if (time.getTime() > until) break
    if (!wanted[stream]) continue
    const bytes = timestamps ? Buffer.concat([Buffer.from(stamp(time)), data]) : data
    if (!call.response.write(tty ? bytes : frame(stream, bytes))) await roomIn(call.response)
  }
  call.response.end()
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

/** What containers use, and their processes. */
import { readFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Container } from '../container.js'
import type { DeviceFigures } from '../network/device-figures.js'
import type { ContainerStats } from '../runtime/container/container-stats.js'
import type { Json } from '../spec/json.js'
import { roomIn } from '../util/room.js'
import type { Call } from './call.js'
import { ApiError, badRequest } from './failure.js'
import type { Route } from './router.js'

export const containerStatsRoutes: Route[] = [
  { method: 'GET', path: '/containers/{id}/stats', handler: stats },
  { method: 'GET', path: '/containers/{id}/top', handler: top },
]

const SECOND = 1000
const NANO_OF_MILLI = 1e6
/** Nanoseconds of a tick of /proc/stat (proc_stat(5), USER_HZ). */
const NANO_OF_TICK = 1e7
const NEVER = '0001-01-01T00:00:00Z'

interface Sample {
  stats: ContainerStats
  /** Nanoseconds of all processors. */
  system: number
}

async function stats(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  const [stream, once] = [call.flag('stream', true), call.flag('one-shot')]
  if (stream && once) throw badRequest('cannot have stream=true and one-shot=true')
  let before = once || !uses(container) ? undefined : await sampleOf(container)
  call.response.writeHead(200, { 'Content-Type': 'application/json' })
  do {
    // Who asks once has the difference of a second; of one that does not run there is none to wait for.
    if (stream || before) await sleep(SECOND, undefined, { signal: call.gone }).catch(() => undefined)
    if (call.gone.aborted || (stream && container.state === 'removed')) break
    const now = uses(container) ? await sampleOf(container).catch(() => before) : undefined
    const told = now ? statsJson(container, now, before) : nothingUsed(container)
    if (!call.response.write(`${JSON.stringify(told)}\n`)) await roomIn(call.response)
    before = now
  } while (stream)
  call.response.end()
}

function uses({ state }: Container): boolean {
  return state === 'running' || state === 'paused'
}

/** As dockerd has it of one that does not run. */
function nothingUsed({ id, name }: Container): Json {
  const nothing = { id, name: `/${name}`, read: NEVER, preread: NEVER, num_procs: 0, pids_stats: {}, cpu_stats: {} }
  return { ...nothing, precpu_stats: {}, memory_stats: {}, blkio_stats: {}, storage_stats: {} }
}

async function sampleOf(container: Container): Promise<Sample> {
  const [stats, text] = await Promise.all([container.stats(), readFile('/proc/stat', 'latin1')])
  // user nice system idle iowait irq softirq steal
  const ticks = text.slice(0, text.indexOf('\n')).split(/\s+/).slice(1, 9)
  return { stats, system: ticks.reduce((sum, each) => sum + Number(each), 0) * NANO_OF_TICK }
}

function statsJson({ id, name }: Container, now: Sample, before: Sample | undefined): Json {
  const { time, memoryBytes, memoryLimitBytes, memoryPeakBytes, pids, pidsLimit, ioReadBytes, ioWriteBytes } = now.stats
  const io = (op: string, value: number | null) => (value === null ? [] : [{ major: 0, minor: 0, op, value }])
  return {
    id,
    name: `/${name}`,
    read: time.toISOString(),
    preread: before?.stats.time.toISOString() ?? NEVER,
    num_procs: 0,
    pids_stats: { ...(pids === null ? {} : { current: pids }), ...(pidsLimit === null ? {} : { limit: pidsLimit }) },
    cpu_stats: cpuJson(now),
    precpu_stats: before ? cpuJson(before) : {},
    memory_stats: {
      usage: memoryBytes ?? 0,
      ...(memoryPeakBytes === null ? {} : { max_usage: memoryPeakBytes }),
      limit: memoryLimitBytes ?? totalmem(),
      stats: {},
    },
    blkio_stats: { io_service_bytes_recursive: [...io('read', ioReadBytes), ...io('write', ioWriteBytes)] },
    storage_stats: {},
    ...networksJson(now.stats.networks),
  }
}

/** Docker leaves it out of what is on no network. */
function networksJson(networks: Record<string, DeviceFigures>): Json {
  const told = Object.entries(networks).map(([name, figures]) => [
    name,
    {
      rx_bytes: figures.receivedBytes,
      rx_packets: figures.receivedPackets,
      rx_errors: figures.receivedErrors,
      rx_dropped: figures.receivedDropped,
      tx_bytes: figures.sentBytes,
      tx_packets: figures.sentPackets,
      tx_errors: figures.sentErrors,
      tx_dropped: figures.sentDropped,
    },
  ])
  return told.length > 0 ? { networks: Object.fromEntries(told) } : {}
}

function cpuJson({ stats: { cpuUserMs, cpuSystemMs, throttledMs }, system }: Sample): Json {
  const [user, kernel] = [(cpuUserMs ?? 0) * NANO_OF_MILLI, (cpuSystemMs ?? 0) * NANO_OF_MILLI]
  return {
    cpu_usage: { total_usage: user + kernel, usage_in_kernelmode: kernel, usage_in_usermode: user },
    system_cpu_usage: system,
    online_cpus: cpus().length,
    throttling_data: { periods: 0, throttled_periods: 0, throttled_time: (throttledMs ?? 0) * NANO_OF_MILLI },
  }
}

async function top(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  if (container.state !== 'running' && container.state !== 'paused')
    throw new ApiError(409, `container ${container.id} is not running`)
  const list = await container.top()
  call.json({
    // The columns are ours whatever ps_args says: ps of this machine is not asked.
    Titles: ['UID', 'PID', 'PPID', 'STAT', 'RSS', 'CMD'],
    Processes: list.map(({ uid, pid, ppid, state, memoryBytes, args, command }) => [
      String(uid),
      String(pid),
      String(ppid),
      state,
      String(Math.round(memoryBytes / 1024)),
      args.length > 0 ? args.join(' ') : `[${command}]`,
    ]),
  })
}

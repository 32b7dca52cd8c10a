/** What a group uses now. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CgroupPlan } from './plan.js'
import { parseIo, parseKeyed, type Usage } from './usage.js'

/** Accounts so far, and what is in use at this moment; null where the host cannot tell. */
export interface Stats extends Usage {
  time: Date
  /** Processors in use since the sample before (of an interval), or since the start. 1 is one processor. */
  cpus: number | null
  memoryBytes: number | null
  /** null: no limit. */
  memoryLimitBytes: number | null
  swapBytes: number | null
  pids: number | null
  pidsLimit: number | null
}

async function read(directory: string | undefined, file: string): Promise<string | undefined> {
  if (directory === undefined) return undefined
  return readFile(path.join(directory, file), 'utf8').catch(() => undefined)
}

const number = (text: string | undefined) => (text !== undefined && /^\d+\s*$/.test(text) ? Number(text) : null)
/** v1 says "no limit" as the largest multiple of the page size. */
const limit = (text: string | undefined) => {
  const value = number(text)
  return value === null || value > Number.MAX_SAFE_INTEGER ? null : value
}

export async function readStats(plan: CgroupPlan): Promise<Stats> {
  const unified = plan.unified?.directory
  const hasV2 = (name: string) => plan.unified?.controllers.includes(name) ?? false
  const v1 = (controller: string) =>
    plan.legacy.find(({ hierarchy }) => hierarchy.controllers.includes(controller))?.directory
  const memory = v1('memory')
  const pids = v1('pids')
  const [cpu, events, current, peak, max, swap, pidsNow, pidsPeak, pidsMax, io] = await Promise.all([
    read(unified ?? v1('cpuacct'), unified ? 'cpu.stat' : 'cpuacct.usage'),
    hasV2('memory') ? read(unified, 'memory.events') : read(memory, 'memory.oom_control'),
    hasV2('memory') ? read(unified, 'memory.current') : read(memory, 'memory.usage_in_bytes'),
    hasV2('memory') ? read(unified, 'memory.peak') : read(memory, 'memory.max_usage_in_bytes'),
    hasV2('memory') ? read(unified, 'memory.max') : read(memory, 'memory.limit_in_bytes'),
    hasV2('memory') ? read(unified, 'memory.swap.current') : read(memory, 'memory.memsw.usage_in_bytes'),
    hasV2('pids') ? read(unified, 'pids.current') : read(pids, 'pids.current'),
    hasV2('pids') ? read(unified, 'pids.peak') : read(pids, 'pids.peak'),
    hasV2('pids') ? read(unified, 'pids.max') : read(pids, 'pids.max'),
    hasV2('io') ? read(unified, 'io.stat') : read(v1('blkio'), 'blkio.throttle.io_service_bytes_recursive'),
  ])
  const cpuKeys = parseKeyed(cpu ?? '')
  const milliseconds = (key: string) => (cpuKeys.has(key) ? (cpuKeys.get(key) as number) / 1000 : null)
  const transfers = io === undefined ? undefined : parseIo(io)
  const memoryBytes = number(current)
  const swapped = number(swap)
  return {
    time: new Date(),
    cpus: null,
    cpuUserMs: milliseconds('user_usec'),
    cpuSystemMs: milliseconds('system_usec'),
    throttledMs: milliseconds('throttled_usec'),
    memoryBytes,
    memoryPeakBytes: number(peak),
    memoryLimitBytes: limit(max),
    // v1 counts memory and swap together.
    swapBytes: swapped === null || hasV2('memory') ? swapped : Math.max(0, swapped - (memoryBytes ?? 0)),
    oomKills: events === undefined ? null : (parseKeyed(events).get('oom_kill') ?? null),
    pids: number(pidsNow),
    pidsPeak: number(pidsPeak),
    pidsLimit: limit(pidsMax),
    ioReadBytes: transfers?.read ?? null,
    ioWriteBytes: transfers?.write ?? null,
  }
}

/** Fills in `cpus` from two samples. */
export function withRate<T extends Stats>(now: T, before: Pick<Stats, 'time' | 'cpuUserMs' | 'cpuSystemMs'>): T {
  const elapsed = now.time.getTime() - before.time.getTime()
  if (now.cpuUserMs === null || now.cpuSystemMs === null || elapsed <= 0) return now
  const used = now.cpuUserMs + now.cpuSystemMs - (before.cpuUserMs ?? 0) - (before.cpuSystemMs ?? 0)
  return { ...now, cpus: Math.max(0, used / elapsed) }
}

/** A sample every `interval` milliseconds, as long as there is something to measure. */
export async function* statsEvery<T extends Stats>(
  interval: number,
  read: () => Promise<T>,
  goesOn: () => boolean,
  signal?: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  let before: T | undefined
  while (goesOn() && !signal?.aborted) {
    const now = await read()
    if (!goesOn()) return
    yield before ? withRate(now, before) : now
    before = now
    await sleep(interval, undefined, { signal }).catch(() => undefined)
  }
}

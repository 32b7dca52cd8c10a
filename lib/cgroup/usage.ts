/** What a run or exec has used, read from the files that accounts.ts names. */
import type { NativeReport } from '../native/addon.js'
import type { AccountFiles } from './accounts.js'

/** Numbers, or null where the host cannot tell. */
export interface Usage {
  cpuUserMs: number | null
  cpuSystemMs: number | null
  memoryPeakBytes: number | null
  pidsPeak: number | null
  oomKills: number | null
  ioReadBytes: number | null
  ioWriteBytes: number | null
  throttledMs: number | null
}

/** `key value` lines, as in cpu.stat and memory.events. */
export function parseKeyed(text: string): Map<string, number> {
  const result = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [key, value] = line.split(' ')
    if (key && value && /^\d{1,20}$/.test(value)) result.set(key, Number(value))
  }
  return result
}

/** Sums over devices: io.stat of v2 (`8:0 rbytes=1 wbytes=2`), or blkio's `8:0 Read 1`. */
export function parseIo(text: string): { read: number; write: number } {
  let read = 0
  let write = 0
  for (const line of text.split('\n')) {
    if (/^\d+:\d+ /.test(line)) {
      read += Number(/ rbytes=(\d{1,20})/.exec(line)?.[1] ?? / Read (\d{1,20})/.exec(line)?.[1] ?? 0)
      write += Number(/ wbytes=(\d{1,20})/.exec(line)?.[1] ?? / Write (\d{1,20})/.exec(line)?.[1] ?? 0)
    }
  }
  return { read, write }
}

function single(text: string): number | null {
  return /^\d+\s*$/.test(text) ? Number(text) : null
}

/** The order in which the files are asked of the addon. */
const ACCOUNTS = ['cpu', 'memoryPeak', 'memoryEvents', 'pidsPeak', 'io'] as const

export function accountPaths(files: AccountFiles): string[] {
  return ACCOUNTS.map((name) => files[name]).filter((file) => file !== undefined)
}

/** Accounts from the texts of `accountPaths`; what no cgroup counts comes from the process itself. */
export function usageFrom(files: AccountFiles, report: Pick<NativeReport, 'collected' | 'userMs' | 'systemMs'>): Usage {
  const texts: Partial<Record<(typeof ACCOUNTS)[number], string>> = {}
  let next = 0
  for (const name of ACCOUNTS) if (files[name] !== undefined) texts[name] = report.collected[next++] ?? ''
  const cpu = texts.cpu === undefined ? undefined : parseKeyed(texts.cpu)
  const events = texts.memoryEvents === undefined ? undefined : parseKeyed(texts.memoryEvents)
  // Without any traffic io.stat of v2 is empty; the file of v1 ends with a total, and is empty only when unreadable.
  const counted = texts.io !== undefined && (texts.io !== '' || files.io?.endsWith('/io.stat'))
  const io = counted ? parseIo(texts.io ?? '') : undefined
  const throttled = cpu?.get('throttled_usec')
  return {
    cpuUserMs: (cpu?.get('user_usec') ?? report.userMs * 1000) / 1000,
    cpuSystemMs: (cpu?.get('system_usec') ?? report.systemMs * 1000) / 1000,
    // Not ru_maxrss without a cgroup: exec counts the memory that the process had before it, which is the owner's.
    memoryPeakBytes: texts.memoryPeak === undefined ? null : single(texts.memoryPeak),
    pidsPeak: texts.pidsPeak === undefined ? null : single(texts.pidsPeak),
    oomKills: events?.get('oom_kill') ?? null,
    ioReadBytes: io?.read ?? null,
    ioWriteBytes: io?.write ?? null,
    throttledMs: throttled === undefined ? null : throttled / 1000,
  }
}

/** Limits of this process and of the machine that bound how many containers can run. */
import path from 'node:path'
import { cgroupHost } from '../cgroup/host.js'
import { bad, type Finding, ok, type Subject, unknown } from './finding.js'
import { isRoot, setting } from './trial.js'

const FILES: Subject = {
  id: 'limits.files',
  what: 'open files',
  why: 'A running container takes about eight descriptors of this process.',
}
const PROCESSES: Subject = {
  id: 'limits.processes',
  what: 'processes',
  why: 'Containers and their programs count towards these limits.',
}

const ENOUGH_FILES = 4096
const ENOUGH_PROCESSES = 512

export function examineLimits(): Finding[] {
  return [files(setting('/proc/self/limits') ?? ''), processes()]
}

/** The soft limit of a line in /proc/self/limits. */
export function softLimit(text: string, name: string): number | undefined {
  const value = new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(text)?.[1]
  return value === 'unlimited' ? Number.POSITIVE_INFINITY : value === undefined ? undefined : Number(value)
}

export function files(text: string): Finding {
  const limit = softLimit(text, 'Max open files')
  if (limit === undefined) return unknown(FILES, '/proc/self/limits cannot be read')
  if (limit >= ENOUGH_FILES) return ok(FILES, String(limit))
  return bad(
    FILES,
    'warning',
    String(limit),
    'ulimit -n 65536 before this program (LimitNOFILE=65536 in its systemd unit)',
  )
}

function processes(): Finding {
  const room: Array<[what: string, left: number, fix: string]> = []
  const running = Number(/\/(\d+) /.exec(setting('/proc/loadavg') ?? '')?.[1] ?? 0)
  for (const name of ['pid_max', 'threads-max']) {
    const limit = Number(setting(`/proc/sys/kernel/${name}`))
    if (limit > 0) room.push([`kernel.${name} is ${limit}`, limit - running, `sysctl -w kernel.${name}=4194304`])
  }
  const own = isRoot() ? undefined : softLimit(setting('/proc/self/limits') ?? '', 'Max processes')
  if (own !== undefined) room.push([`ulimit -u is ${own}`, own, 'ulimit -u 65536 (LimitNPROC= in a systemd unit)'])
  for (const directory of pidsCgroups()) {
    const max = setting(path.join(directory, 'pids.max'))
    const current = Number(setting(path.join(directory, 'pids.current')) ?? 0)
    if (max !== undefined && max !== 'max')
      room.push([`pids.max of ${directory} is ${max}`, Number(max) - current, `TasksMax=infinity in the systemd unit`])
  }
  const tight = room.sort((a, b) => a[1] - b[1])[0]
  if (!tight) return unknown(PROCESSES, 'no limit can be read')
  const [what, left, fix] = tight
  return left < ENOUGH_PROCESSES ? bad(PROCESSES, 'warning', what, fix) : ok(PROCESSES, what)
}

/** Our own cgroup with a pids controller, and those above it. */
function pidsCgroups(): string[] {
  const directories: string[] = []
  try {
    const { unified, legacy } = cgroupHost()
    for (const hierarchy of [unified, ...legacy.filter(({ controllers }) => controllers.includes('pids'))]) {
      if (!hierarchy) continue
      for (let at = hierarchy.own; at.length >= hierarchy.mountpoint.length && at !== '/'; at = path.dirname(at))
        directories.push(at)
    }
  } catch {
    // The findings about cgroups say what is wrong with them.
  }
  return directories
}

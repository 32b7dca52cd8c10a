/** The files that tell what a group has used. */
import path from 'node:path'
import type { LegacyPlace } from './host.js'

/** Paths by what they tell; missing where the host cannot tell. */
export interface AccountFiles {
  cpu?: string
  memoryPeak?: string
  memoryEvents?: string
  pidsPeak?: string
  io?: string
}

/** cpu.stat is there in every v2 cgroup, the others come with their controllers. */
export function unifiedAccounts(directory: string, controllers: readonly string[]): AccountFiles {
  const file = (name: string, controller: string) =>
    controllers.includes(controller) ? path.join(directory, name) : undefined
  return present({
    cpu: path.join(directory, 'cpu.stat'),
    memoryPeak: file('memory.peak', 'memory'),
    memoryEvents: file('memory.events', 'memory'),
    pidsPeak: file('pids.peak', 'pids'),
    io: file('io.stat', 'io'),
  })
}

export function legacyAccounts({ hierarchy, directory }: LegacyPlace): AccountFiles {
  const file = (name: string, controller: string) =>
    hierarchy.controllers.includes(controller) ? path.join(directory, name) : undefined
  return present({
    cpu: file('cpuacct.usage', 'cpuacct'),
    memoryPeak: file('memory.max_usage_in_bytes', 'memory'),
    memoryEvents: file('memory.oom_control', 'memory'),
    pidsPeak: file('pids.peak', 'pids'),
    io: file('blkio.throttle.io_service_bytes_recursive', 'blkio'),
  })
}

function present(files: AccountFiles): AccountFiles {
  return Object.fromEntries(Object.entries(files).filter(([, file]) => file !== undefined))
}

/** Which cgroup hierarchies this machine has, and where we are in them. */
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { type MountInfo, parseMountInfo } from '../util/mountinfo.js'

export interface Hierarchy {
  version: 1 | 2
  mountpoint: string
  /** v1: those mounted together here. v2: those that are available. */
  controllers: string[]
  /** Directory of the cgroup that this process is in. */
  own: string
}

/** A directory in one v1 hierarchy. */
export interface LegacyPlace {
  hierarchy: Hierarchy
  directory: string
}

export interface CgroupHost {
  /** unified: all on v2. hybrid: controllers on v1, and a v2 without them. legacy: v1 only. */
  mode: 'unified' | 'hybrid' | 'legacy' | 'none'
  unified?: Hierarchy
  /** A cgroup namespace of v2 is a border that no process crosses (nsdelegate, cgroups(7)). */
  delegating?: boolean
  legacy: Hierarchy[]
}

/** A line of /proc/PID/cgroup (cgroups(7)). */
export function parseProcCgroup(text: string): Array<{ controllers: string[]; path: string }> {
  return text
    .split('\n')
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, controllers, where]) => ({
      controllers: (controllers as string).split(',').filter((name) => name !== ''),
      path: where as string,
    }))
}

const MARKER = 'name='

export function readHost(mountinfo: string, procCgroup: string): CgroupHost {
  const memberships = parseProcCgroup(procCgroup)
  const mounts = parseMountInfo(mountinfo)
  const legacy: Hierarchy[] = []
  for (const membership of memberships) {
    if (membership.controllers.length === 0 || membership.controllers[0]?.startsWith(MARKER)) continue
    const mount = mounts.findLast(
      (each) =>
        each.fsType === 'cgroup' && membership.controllers.every((name) => each.superOptions.split(',').includes(name)),
    )
    if (mount)
      legacy.push({
        version: 1,
        mountpoint: mount.mountpoint,
        controllers: membership.controllers,
        own: ownDirectory(mount, membership.path),
      })
  }
  const unifiedMount = mounts.findLast((mount) => mount.fsType === 'cgroup2')
  const unifiedPath = memberships.find((membership) => membership.controllers.length === 0)?.path
  const unified: Hierarchy | undefined =
    unifiedMount && unifiedPath !== undefined
      ? {
          version: 2,
          mountpoint: unifiedMount.mountpoint,
          controllers: [],
          own: ownDirectory(unifiedMount, unifiedPath),
        }
      : undefined
  const mode = unified ? (legacy.length > 0 ? 'hybrid' : 'unified') : legacy.length > 0 ? 'legacy' : 'none'
  const delegating = unifiedMount?.superOptions.split(',').includes('nsdelegate')
  return { mode, unified, delegating, legacy }
}

/** Paths of /proc/PID/cgroup begin at the hierarchy's root; a mount may show only a part of it. */
function ownDirectory(mount: MountInfo, where: string): string {
  // A cgroup above the root of our cgroup namespace (cgroup_namespaces(7)) has no place in a mount.
  if (where.split('/').includes('..')) return mount.mountpoint
  if (mount.root === '/') return path.join(mount.mountpoint, where).replace(/(?<=.)\/$/, '')
  const relative = path.relative(mount.root, where)
  return relative.startsWith('..') ? mount.mountpoint : path.join(mount.mountpoint, relative)
}

let known: CgroupHost | undefined

/** The host as it is; looked at once. */
export function cgroupHost(): CgroupHost {
  if (known) return known
  const host = readHost(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'))
  if (host.unified) host.unified.controllers = readWords(path.join(host.unified.mountpoint, 'cgroup.controllers'))
  known = host
  return host
}

export function readWords(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').trim().split(/\s+/).filter(Boolean)
  } catch {
    return []
  }
}

/** Where containers go in v2. */
export interface UnifiedParent {
  directory: string
  /** Directories that have to hand controllers down, the topmost that we may write to first, `directory` last. */
  chain: string[]
  /** Those of the topmost. */
  controllers: string[]
}

/**
 * The directory of v2 below which containers go: the nearest one, from our own cgroup upwards, that we may write to
 * and whose children can have controllers. A cgroup with processes in it cannot hand controllers down
 * ("no internal processes"), the root of the machine excepted.
 */
export function unifiedParent(hierarchy: Hierarchy): UnifiedParent | undefined {
  const writable = writableLevels(hierarchy)
  const top = writable.at(-1)
  if (top === undefined) return undefined
  const controllers = readWords(path.join(top, 'cgroup.controllers'))
  const index = controllers.length === 0 ? -1 : writable.findIndex(canHandDown)
  // Without controllers a cgroup still tracks, freezes and kills.
  if (index < 0) return { directory: writable[0] as string, chain: [], controllers: [] }
  return { directory: writable[index] as string, chain: writable.slice(index).reverse(), controllers }
}

/** From the nearest to our own cgroup upwards, without a gap. */
function writableLevels(hierarchy: Hierarchy): string[] {
  const levels: string[] = []
  for (let directory = hierarchy.own; ; directory = path.dirname(directory)) {
    if (isWritable(directory)) levels.push(directory)
    else if (levels.length > 0) return levels
    if (directory === hierarchy.mountpoint || directory === '/') return levels
  }
}

function canHandDown(directory: string): boolean {
  const machineRoot = !existsSync(path.join(directory, 'cgroup.type'))
  return machineRoot || readWords(path.join(directory, 'cgroup.procs')).length === 0
}

/** Whether we may make cgroups in it and move processes there. */
export function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK)
    accessSync(path.join(directory, 'cgroup.procs'), constants.W_OK)
    return statSync(directory).isDirectory()
  } catch {
    return false
  }
}

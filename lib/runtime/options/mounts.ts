/** Mounts of a configuration: the standard ones, then the caller's. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../../errors.js'
import type { ContainerOptions, Mount } from '../../options.js'
import { DEFAULT_SHM_SIZE, defaultMounts, MAX_TERMINALS } from '../../spec/defaults.js'
import type { SpecMount } from '../../spec/runtime.js'
import { insidePath } from '../../util/paths.js'
import { parseSize } from '../../util/units.js'
import { fileMode, userId } from './file-owner.js'

/** Kernel interfaces that a mount of the caller may not replace or cover. */
const RESERVED = ['/proc', '/sys', '/dev/pts']

/** What the mounts depend on. */
interface Context {
  ownNet: boolean
  hostIpc: boolean
  hostPids: boolean
  userns: boolean
  /** The kernel lets us mount no new one of these, so what we see ourselves is shown, read-only. */
  outerProc: boolean
  outerSys: boolean
  /** Whether the group of terminals has an id in the container. */
  ttyGroup: boolean
}

/** Of terminals: the group `tty`, which may write to them (devpts). */
export const TTY_GROUP = 5

export function mountsSpec(options: ContainerOptions, context: Context): SpecMount[] {
  // 0 is the default, as for docker: to a tmpfs it would be no limit.
  const shm = parseSize(options.shmSize ?? 0, 'shmSize') || DEFAULT_SHM_SIZE
  const asked = (options.mounts ?? []).map((mount, i) => mountSpec(mount, `mounts[${i}]`))
  const replaced = new Set(asked.map((mount) => mount.destination))
  const standard = defaultMounts(shm)
    .filter((mount) => !replaced.has(mount.destination))
    .filter(({ destination }) => destination !== '/dev/mqueue' || !hostQueues(context) || existsSync(destination))
    .map((mount) => adapt(mount, options, context))
  // Parents before what lies in them, whatever order the caller chose; equal depth keeps the order.
  return [...standard, ...asked.sort((a, b) => depth(a.destination) - depth(b.destination))]
}

/** A user namespace may mount message queues only of an ipc namespace of its own; else the host's are shown, if any are. */
const hostQueues = ({ hostIpc, userns }: Context) => hostIpc && userns

function depth(destination: string): number {
  return destination === '/' ? 0 : destination.split('/').length
}

function adapt(mount: SpecMount, options: ContainerOptions, context: Context): SpecMount {
  if (options.security?.privileged && (mount.type === 'sysfs' || mount.type === 'cgroup'))
    return { ...mount, options: mount.options?.filter((option) => option !== 'ro') }
  if (mount.type === 'devpts') {
    const without = [
      ...(context.ttyGroup ? [] : [`gid=${TTY_GROUP}`]),
      ...(options.security?.privileged ? [MAX_TERMINALS] : []),
    ]
    return { ...mount, options: mount.options?.filter((option) => !without.includes(option)) }
  }
  // A user namespace may mount procfs only of a pid namespace of its own; else the host's is shown.
  if (mount.type === 'proc' && context.hostPids && context.userns)
    return { ...mount, type: 'bind', source: '/proc', options: ['rbind', 'nosuid', 'noexec', 'nodev'] }
  if (mount.type === 'proc' && context.outerProc)
    return { ...mount, type: 'bind', source: '/proc', options: ['rbind', 'rro', 'nosuid', 'noexec', 'nodev'] }
  // A user namespace may mount sysfs only with a network namespace of its own; else the host's is shown.
  if (mount.type === 'sysfs' && (context.outerSys || (!context.ownNet && context.userns)))
    return { ...mount, type: 'bind', source: '/sys', options: ['rbind', 'rro', 'nosuid', 'noexec', 'nodev'] }
  // POSIX shared memory and message queues are files: sharing the ipc namespace is meant to share them too.
  if (mount.destination === '/dev/mqueue' && hostQueues(context))
    return { ...mount, type: 'bind', source: '/dev/mqueue', options: ['rbind', 'nosuid', 'noexec', 'nodev'] }
  if (mount.destination === '/dev/shm' && context.hostIpc && options.shmSize === undefined)
    return { ...mount, type: 'bind', source: '/dev/shm', options: ['rbind', 'nosuid', 'noexec', 'nodev'] }
  return mount
}

function mountSpec(mount: Mount, option: string): SpecMount {
  const destination = insidePath(mount.target, `${option}.target`)
  if (destination === '/' || RESERVED.some((path) => destination === path || destination.startsWith(`${path}/`)))
    throw invalidArgument(`${option}.target`, mount.target, `a place other than / and ${RESERVED.join(', ')}`)
  if (mount.idmap !== undefined && mount.type !== 'bind')
    throw invalidArgument(`${option}.idmap`, mount.type, 'an option of a bind')
  for (const name of ['mode', 'uid', 'gid', 'exec'] as const)
    if (mount[name] !== undefined && mount.type !== 'tmpfs')
      throw invalidArgument(`${option}.${name}`, mount.type, 'an option of a tmpfs')
  if (mount.size !== undefined && mount.type !== 'tmpfs' && !('volume' in mount))
    throw invalidArgument(`${option}.size`, mount.type, 'an option of a tmpfs or a volume')
  if (mount.propagation !== undefined && mount.type !== 'bind')
    throw invalidArgument(`${option}.propagation`, mount.type, 'an option of a bind')
  switch (mount.type) {
    case 'bind':
      return bindSpec(mount, destination, option)
    case 'tmpfs':
      return tmpfsSpec(mount, destination, option)
    case 'overlay':
      return {
        destination,
        type: 'overlay',
        source: hostPath(mount.source, option),
        options: mount.readOnly ? ['ro'] : [],
      }
    default:
      throw invalidArgument(`${option}.type`, mount.type, 'bind, volume, tmpfs or overlay')
  }
}

function tmpfsSpec(mount: Mount, destination: string, option: string): SpecMount {
  const { mode = 0o1777, uid, gid, exec, size, readOnly } = mount
  const options = [
    'nosuid',
    'nodev',
    ...(exec ? [] : ['noexec']),
    `mode=${fileMode(mode, `${option}.mode`).toString(8)}`,
  ]
  if (uid !== undefined) options.push(`uid=${userId(uid, `${option}.uid`)}`)
  if (gid !== undefined) options.push(`gid=${userId(gid, `${option}.gid`)}`)
  if (size !== undefined) options.push(`size=${parseSize(size, `${option}.size`)}`)
  if (readOnly) options.push('ro')
  return { destination, type: 'tmpfs', source: 'tmpfs', options }
}

function bindSpec(mount: Mount, destination: string, option: string): SpecMount {
  const propagation = mount.propagation ?? 'rprivate'
  if (!/^r?(private|slave|shared)$/.test(propagation))
    throw invalidArgument(`${option}.propagation`, propagation, 'private, slave or shared, with a leading r or without')
  // Read-only means everything below it too.
  const options = ['rbind', ...(mount.readOnly ? ['rro'] : []), propagation]
  const spec: SpecMount = { destination, type: 'bind', source: hostPath(mount.source, option), options }
  // By the maps of the container itself (runtime-spec, "idmap").
  if ('volume' in mount || mount.idmap === true) options.push('idmap')
  else if (mount.idmap) {
    options.push('ridmap')
    spec.uidMappings = mount.idmap.uidMap
    spec.gidMappings = mount.idmap.gidMap
  }
  return spec
}

function hostPath(source: unknown, option: string): string {
  if (typeof source !== 'string' || source === '' || source.includes('\0'))
    throw invalidArgument(`${option}.source`, source, 'a path of the host')
  const absolute = path.resolve(source)
  if (!existsSync(absolute))
    throw new CaissonError('ERR_CAISSON_MOUNT_SOURCE_NOT_FOUND', `${option}: ${absolute} does not exist on the host`, {
      stage: `mounts: ${option}`,
      hint: 'Create it, or correct the path; caisson does not make missing sources.',
      cause: { code: 'ENOENT', errno: -2, syscall: 'stat', path: absolute },
    })
  return absolute
}

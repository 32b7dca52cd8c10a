/** Making and opening namespaces; descriptors are what holds them. */
import { fstatSync } from 'node:fs'
import { CaissonError, invalidArgument } from '../../errors.js'
import { addon, type NativeFailure, type NativeNamespace } from '../../native/addon.js'
import { errorFromFailure, type Note } from '../../native/failure.js'
import { NONE, Plan } from '../lower/plan.js'
import { ATTR, MS_REC, PROPAGATION } from '../options/mount-options.js'
import { NAMESPACES, type NamespaceType } from '../options/workload.js'
import { type IdMapPair, nativeIdMaps, parseIdMap } from '../user/id-maps.js'

export const NAMESPACE_TYPES = Object.keys(NAMESPACES) as NamespaceType[]

/** A namespace that a descriptor of ours holds. */
export interface NamespaceHandle {
  readonly type: NamespaceType
  readonly inode: number
  readonly fd: number
}

export interface OpenedNamespace extends NamespaceHandle {
  /** A pid namespace that we made: closing this ends its PID 1. */
  hold?: number
}

export function typeOfFlag(flag: number): NamespaceType | undefined {
  return NAMESPACE_TYPES.find((type) => NAMESPACES[type].flag === flag)
}

export function checkNamespaceType(type: unknown, option: string): NamespaceType {
  if (NAMESPACE_TYPES.includes(type as NamespaceType)) return type as NamespaceType
  throw invalidArgument(option, type, `one of ${NAMESPACE_TYPES.join(', ')}`)
}

/** The native call, with its failures as errors that say what to do. */
export async function explained<T>(work: Promise<T>, notes: readonly Note[] = []): Promise<T> {
  try {
    return await work
  } catch (failure) {
    if (failure instanceof Error) throw failure
    throw errorFromFailure(failure as NativeFailure, notes)
  }
}

/** Opens an nsfs file: /proc/PID/ns/net, or where one is mounted. */
export async function openNamespace(path: string): Promise<OpenedNamespace> {
  let opened: NativeNamespace
  try {
    opened = await addon().openNamespace(path)
  } catch (failure) {
    throw cannotOpen(path, failure as NativeFailure)
  }
  const type = typeOfFlag(opened.flag)
  if (type) return { type, inode: opened.inode, fd: opened.fd }
  addon().closeFd(opened.fd)
  throw new CaissonError('ERR_CAISSON_NAMESPACE', `${path} is a namespace of an unknown kind (${opened.flag})`, {
    stage: 'namespaces',
    hint: `Give one of these kinds: ${NAMESPACE_TYPES.join(', ')}.`,
  })
}

function cannotOpen(path: string, failure: NativeFailure): CaissonError {
  const error = errorFromFailure(failure)
  const inval = failure.errno === 22
  const hint = inval
    ? 'Give a file such as /proc/PID/ns/net, or one that a namespace is mounted at (ip netns, unshare --net=FILE).'
    : failure.errno === 2 || failure.errno === 3
      ? 'The process has ended, or the file does not exist.'
      : error.hint
  const message = inval ? `${path} is not a namespace` : error.message
  return new CaissonError('ERR_CAISSON_NAMESPACE', message, { stage: 'namespaces', hint, cause: error.cause })
}

/** A descriptor of its own for the same namespace. */
export function duplicate(fd: number): number {
  const made = addon().dup(fd)
  if (typeof made === 'number') return made
  throw errorFromFailure(made)
}

export interface CreateOptions {
  /** The user namespace that the new one is to belong to; default: that of this process. */
  user?: NamespaceHandle
  /** For `user`. */
  idMaps?: IdMapPair
  /** For `time`: seconds that the clocks are ahead of the host's. */
  timeOffsets?: { monotonic?: number; boottime?: number }
  /** For `net`: its loopback is up. */
  loopback?: boolean
}

/**
 * Makes a namespace. A short-lived process unshares it and is gone when this resolves; only a pid namespace needs a
 * process, which stays: a PID 1 without capabilities, in namespaces of its own with nothing in them, that reaps.
 */
export async function createNamespace(type: NamespaceType, options: CreateOptions = {}): Promise<OpenedNamespace> {
  const plan = new Plan()
  const stage = `namespaces: ${type}`
  const offsets = offsetsText(options.timeOffsets)
  if (options.user)
    plan.add('SETNS', stage, {
      numbers: [plan.inherit(duplicate(options.user.fd)), NAMESPACES.user.flag],
    })
  if (type === 'pid') becomeEmpty(plan, stage)
  else if (type === 'time') plan.add('TIME', stage, { strings: [offsets] })
  else plan.add('UNSHARE', stage, { numbers: [NAMESPACES[type].flag] })
  if (type === 'net' && options.loopback) plan.add('LOOPBACK', stage)
  // Otherwise what is mounted and unmounted on the host would go on to happen in it.
  if (type === 'mnt') plan.add('PROPAGATION', stage, { numbers: [MS_REC | PROPAGATION.private], strings: [''] })
  plan.add('HOLD', stage, { numbers: [options.user ? 1 : 0] })
  const errand = await explained(
    addon().errand({
      plan: plan.finish(),
      inherited: plan.inherited,
      maps: options.idMaps && nativeIdMaps(options.idMaps),
      open: [`ns/${type}`],
      keep: type === 'pid',
    }),
    plan.notes,
  )
  const fd = errand.opened[0] as number
  return { type, fd, inode: fstatSync(fd).ino, ...(errand.hold < 0 ? {} : { hold: errand.hold }) }
}

/** Whoever joins the pid namespace may look at its PID 1, and with CAP_SYS_PTRACE into it: there must be nothing. */
function becomeEmpty(plan: Plan, stage: string): void {
  const types: NamespaceType[] = ['mnt', 'net', 'ipc', 'uts', 'cgroup']
  const slot = plan.slot()
  plan.add('UNSHARE', stage, { numbers: [types.reduce((sum, type) => sum + NAMESPACES[type].flag, 0)] })
  plan.add('PROPAGATION', stage, { numbers: [MS_REC | PROPAGATION.private], strings: [''] })
  plan.add('FILESYSTEM', stage, {
    numbers: [slot, ATTR.RDONLY | ATTR.NOSUID | ATTR.NODEV | ATTR.NOEXEC],
    strings: ['tmpfs', 'size', '4k', 'nr_inodes', '1'],
  })
  plan.add('ROOT', stage, { numbers: [slot, 0], strings: ['/'] })
  plan.add('FORK', stage, { numbers: [NAMESPACES.pid.flag, NONE] })
}

function offsetsText(offsets: CreateOptions['timeOffsets'] = {}): string {
  return Object.entries(offsets)
    .map(([clock, seconds]) => {
      if (clock !== 'monotonic' && clock !== 'boottime')
        throw invalidArgument('timeOffsets', clock, 'monotonic or boottime')
      if (typeof seconds !== 'number' || !Number.isFinite(seconds))
        throw invalidArgument(`timeOffsets.${clock}`, seconds, 'a number of seconds')
      const whole = Math.floor(seconds)
      return `${clock} ${whole} ${Math.floor((seconds - whole) * 1e9)}\n`
    })
    .join('')
}

/** The maps of a user namespace, in ids of this process's own; a short-lived process enters it to be asked. */
export async function idMapsOf(user: NamespaceHandle): Promise<IdMapPair> {
  const plan = new Plan()
  plan.add('SETNS', 'namespaces: user', {
    numbers: [plan.inherit(duplicate(user.fd)), NAMESPACES.user.flag],
  })
  plan.add('HOLD', 'namespaces: user')
  const { texts } = await explained(
    addon().errand({ plan: plan.finish(), inherited: plan.inherited, read: ['uid_map', 'gid_map'] }),
    plan.notes,
  )
  return { uidMap: parseIdMap(texts[0] ?? ''), gidMap: parseIdMap(texts[1] ?? '') }
}

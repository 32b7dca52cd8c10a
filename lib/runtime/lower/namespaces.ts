/** How a process comes into its namespaces, in an order that the kernel accepts. */

import { type JoinedNamespace, NAMESPACES, type NamespaceType, type Workload } from '../options/workload.js'
import { duplicate, type NamespaceHandle } from '../process/namespaces.js'
import { NONE, type Plan } from './plan.js'

export interface Entry {
  /** CLONE_NEW* for the process itself. */
  cloneFlags: number
  /** See Lowered. */
  attended: boolean
  /** Enters the cgroups: while the host's files are in sight, and before the user namespace. */
  enterCgroups(): void
  /** Slot of the host's /proc, for sysctls where the container's root is not ours to mount one in. */
  proc: number
  /** Slots of the user namespaces of id-mapped binds, by where these are mounted. */
  mountMaps: ReadonlyMap<string, number>
  /** With a user namespace the process is still outside of it, and has the owner's rights, until `enter()`. */
  user?: { slot: number; enter(): void }
}

/** Namespaces that the workload gets for its own. */
export function hasOwn(workload: Workload, type: NamespaceType): boolean {
  return (
    (workload.spec.linux?.namespaces ?? []).some(
      (namespace) => namespace.type === NAMESPACES[type].spec && namespace.path === undefined,
    ) && !workload.join.some((join) => join.type === type)
  )
}

/**
 * Without a user namespace: new namespaces come with the process, in one call, and the joined ones are entered. A
 * process is moved to another pid namespace only by being born in it, so joining one takes a second process.
 *
 * With one (user_namespaces(7)): what belongs to it must be made, or joined, from inside, where the process has no
 * rights over anything of the host any more. Hence three parts: joins that lie outside of it; then, by the caller,
 * mounts, in a mount namespace that is still the owner's; then the user namespace and all that belongs to it, the mount
 * namespace once more among it, and at last the process that is born in the pid namespace.
 *
 * An ordinary user has no rights outside of its user namespace, so that comes first and all else follows inside, as
 * without one. `inherit` gives the process a descriptor.
 */
export function enterNamespaces(plan: Plan, workload: Workload, inherit = duplicate): Entry {
  const own = (Object.keys(NAMESPACES) as NamespaceType[]).filter((type) => hasOwn(workload, type))
  const { network } = workload
  const stock = network && hasOwn(workload, 'net') ? plan.inherit(duplicate(network.fd)) : stockNetwork(plan, workload)
  const slots = new Map(workload.join.map((join) => [join, plan.inherit(inherit(join.handle.fd))]))
  const maps = [...(workload.mountMaps ?? [])].map(([at, { fd }]) => [at, plan.inherit(inherit(fd))] as const)
  const mountMaps = new Map(maps)
  const setns = (join: JoinedNamespace) =>
    plan.add('SETNS', `namespaces: ${join.type}`, {
      numbers: [slots.get(join) as number, NAMESPACES[join.type].flag],
    })
  // The mount namespace last: /proc and the files of cgroups are named as the host names them.
  const order = [...workload.join].sort((a, b) => Number(a.type === 'mnt') - Number(b.type === 'mnt'))
  const user = order.find((join) => join.type === 'user')
  const pid = order.find((join) => join.type === 'pid')
  const attended = pid !== undefined
  const { unified } = workload.cgroup
  const unifiedSlot = attended && unified ? plan.inheritPath(unified) : NONE

  plan.add('UNDUMPABLE', 'process')
  if (workload.inside && user) {
    setns(user)
    plan.add('BECOME_ROOT', 'user namespace', { numbers: [MAYBE_NO_GROUPS] })
  }
  if (pid) {
    setns(pid)
    enterPids(plan, unifiedSlot)
  }
  const newCgroup = own.includes('cgroup')
  const enterCgroups = () => {
    joinCgroups(plan, workload.cgroup.join)
    // It shows the cgroups that it was made in as their roots.
    if (newCgroup && (workload.inside || !user))
      plan.add('UNSHARE', 'namespaces: cgroup', { numbers: [NAMESPACES.cgroup.flag] })
  }
  const inherited = workload.rootfs.kind === 'inherited'
  // There the files go out of sight with the next steps.
  if (inherited) enterCgroups()
  const enterNetwork = () => {
    if (stock !== NONE) plan.add('SETNS', 'namespaces: net', { numbers: [stock, NAMESPACES.net.flag] })
  }
  // Made for a user namespace, it belongs to that.
  if (!user) enterNetwork()
  if (workload.inside) {
    const proc = inherited ? openHostProc(plan) : NONE
    if (own.includes('time')) plan.add('TIME', 'namespaces: time', { strings: [timeOffsets(workload)] })
    for (const join of order) if (join !== pid && join !== user) setns(join)
    if (network) enterNetwork()
    const later: NamespaceType[] = ['pid', 'time', 'cgroup']
    if (network) later.push('net')
    const now = flagsOf(own.filter((type) => !later.includes(type)))
    if (now) plan.add('UNSHARE', 'namespaces', { numbers: [now] })
    if (own.includes('pid')) plan.add('FORK', 'namespaces: pid', { numbers: [NAMESPACES.pid.flag, NONE] })
    ready(plan)
    return { proc, mountMaps, attended, enterCgroups: inherited ? nothing : enterCgroups, cloneFlags: 0 }
  }
  if (!user) {
    const proc = inherited ? openHostProc(plan) : NONE
    if (own.includes('time')) plan.add('TIME', 'namespaces: time', { strings: [timeOffsets(workload)] })
    for (const join of order) if (join !== pid) setns(join)
    ready(plan)
    const later: NamespaceType[] = ['cgroup', 'time']
    if (stock !== NONE) later.push('net')
    return {
      mountMaps,
      proc,
      attended,
      enterCgroups: inherited ? nothing : enterCgroups,
      cloneFlags: flagsOf(own.filter((type) => !later.includes(type))),
    }
  }

  const proc = inherited ? openHostProc(plan) : NONE
  const others = order.filter((join) => join !== user && join !== pid)
  for (const join of others) if (!join.inUser) setns(join)
  return {
    mountMaps,
    proc,
    attended,
    enterCgroups: inherited ? nothing : enterCgroups,
    cloneFlags: own.includes('mnt') ? NAMESPACES.mnt.flag : 0,
    user: {
      slot: slots.get(user) as number,
      enter() {
        setns(user)
        // Its file in /proc is ours only as long as we are who we were.
        if (own.includes('time')) plan.add('TIME', 'namespaces: time', { strings: [timeOffsets(workload)] })
        plan.add('BECOME_ROOT', 'user namespace', { numbers: [MAYBE_NO_GROUPS] })
        enterNetwork()
        const now = flagsOf(own.filter((type) => type !== 'pid' && type !== 'time' && !(type === 'net' && network)))
        if (now) plan.add('UNSHARE', 'namespaces', { numbers: [now] })
        for (const join of others) if (join.inUser) setns(join)
        if (own.includes('pid')) plan.add('FORK', 'namespaces: pid', { numbers: [NAMESPACES.pid.flag, NONE] })
        ready(plan)
      },
    },
  }
}

/** Those that a room brings, in the order in which its descriptors come (core/rooms.h). */
const OF_ROOMS: readonly NamespaceType[] = ['net', 'ipc', 'mnt']

/** Into namespaces that were made ahead. After the call more may be inherited; then `enter()`. */
export function enterRoom(plan: Plan, workload: Workload): { own: number; cloneFlags: number; enter(): void } {
  const own = (Object.keys(NAMESPACES) as NamespaceType[]).filter((type) => hasOwn(workload, type))
  const brought = OF_ROOMS.filter((type) => own.includes(type))
  const slots = brought.map((type) => ({ type, slot: plan.inherit(-1) }))
  const setns = ({ type, slot }: (typeof slots)[number]) =>
    plan.add('SETNS', `namespaces: ${type}`, { numbers: [slot, NAMESPACES[type].flag] })
  return {
    own: flagsOf(brought),
    cloneFlags: flagsOf(own.filter((type) => !brought.includes(type) && type !== 'cgroup' && type !== 'time')),
    enter() {
      plan.add('UNDUMPABLE', 'process')
      if (own.includes('time')) plan.add('TIME', 'namespaces: time', { strings: [timeOffsets(workload)] })
      ready(plan)
      joinCgroups(plan, workload.cgroup.join, true)
      if (own.includes('cgroup')) plan.add('UNSHARE', 'namespaces: cgroup', { numbers: [NAMESPACES.cgroup.flag] })
      // The mount namespace last: until then files are the host's.
      for (const each of slots) setns(each)
    },
  }
}

const nothing = () => undefined

function stockNetwork(plan: Plan, workload: Workload): number {
  return workload.stockNetwork ? plan.newNetwork() : NONE
}

/** For a plan that does nothing but this in the namespace of an ordinary user: its first steps. */
export function becomeRootIn(user: NamespaceHandle, plan: Plan, stage: string): void {
  plan.add('SETNS', stage, { numbers: [plan.inherit(duplicate(user.fd)), NAMESPACES.user.flag] })
  becomeRoot(plan, stage)
}

/** Of the user namespace that it is in. */
export function becomeRoot(plan: Plan, stage: string): void {
  plan.add('BECOME_ROOT', stage, { numbers: [MAYBE_NO_GROUPS] })
}

const SYNC_STEPS = 3
/** BECOME_ROOT: the user namespace may deny setgroups(2). */
const MAYBE_NO_GROUPS = 2

/** v1: by `tasks` files, which the owner makes meanwhile if they are not there. */
export function joinCgroups(plan: Plan, files: readonly string[], there = false): void {
  if (files.length > 0 && !there) plan.add('SYNC', 'cgroup', { numbers: [SYNC_STEPS, 0, 0] })
  for (const file of files) plan.add('CGROUP_JOIN', 'cgroup', { numbers: [NONE, 0], strings: [file] })
}

/** The same in two parts: where the files are in sight, and by another process where they are not any more. */
export function openCgroups(plan: Plan, files: readonly string[], there = false): () => void {
  if (files.length > 0 && !there) plan.add('SYNC', 'cgroup', { numbers: [SYNC_STEPS, 0, 0] })
  const slots = files.map((file) => {
    const slot = plan.slot()
    plan.add('CGROUP_JOIN', 'cgroup', { numbers: [slot, 1], strings: [file] })
    return slot
  })
  return () => {
    for (const slot of slots) plan.add('CGROUP_JOIN', 'cgroup', { numbers: [slot, 0], strings: [''] })
  }
}

/** Of FORK: see enum plan_teller. */
const TELL_NOBODY = 1
const TELL_ITSELF = 2

/**
 * The process that goes on is born in the pid namespace that was joined, and in its v2 cgroup; another attends to it.
 * `tells`: it tells of itself, for which it must be allowed to open a descriptor of itself.
 */
export function enterPids(plan: Plan, cgroup: number, tells = false): void {
  const ATTEND = 1
  plan.add('FORK', 'namespaces: pid', { numbers: [0, cgroup, ATTEND, ...(tells ? [TELL_ITSELF] : [])] })
}

/** The same by two: one that is born in the cgroup and makes `steps`, and the next one after that. */
export function enterPidsLater(plan: Plan, cgroup: number, steps: () => void): void {
  const ATTEND = 1
  plan.add('FORK', 'namespaces: pid', { numbers: [0, cgroup, ATTEND, TELL_NOBODY] })
  steps()
  plan.add('FORK', 'namespaces: pid', { numbers: [0, NONE, 0, TELL_ITSELF] })
}

/** f_type of procfs (statfs(2)). */
const PROC_MAGIC = 0x9fa0

/** A slot of the host's /proc, whose sys shows the namespaces of whoever looks, whichever procfs it is. */
export function openHostProc(plan: Plan): number {
  const slot = plan.slot()
  plan.add('OPEN', 'sysctl', { numbers: [slot, PROC_MAGIC], strings: ['/proc'] })
  return slot
}

function ready(plan: Plan): void {
  plan.add('PARENT_DEATH', 'process')
  plan.add('KEYRING', 'process')
}

function flagsOf(types: readonly NamespaceType[]): number {
  return types.reduce((sum, type) => sum + NAMESPACES[type].flag, 0) >>> 0
}

function timeOffsets({ spec }: Workload): string {
  return Object.entries(spec.linux?.timeOffsets ?? {})
    .map(([clock, { secs = 0, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`)
    .join('')
}

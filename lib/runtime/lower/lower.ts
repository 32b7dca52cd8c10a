/** Lowers a workload to a plan: the story of how a container comes to be, in order. */
import { capabilityMask } from '../../spec/capabilities.js'
import { NETWORK_SYSCTLS } from '../../spec/defaults.js'
import { resourceNumber } from '../../spec/rlimits.js'
import type { SpecHook, SpecProcess } from '../../spec/runtime.js'
import type { Hooks } from '../container/hooks.js'
import type { Workload } from '../options/workload.js'
import { hasOthers } from '../user/id-maps.js'
import { type MountSlots, prepareMounts, protectMounts } from './mounts.js'
import { enterNamespaces, hasOwn } from './namespaces.js'
import { CREATE, NONE, Plan } from './plan.js'
import { addLandlock, addSeccomp, execute, injectFiles, packedSize, prepareLimits, rlimitValue } from './program.js'
import { lowerSandbox, prepareSandboxed } from './sandbox.js'

const SYNC_HOOKS = 2

/** What execution can give. */
export function bound(plan: Plan, { capabilities }: SpecProcess): void {
  plan.add('BOUNDING', 'capabilities', { numbers: [capabilityMask(capabilities?.bounding)] })
}

export interface Lowered {
  /** Slots that the program's part names. */
  slots: MountSlots
  /** Descriptors in `plan.inherited` are its own until the addon takes them over; else call `plan.abandon()`. */
  plan: Plan
  /** CLONE_NEW* for the process itself; the rest the plan does. */
  cloneFlags: number
  /** That one ends all that the program has started, too. */
  guarded?: boolean
  /** Another process, outside of the cgroups, waits for it: it lives in a pid namespace that is not its own. */
  attended: boolean
  /** The program is PID 1 of a namespace of its own. */
  ownPids: boolean
  /** What a program that comes later has before it comes. */
  walls?: Walls
  /** Where files are written before the program starts. */
  filesAt?: { at: number; record: number }
}

/** Parts of prepareProgram that are done before the rest. */
export interface Walls {
  bounded?: boolean
  landlocked?: boolean
  filtered?: boolean
}

/** How a program that comes later is waited for. */
export interface Parking {
  /** It will have a terminal. */
  terminal: boolean
  /** Paths inside that it will probably need: the kernel looks them up before. */
  paths: readonly string[]
}

export interface LowerOptions {
  /** Stop before the program: its part comes later, as a plan of its own. */
  parked?: Parking
  hooks?: Hooks
  /** Leave out what each run brings: the files, and the execution of the program at the end. */
  template?: boolean
}

export function lower(workload: Workload, options: LowerOptions = {}): Lowered {
  const plan = new Plan()
  try {
    return { plan, ...lowerTo(plan, workload, options), ownPids: hasOwn(workload, 'pid') }
  } catch (error) {
    // A template's are borrowed: each start has duplicates of its own.
    if (!options.template) plan.abandon()
    throw error
  }
}

function lowerTo(plan: Plan, workload: Workload, options: LowerOptions): Omit<Lowered, 'plan' | 'ownPids'> {
  if (workload.sandbox) return lowerSandbox(plan, workload, options)
  ownersLimits(plan, workload)
  // Templates get theirs anew each time.
  const entry = enterNamespaces(plan, workload, options.template ? (fd) => fd : undefined)
  let slots: MountSlots = { dev: NONE, pts: NONE, proc: entry.proc, empty: NONE }

  if (workload.rootfs.kind !== 'inherited') {
    const mounts = prepareMounts(plan, workload, entry.user?.slot, entry.mountMaps)
    entry.enterCgroups()
    entry.user?.enter()
    mounts.prepareInside()
    if (options.hooks?.any) runtimeHooks(plan, options.hooks)
    slots = mounts.attach()
  } else {
    entry.user?.enter()
    if (options.hooks?.any) runtimeHooks(plan, options.hooks)
  }
  return {
    cloneFlags: entry.cloneFlags,
    attended: entry.attended,
    slots,
    ...furnish(plan, workload, slots, options),
  }
}

/** What follows when the mounts are in place, up to the program. */
export function furnish(
  plan: Plan,
  workload: Workload,
  slots: MountSlots,
  options: LowerOptions,
  hidden?: (path: string) => boolean,
): Pick<Lowered, 'filesAt' | 'walls'> {
  const { spec } = workload
  if (hasOwn(workload, 'uts') && (spec.hostname || spec.domainname))
    plan.add('HOSTNAME', 'hostname', { strings: [spec.hostname ?? '', spec.domainname ?? ''] })
  if (hasOwn(workload, 'net') && !workload.stockNetwork && !workload.network) plan.add('LOOPBACK', 'network')
  for (const [name, value] of Object.entries(spec.linux?.sysctl ?? {}))
    if (!workload.stockNetwork || NETWORK_SYSCTLS[name] !== value)
      plan.add('SYSCTL', `sysctl: ${name}`, { numbers: [slots.proc], strings: [name.replaceAll('.', '/'), value] })

  const filesAt = plan.position
  injectFiles(plan, workload.files)
  if (workload.rootfs.kind !== 'inherited') {
    // Made while that is possible.
    if (spec.root?.readonly && spec.process)
      plan.add('WORKDIR', 'workdir', { flags: CREATE, strings: [spec.process.cwd] })
    protectMounts(plan, workload, slots, hidden)
  }
  const { parked } = options
  if (parked) {
    const walls = parked.terminal ? {} : prepareWalls(plan, workload)
    plan.add('WAIT', 'pool', { numbers: [plan.slot(), slots.empty], strings: parked.paths })
    return { filesAt, walls }
  }
  prepareProgram(plan, workload, slots, options)
  if (!options.template) execute(plan, workload.spec.process)
  return { filesAt }
}

/**
 * Protections of a program that comes later, as far as neither its options change them nor they hinder what is still to
 * be done for it: its files, directory, limits and identity. The caller's own rules might, and those of a read-only root;
 * a terminal, which takes a mount, they all do. A PID 1 that reaps must not be in the program's Landlock domain, where it
 * could be looked into.
 */
function prepareWalls(plan: Plan, workload: Workload): Walls {
  const { spec, landlock, filter, filterFlags = 0 } = workload
  const { process } = spec
  if (!process || workload.sandbox || workload.init) return {}
  if (process.noNewPrivileges) plan.add('NO_NEW_PRIVS', 'no_new_privs')
  bound(plan, process)
  const landlocked = landlock !== undefined && !landlock.required && !spec.root?.readonly
  if (landlocked) addLandlock(plan, landlock)
  const filtered = filter !== undefined && workload.usualFilter === true
  if (filtered) addSeccomp(plan, filter, filterFlags)
  return { bounded: true, landlocked, filtered }
}

/**
 * What needs rights that the program will not have: to raise hard limits, and to lower the score of the OOM killer. By
 * the host's /proc: the container's is another program's to change (CVE-2025-52881). First of all: who cannot be looked
 * into any more does not own its files there.
 */
export function ownersLimits(plan: Plan, { spec: { process } }: Workload): void {
  for (const limit of process?.rlimits ?? [])
    plan.add('RLIMIT', `ulimits: ${limit.type}`, {
      numbers: [resourceNumber(limit.type), 0, rlimitValue(limit.hard), 1],
    })
  if (process?.oomScoreAdj !== undefined) plan.add('OOM_SCORE', 'oom score', { strings: [String(process.oomScoreAdj)] })
}

/** The owner runs its own while the init program waits, which thereby learns its process id for the others. */
function runtimeHooks(plan: Plan, hooks: Hooks): void {
  plan.add('SYNC', 'hooks', { numbers: [SYNC_HOOKS, 0, 1] })
  for (const hook of hooks.container) addHook(plan, 'hooks: createContainer', hook, hooks.stateAround('creating'))
}

function addHook(plan: Plan, stage: string, hook: SpecHook, state: [string, string]): void {
  const args = hook.args?.length ? hook.args : [hook.path]
  plan.add('HOOK', stage, {
    numbers: [(hook.timeout ?? 0) * 1000, args.length],
    strings: [...state, hook.path, ...args, ...(hook.env ?? [])],
  })
}

/** From a ready container to the program: limits, identity, protections; all but its execution, and what is done already. */
export function prepareProgram(
  plan: Plan,
  workload: Workload,
  slots: MountSlots,
  { hooks, bounded, landlocked, filtered }: { hooks?: Hooks } & Walls = {},
): void {
  const process = workload.spec.process
  if (!process) throw new Error('a configuration without a process')
  if (workload.sandbox) {
    prepareSandboxed(plan, workload)
    return
  }
  if (workload.init) plan.add('REAPER', 'init', { numbers: [workload.inside ? 1 : 0] })

  const { uid, gid, additionalGids = [], umask = 0o022 } = process.user
  const ids = (BigInt(uid) << 32n) | BigInt(gid)
  plan.add('USER', 'user', {
    numbers: [ids, workload.user === undefined ? 1 : 0],
    strings: [workload.user ?? '', ...additionalGids.map(String), ...workload.groups],
  })
  if (process.terminal) {
    plan.add('CONSOLE', 'terminal', { numbers: [slots.pts, slots.dev, packedSize(process.consoleSize)] })
  }
  // A missing one is made in the container's root, but not in one that others live in.
  plan.add('WORKDIR', 'workdir', {
    flags: workload.rootfs.kind === 'inherited' ? 0 : CREATE,
    strings: [process.cwd],
  })
  if (hooks) for (const hook of hooks.start) addHook(plan, 'hooks: startContainer', hook, hooks.stateAround('created'))

  const capabilities = process.capabilities ?? {}
  const filter = () => {
    // First, as a profile of the caller's may forbid to load another.
    if (workload.projectFilter) addSeccomp(plan, workload.projectFilter, 0)
    if (workload.filter && !filtered) addSeccomp(plan, workload.filter, workload.filterFlags ?? 0)
  }
  // Without it only CAP_SYS_ADMIN may load a filter or Landlock.
  if (process.noNewPrivileges) plan.add('NO_NEW_PRIVS', 'no_new_privs')
  if (!bounded) bound(plan, process)
  if (workload.landlock && !landlocked) addLandlock(plan, workload.landlock)
  // Not before: with few descriptors or little memory left, the steps above would fail. Not after the filter.
  prepareLimits(plan, process)
  // So it comes before the capabilities go.
  if (!process.noNewPrivileges) filter()
  // With one id the user namespace denies setgroups(2) (user_namespaces(7)).
  const oneId = workload.inside && workload.idMaps !== undefined && !hasOthers(workload.idMaps)
  plan.add('CREDENTIALS', 'user', { numbers: [umask, oneId ? 1 : 0] })
  plan.add('CAPABILITIES', 'capabilities', {
    numbers: [
      capabilityMask(capabilities.effective),
      capabilityMask(capabilities.permitted),
      capabilityMask(capabilities.inheritable),
      // Only what is permitted and inheritable can be ambient (capabilities(7)); others leave the rest out too.
      capabilityMask(capabilities.ambient) &
        capabilityMask(capabilities.inheritable) &
        capabilityMask(capabilities.permitted),
    ],
  })
  plan.add('PARENT_DEATH', 'process')
  if (process.noNewPrivileges) filter()
}

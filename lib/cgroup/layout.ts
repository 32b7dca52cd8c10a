/**
 * Where the cgroups of a container lie, and what has to be done to make them.
 *
 * Each process that uses caisson (an owner) has one directory in every hierarchy, each container one below that, and
 * each exec one below the container's. All are plain paths here; the addon makes and removes them.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import type { NativeCgroup, NativeStep } from '../native/addon.js'
import type { Controller, FileWrite } from './controllers.js'
import { cpu } from './cpu.js'
import { cpuset } from './cpuset.js'
import { type CgroupHost, type Hierarchy, isWritable, readWords, unifiedParent } from './host.js'
import { hugetlb } from './hugetlb.js'
import { io } from './io.js'
import { memory } from './memory.js'
import { pids } from './pids.js'
import type { Settings } from './settings.js'

export const CONTROLLERS: readonly Controller[] = [cpuset, cpu, io, memory, pids, hugetlb]

/** v1 hierarchies that every container is in, for its accounts. Others only for a limit: each costs a directory. */
const ALWAYS = new Set(['memory', 'pids'])

interface LegacyBase {
  hierarchy: Hierarchy
  directory: string
}

/** The directories of one owner. */
export interface CgroupBase {
  host: CgroupHost
  unified?: { directory: string; controllers: string[] }
  legacy: LegacyBase[]
}

/** Makes them. A controller that cannot be handed down is left out; a limit that needs it is an error later. */
export async function createBase(host: CgroupHost, name: string): Promise<CgroupBase> {
  const base: CgroupBase = { host, legacy: [] }
  const parent = host.unified && unifiedParent(host.unified)
  if (parent) {
    const directory = path.join(parent.directory, name)
    let enabled = parent.controllers.filter((controller) => CONTROLLERS.some(({ name }) => name === controller))
    // On a hybrid host the v2 root is others' too, and some (crun) refuse to work when it hands controllers down.
    if (host.mode !== 'unified') enabled = []
    for (const level of parent.chain) enabled = await handDown(level, enabled)
    await mkdir(directory)
    base.unified = { directory, controllers: await handDown(directory, enabled) }
  }
  for (const hierarchy of host.legacy) {
    const directory = path.join(hierarchy.own, name)
    const always = hierarchy.controllers.some((controller) => ALWAYS.has(controller))
    const made =
      !always ||
      (await mkdir(directory).then(
        () => true,
        () => false,
      ))
    if (made && (always || isWritable(hierarchy.own))) base.legacy.push({ hierarchy, directory })
  }
  return base
}

/** Every directory that an owner may have, for whoever cleans up after it. */
export function baseDirectories(base: CgroupBase): string[] {
  return [...(base.unified ? [base.unified.directory] : []), ...base.legacy.map(({ directory }) => directory)]
}

/** Enables controllers for the children of a directory; returns those that are. One by one: one may fail alone. */
async function handDown(directory: string, controllers: readonly string[]): Promise<string[]> {
  const file = path.join(directory, 'cgroup.subtree_control')
  const missing = controllers.filter((controller) => !readWords(file).includes(controller))
  for (const controller of missing) await writeFile(file, `+${controller}`).catch(() => undefined)
  const enabled = readWords(file)
  return controllers.filter((controller) => enabled.includes(controller))
}

/** The cgroups of one container or exec. */
export interface CgroupPlan {
  native: NativeCgroup
  prepare: NativeStep[]
  /** v1 `tasks` files that the init program enters by itself. */
  join: string[]
  /** v1 hierarchies that hold a limit of the caller's, by the names of their mounts: programs look there. */
  shown: string[]
  /** Where accounts are read at the end; see usage.ts. */
  files: AccountFiles
  oomControl?: string
}

/** Paths by what they tell; missing where the host cannot tell. */
export interface AccountFiles {
  cpu?: string
  memoryPeak?: string
  memoryEvents?: string
  pidsPeak?: string
  io?: string
}

const NONE: AccountFiles = {}

/** Makes the plan for `name` below the owner's directories; an error names what the host cannot limit. */
export function planCgroup(base: CgroupBase, name: string, settings: Settings): CgroupPlan {
  const plan: CgroupPlan = { native: { legacy: [] }, prepare: [], join: [], shown: [], files: { ...NONE } }
  const unifiedControllers = new Set(base.unified?.controllers ?? [])
  for (const controller of CONTROLLERS)
    if (controller.needed(settings) && !unifiedControllers.has(controller.name) && !legacyOf(base, controller))
      throw unavailable(base, controller)

  if (base.unified) {
    const directory = path.join(base.unified.directory, name)
    plan.native.unified = directory
    plan.prepare.push({ path: directory, stage: 'cgroup' })
    for (const controller of CONTROLLERS)
      if (unifiedControllers.has(controller.name))
        plan.prepare.push(...steps(directory, controller.name, controller.unified(settings)))
    for (const [file, text] of Object.entries(settings.unified ?? {}))
      plan.prepare.push({ path: path.join(directory, file), text, stage: `cgroup: ${file}` })
    accountUnified(plan.files, directory, unifiedControllers)
  } else if (settings.unified) {
    throw new CaissonError('ERR_CAISSON_LIMIT_UNAVAILABLE', 'limits.unified: this host has no cgroup v2', {
      stage: 'cgroup',
      hint: 'Use the named limits, or boot with systemd.unified_cgroup_hierarchy=1.',
    })
  }

  for (const { hierarchy, directory: owner } of base.legacy) {
    const writes: NativeStep[] = []
    let limited = false
    let wanted = hierarchy.controllers.some((controller) => ALWAYS.has(controller))
    const directory = path.join(owner, name)
    for (const controller of CONTROLLERS) {
      if (!hierarchy.controllers.includes(controller.legacy) || !controller.needed(settings)) continue
      wanted = true
      limited ||= controller.name !== 'pids' || settings.pidsAsked === true
      writes.push(...steps(directory, controller.name, controller.legacyWrites(settings)))
    }
    if (!wanted) continue
    if (hierarchy.controllers.includes('cpuset'))
      plan.prepare.push(...fillCpuset(hierarchy, owner, directory, settings))
    else {
      if (!hierarchy.controllers.some((controller) => ALWAYS.has(controller)))
        plan.prepare.push({ path: owner, stage: 'cgroup', lenient: true })
      plan.prepare.push({ path: directory, stage: 'cgroup' })
    }
    plan.prepare.push(...writes)
    plan.native.legacy?.push(directory)
    plan.join.push(path.join(directory, 'tasks'))
    if (limited) plan.shown.push(path.basename(hierarchy.mountpoint))
    accountLegacy(plan, hierarchy, directory, settings)
  }
  return plan
}

function legacyOf(base: CgroupBase, controller: Controller): Hierarchy | undefined {
  return base.host.legacy.find((hierarchy) => hierarchy.controllers.includes(controller.legacy))
}

function steps(directory: string, controller: string, writes: FileWrite[]): NativeStep[] {
  return writes.map(({ file, text, lenient }) => ({
    path: path.join(directory, file),
    text,
    stage: `cgroup: ${controller}`,
    lenient,
  }))
}

/** A v1 cpuset starts empty, and an empty one takes no process: each level copies what its parent may use. */
function fillCpuset(hierarchy: Hierarchy, owner: string, directory: string, settings: Settings): NativeStep[] {
  const read = (file: string) => readWords(path.join(hierarchy.own, file)).join('')
  const cpus = read('cpuset.effective_cpus') || read('cpuset.cpus')
  const mems = read('cpuset.effective_mems') || read('cpuset.mems')
  const fill = (where: string, lenient: boolean): NativeStep[] => [
    { path: where, stage: 'cgroup', lenient },
    { path: path.join(where, 'cpuset.cpus'), text: cpus, stage: 'cgroup: cpuset' },
    { path: path.join(where, 'cpuset.mems'), text: mems, stage: 'cgroup: cpuset' },
  ]
  return settings.cpusetCpus === undefined && settings.cpusetMems === undefined
    ? []
    : [...fill(owner, true), ...fill(directory, false)]
}

function accountUnified(files: AccountFiles, directory: string, controllers: ReadonlySet<string>): void {
  files.cpu = path.join(directory, 'cpu.stat')
  if (controllers.has('memory')) {
    files.memoryPeak = path.join(directory, 'memory.peak')
    files.memoryEvents = path.join(directory, 'memory.events')
  }
  if (controllers.has('pids')) files.pidsPeak = path.join(directory, 'pids.peak')
  if (controllers.has('io')) files.io = path.join(directory, 'io.stat')
}

function accountLegacy(plan: CgroupPlan, hierarchy: Hierarchy, directory: string, settings: Settings): void {
  const has = (controller: string) => hierarchy.controllers.includes(controller)
  if (has('memory')) {
    plan.files.memoryPeak = path.join(directory, 'memory.max_usage_in_bytes')
    plan.files.memoryEvents = path.join(directory, 'memory.oom_control')
    if (settings.memoryMax !== undefined) plan.oomControl = plan.files.memoryEvents
  }
  if (has('pids')) plan.files.pidsPeak = path.join(directory, 'pids.peak')
  if (has('cpuacct')) plan.files.cpu ??= path.join(directory, 'cpuacct.usage')
  if (has('blkio')) plan.files.io = path.join(directory, 'blkio.throttle.io_service_bytes_recursive')
  if (has('freezer')) plan.native.freezer = directory
}

function unavailable(base: CgroupBase, controller: Controller): CaissonError {
  const where = base.unified?.directory ?? base.host.unified?.own
  const hint =
    base.host.mode === 'none'
      ? 'Mount a cgroup hierarchy at /sys/fs/cgroup.'
      : process.getuid?.() === 0
        ? `Make the controller available: it is not in cgroup.controllers of ${where ?? 'any hierarchy'}. Inside a container, start that with its cgroup namespace writable.`
        : `Have the controller delegated: systemd-run --user --scope -p Delegate=yes node ..., or as root: mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload, then log in again.`
  return new CaissonError(
    'ERR_CAISSON_LIMIT_UNAVAILABLE',
    `a ${controller.name} limit was asked for, and this host gives us no ${controller.name} controller`,
    { stage: `cgroup: ${controller.name}`, hint },
  )
}

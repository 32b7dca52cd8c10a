/** What has to be done to make the cgroups of a container or exec, and where its accounts are read. */
import path from 'node:path'
import { CaissonError } from '../errors.js'
import type { NativeCgroup, NativeStep } from '../native/addon.js'
import { type AccountFiles, legacyAccounts, unifiedAccounts } from './accounts.js'
import { type CgroupBase, entersAlways } from './base.js'
import type { Controller, FileWrite } from './controller.js'
import { CONTROLLERS } from './controllers.js'
import { type LegacyPlace, readWords } from './host.js'
import { memory } from './memory.js'
import type { Settings } from './settings.js'
import { unavailable } from './unavailable.js'

export interface CgroupPlan {
  /** The directory in v2, and the controllers that limit and count there. */
  unified?: { directory: string; controllers: readonly string[] }
  legacy: LegacyPlace[]
  prepare: NativeStep[]
  /** v1 `tasks` files that the init program enters by itself. */
  join: string[]
  /** v1 hierarchies that hold a limit of the caller's, by the names of their mounts: programs look there. */
  shown: string[]
  /** Where accounts are read. */
  files: AccountFiles
  /** v1: memory.oom_control of a group with a memory limit. */
  oomControl?: string
  /**
   * The v2 cgroup of the program itself, one below the container's. Then each exec has one beside it with accounts of
   * its own, which v2 forbids below a cgroup that has processes ("no internal processes").
   */
  leaf?: string
}

function emptyPlan(): CgroupPlan {
  return { legacy: [], prepare: [], join: [], shown: [], files: {} }
}

/** Whether any group keeps its processes together. */
export function hasGroups({ unified, legacy }: CgroupPlan): boolean {
  return unified !== undefined || legacy.length > 0
}

/** The paths in the addon's form. */
export function nativeCgroup(plan: CgroupPlan): NativeCgroup {
  const freezer = plan.legacy.find(({ hierarchy }) => hierarchy.controllers.includes('freezer'))
  return {
    unified: plan.unified?.directory,
    entered: plan.leaf,
    legacy: plan.legacy.map(({ directory }) => directory),
    freezer: freezer?.directory,
  }
}

export interface PlanOptions {
  /** A container that programs will be executed in. */
  kept?: boolean
  /** Below the directory that allows the default devices only. */
  filtered?: boolean
}

/** Makes the plan for `name` below the owner's directories; an error names what the host cannot limit. */
export function planCgroup(base: CgroupBase, name: string, settings: Settings, options: PlanOptions = {}): CgroupPlan {
  for (const controller of CONTROLLERS)
    if (controller.needed(settings) && !inUnified(base, controller) && !legacyOf(base, controller))
      throw unavailable(base, `a ${controller.name} limit`, controller.name)
  checkSwappiness(base, settings)
  const plan = emptyPlan()
  const parent = options.filtered ? base.filtered : base.unified
  if (parent) planUnified(plan, parent, name, settings, options.kept ?? false)
  else if (settings.unified)
    throw new CaissonError('ERR_CAISSON_LIMIT_UNAVAILABLE', 'limits.unified: this host has no cgroup v2', {
      stage: 'cgroup',
      hint: 'Use the named limits, or boot with systemd.unified_cgroup_hierarchy=1.',
    })
  for (const place of base.legacy) planLegacy(plan, base, place, name, settings)
  return plan
}

/** The one setting that v2 has no file for. */
function checkSwappiness(base: CgroupBase, settings: Settings): void {
  if (settings.swappiness === undefined || !inUnified(base, memory)) return
  throw new CaissonError('ERR_CAISSON_LIMIT_UNAVAILABLE', 'limits.memorySwappiness: cgroup v2 has none', {
    stage: 'cgroup: memory',
    hint: 'Leave it out, and bound what is swapped with limits.memorySwap.',
  })
}

function planUnified(
  plan: CgroupPlan,
  parent: { directory: string; controllers: readonly string[] },
  name: string,
  settings: Settings,
  kept: boolean,
): void {
  const { controllers } = parent
  const directory = path.join(parent.directory, name)
  plan.unified = { directory, controllers }
  plan.prepare.push({ path: directory, stage: 'cgroup' }, ...unifiedWrites(directory, controllers, settings))
  Object.assign(plan.files, unifiedAccounts(directory, controllers))
  if (!kept || controllers.length === 0) return
  plan.leaf = path.join(directory, 'main')
  const accounts = ['cpu', 'memory', 'pids', 'io'].filter((each) => controllers.includes(each))
  const text = accounts.map((each) => `+${each}`).join(' ')
  plan.prepare.push({ path: path.join(directory, 'cgroup.subtree_control'), text, stage: 'cgroup' })
  plan.prepare.push({ path: plan.leaf, stage: 'cgroup' })
}

function unifiedWrites(directory: string, controllers: readonly string[], settings: Settings): NativeStep[] {
  const writes = CONTROLLERS.filter(({ name }) => controllers.includes(name)).flatMap((controller) =>
    steps(directory, controller.name, controller.unified(settings)),
  )
  for (const [file, text] of Object.entries(settings.unified ?? {}))
    writes.push({ path: path.join(directory, file), text, stage: `cgroup: ${file}` })
  return writes
}

function planLegacy(plan: CgroupPlan, base: CgroupBase, owner: LegacyPlace, name: string, settings: Settings): void {
  const { hierarchy } = owner
  const limiting = CONTROLLERS.filter(
    (controller) => hierarchy.controllers.includes(controller.legacy) && controller.needed(settings),
  )
  const always = entersAlways(base.host, hierarchy.controllers)
  if (!always && limiting.length === 0) return
  const place = { hierarchy, directory: path.join(owner.directory, name) }
  if (hierarchy.controllers.includes('cpuset')) plan.prepare.push(...fillCpuset(owner, place))
  else {
    if (!always) plan.prepare.push({ path: owner.directory, stage: 'cgroup', lenient: true, late: true })
    plan.prepare.push({ path: place.directory, stage: 'cgroup', late: true })
  }
  for (const controller of limiting)
    plan.prepare.push(...lateSteps(place.directory, controller.name, controller.legacyWrites(settings)))
  enterLegacy(plan, place)
  // Our own default for pids is no reason to show a hierarchy.
  if (limiting.some((controller) => controller.name !== 'pids' || settings.pidsAsked))
    plan.shown.push(path.basename(hierarchy.mountpoint))
  plan.oomControl ??= oomControlOf(place, settings)
}

function oomControlOf({ hierarchy, directory }: LegacyPlace, { memoryMax }: Settings): string | undefined {
  const limited = hierarchy.controllers.includes('memory') && memoryMax !== undefined
  return limited ? path.join(directory, 'memory.oom_control') : undefined
}

function enterLegacy(plan: CgroupPlan, place: LegacyPlace): void {
  plan.legacy.push(place)
  plan.join.push(path.join(place.directory, 'tasks'))
  plan.files = { ...legacyAccounts(place), ...plan.files }
}

/** For a program that is executed in a running container: cgroups of its own below the container's. */
export function planExecCgroup(base: CgroupBase, container: CgroupPlan, name: string): CgroupPlan {
  const plan = emptyPlan()
  if (container.unified) {
    const directory = path.join(container.unified.directory, name)
    // Below a cgroup with processes there are no controllers, only tracking.
    const controllers = container.leaf ? container.unified.controllers : []
    plan.unified = { directory, controllers }
    plan.prepare.push({ path: directory, stage: 'cgroup' })
    plan.files = unifiedAccounts(directory, controllers)
  }
  for (const { hierarchy, directory } of container.legacy) {
    if (!entersAlways(base.host, hierarchy.controllers)) {
      plan.join.push(path.join(directory, 'tasks'))
      continue
    }
    const place = { hierarchy, directory: path.join(directory, name) }
    plan.prepare.push({ path: place.directory, stage: 'cgroup', late: true })
    enterLegacy(plan, place)
  }
  // When memory runs out it is the container's limit, and its counter tells; v1 counts only where the killed process was.
  const counted = plan.legacy.some(({ hierarchy }) => hierarchy.controllers.includes('memory'))
  if (container.files.memoryEvents && !counted) plan.files.memoryEvents = container.files.memoryEvents
  return plan
}

/** How the limits of a group that exists are changed. */
export interface CgroupUpdate {
  writes: NativeStep[]
  /** v1 hierarchies that it is not in yet: those of limits that it did not have. `oomControl`: wherever its limit is. */
  entry: CgroupPlan
}

export function planUpdate(base: CgroupBase, plan: CgroupPlan, settings: Settings): CgroupUpdate {
  checkSwappiness(base, settings)
  const writes: NativeStep[] = []
  const entry = emptyPlan()
  const group = plan.unified?.directory ?? plan.legacy[0]?.directory
  if (plan.unified) writes.push(...unifiedWrites(plan.unified.directory, plan.unified.controllers, settings))
  for (const controller of CONTROLLERS) {
    if (!controller.needed(settings) || plan.unified?.controllers.includes(controller.name)) continue
    const place = plan.legacy.find(({ hierarchy }) => hierarchy.controllers.includes(controller.legacy))
    const owner = legacyOf(base, controller)
    const now = (file: string) => {
      const at = path.join(place?.directory ?? '', file)
      // Of a container that does not run there are only the steps that make it.
      return readWords(at)[0] ?? plan.prepare.findLast((step) => step.path === at)?.text
    }
    if (place) writes.push(...lateSteps(place.directory, controller.name, controller.legacyWrites(settings, now)))
    else if (!owner || group === undefined) throw unavailable(base, `a ${controller.name} limit`, controller.name)
    else if (!entry.legacy.some(({ hierarchy }) => hierarchy === owner.hierarchy))
      planLegacy(entry, base, owner, path.basename(group), settings)
  }
  for (const place of plan.legacy) entry.oomControl ??= oomControlOf(place, settings)
  return { writes, entry }
}

/** From now on the group is in these, too: every start makes them. */
export function addEntry(plan: CgroupPlan, entry: CgroupPlan): void {
  for (const part of ['legacy', 'prepare', 'join', 'shown'] as const) (plan[part] as unknown[]).push(...entry[part])
  plan.files = { ...entry.files, ...plan.files }
}

function inUnified(base: CgroupBase, controller: Controller): boolean {
  return base.unified?.controllers.includes(controller.name) ?? false
}

function legacyOf(base: CgroupBase, controller: Controller): LegacyPlace | undefined {
  return base.legacy.find(({ hierarchy }) => hierarchy.controllers.includes(controller.legacy))
}

function steps(directory: string, controller: string, writes: FileWrite[]): NativeStep[] {
  return writes.map(({ file, text, lenient }) => ({
    path: path.join(directory, file),
    text,
    stage: `cgroup: ${controller}`,
    lenient,
  }))
}

/** The directories of v1 are entered by the init program, so they may be made while it is at work. */
function lateSteps(directory: string, controller: string, writes: FileWrite[]): NativeStep[] {
  return steps(directory, controller, writes).map((step) => ({ ...step, late: true }))
}

/** A v1 cpuset starts empty, and an empty one takes no process: each level copies what its parent may use. */
function fillCpuset({ hierarchy, directory: owner }: LegacyPlace, { directory }: LegacyPlace): NativeStep[] {
  const read = (file: string) => readWords(path.join(hierarchy.own, file)).join('')
  const cpus = read('cpuset.effective_cpus') || read('cpuset.cpus')
  const mems = read('cpuset.effective_mems') || read('cpuset.mems')
  const fill = (where: string, lenient: boolean): NativeStep[] => [
    { path: where, stage: 'cgroup', lenient, late: true },
    { path: path.join(where, 'cpuset.cpus'), text: cpus, stage: 'cgroup: cpuset', late: true },
    { path: path.join(where, 'cpuset.mems'), text: mems, stage: 'cgroup: cpuset', late: true },
  ]
  return [...fill(owner, true), ...fill(directory, false)]
}

/** Executes a program in a running container: as strict as the container, and in cgroups of its own. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type CgroupPlan, hasGroups, planExecCgroup } from '../../cgroup/plan.js'
import { invalidArgument } from '../../errors.js'
import { addon } from '../../native/addon.js'
import type { ExecOptions } from '../../options.js'
import { capabilityMask, DEFAULT_CAPABILITIES } from '../../spec/capabilities.js'
import type { SpecProcess } from '../../spec/runtime.js'
import { deferred } from '../../util/deferred.js'
import { newId } from '../../util/ids.js'
import { insidePath } from '../../util/paths.js'
import { notInSandbox } from '../isolation/sandbox.js'
import { bound, type Lowered, ownersLimits, prepareProgram } from '../lower/lower.js'
import { enterPids, enterPidsLater, joinCgroups, openCgroups } from '../lower/namespaces.js'
import { type Ahead, NONE, OPTIONAL, Plan } from '../lower/plan.js'
import { execute } from '../lower/program.js'
import type { LoweredRoom } from '../lower/room.js'
import { lowerSandbox } from '../lower/sandbox.js'
import { checkExecOptions } from '../options/check.js'
import { mergeEnvironment, userText } from '../options/process.js'
import { copyOptions, type Plain, sameOptions } from '../options/same.js'
import { NAMESPACES, type NamespaceType, type Workload } from '../options/workload.js'
import { duplicate } from './namespaces.js'
import type { Owner } from './owner.js'
import type { Running, RunningEvents } from './running.js'
import { checkCounted, type StartRequest } from './start.js'
import { type Started, Template } from './template.js'

/** f_type of devpts (statfs(2)). */
const DEVPTS_MAGIC = 0x1cd1

export interface ExecTarget {
  workload: Workload
  cgroup: CgroupPlan
  owner: Owner
}

/** Options of the program alone. */
const OF_ONE_EXEC = new Set(['env', 'input', 'timeout', 'cpuTimeout', 'maxOutput', 'signal', 'throwOnError'])
/** Templates that a container keeps: the latest. */
const KEPT = 4

/** The programs that are executed in one container. */
export class Execs {
  readonly #target: ExecTarget
  readonly #alone = new Set<Running>()
  /** Those that may not have entered the container yet. */
  readonly #entering = new Set<Running>()
  /** Resolves when one may enter again. */
  shut: Promise<void> | undefined
  /** Of programs that bring nothing of their own to it. */
  #environment: string[] | undefined
  readonly #templates: Array<{ options: { [name: string]: Plain }; template: Template }> = []

  constructor(target: ExecTarget) {
    this.#target = target
  }

  /** `pidfd`: of the container's PID 1; a duplicate that is taken over. */
  start(
    command: readonly string[],
    options: ExecOptions,
    pidfd: number,
    request: StartRequest,
    events: RunningEvents,
  ): Started {
    try {
      checkCommand(command)
      const main = this.#target.workload.spec.process as SpecProcess
      const template = this.#templateFor(options, pidfd)
      checkCounted(request, template, this.#target.owner.cgroups)
      const execution = new Plan()
      const own = options.env !== undefined || options.tty !== undefined
      if (!own) this.#environment ??= execEnvironment(main, {})
      const env = own ? execEnvironment(main, options) : this.#environment
      execute(execution, { args: [...command], env })
      const telling: RunningEvents = {
        ...events,
        started: (pid) => {
          this.#entering.delete(started.running)
          events.started?.(pid)
        },
      }
      const started = template.start({ ...template.newId(), execution, inherited: [pidfd] }, request, telling)
      this.#entering.add(started.running)
      if (this.#target.workload.sandbox) this.#hold(started.running)
      return started
    } catch (error) {
      addon().closeFd(pidfd)
      throw error
    }
  }

  ended(running: Running): void {
    this.#entering.delete(running)
  }

  /** Does something while nobody is about to enter the container. */
  async keepOut(work: () => Promise<void>): Promise<void> {
    const open = deferred<void>()
    this.shut = open.promise
    try {
      for (const running of this.#entering) running.askStarted()
      while ([...this.#entering].some(({ over }) => !over)) await sleep(1)
      await work()
    } finally {
      this.shut = undefined
      open.resolve()
    }
  }

  /** The container has ended: what was made ahead below its cgroups went with them. */
  forget(): void {
    for (const { template } of this.#templates.splice(0)) template.close()
  }

  /** They end with the container's program: in namespaces the kernel sees to that. */
  endAll(): void {
    for (const running of this.#alone) running.kill('stopped')
  }

  #hold(running: Running): void {
    this.#alone.add(running)
    void running.ended.then(() => this.#alone.delete(running))
  }

  #templateFor(options: ExecOptions, pidfd: number): Template {
    const found = this.#templates.find((each) => sameOptions(each.options, options, OF_ONE_EXEC))
    if (found) return found.template
    checkExecOptions(options)
    const id = newId()
    const cgroup = planExecCgroup(this.#target.owner.cgroups, this.#target.cgroup, id)
    const { workload } = this.#target
    const bordered = this.#target.owner.cgroups.host.delegating ?? false
    const lower = (made: boolean) => planExec(workload, cgroup, options, { bordered, made })
    const inRoom = hasGroups(cgroup) && !workload.sandbox ? lower(true) : undefined
    const lowered = lower(false)
    const more = { marked: !hasGroups(cgroup) && !lowered.guarded, killRest: lowered.guarded }
    const heir = inRoom?.ahead ? duplicate(pidfd) : undefined
    const template = new Template(id, lowered, cgroup, more, inRoom, heir)
    const kept = copyOptions(options, OF_ONE_EXEC)
    if (kept) this.#templates.unshift({ options: kept, template })
    for (const { template } of this.#templates.splice(KEPT)) template.close()
    return template
  }
}

export function checkCommand(command: readonly string[]): void {
  if (!Array.isArray(command) || command.length === 0)
    throw invalidArgument('command', command, 'an array with at least one string')
  for (const word of command)
    if (typeof word !== 'string' || word.includes('\0')) throw invalidArgument('command', word, 'a string without NUL')
}

interface Lowering {
  /** See CgroupHost.delegating. */
  bordered: boolean
  /** Its cgroups are there, and perhaps a process that waits. */
  made: boolean
}

/** Everything but the program's own execution. */
function planExec(
  workload: Workload,
  cgroup: CgroupPlan,
  options: ExecOptions,
  { bordered, made }: Lowering,
): LoweredRoom {
  const plan = new Plan()
  const room = { own: 0, kept: [] }
  if (workload.sandbox) return { ...lowerExec(plan, workload, cgroup, options), ...room }
  const types = entered(workload)
  const slot = plan.inherit(-1)
  const attended = types.includes('pid')
  const unified = attended && cgroup.unified ? plan.inheritPath(cgroup.unified.directory) : NONE
  ownersLimits(plan, workload)
  plan.add('UNDUMPABLE', 'process')
  if (workload.inside) plan.add('SETNS', 'namespaces: user', { numbers: [slot, NAMESPACES.user.flag] })
  const flags = types.reduce(
    (sum, type) => (type === 'pid' || (type === 'user' && workload.inside) ? sum : sum + NAMESPACES[type].flag),
    0,
  )
  const enter = () => {
    if (flags) plan.add('SETNS', 'namespaces', { numbers: [slot, flags] })
  }
  const main = workload.spec.process as SpecProcess
  const bounded = attended && !workload.idMaps
  let ahead: Ahead | undefined
  const pids = () => plan.add('SETNS', 'namespaces: pid', { numbers: [slot, NAMESPACES.pid.flag] })
  if (bounded) {
    // Nobody in there sees it before it has nothing of the host's left: neither root, namespaces nor rights.
    const join = openCgroups(plan, cgroup.join, made)
    // Who has entered a cgroup namespace may not be born in a cgroup any more, where such are borders, unless it comes
    // from one below it. So a process between the two is, and the next one with it.
    const between = unified !== NONE && types.includes('cgroup') && (bordered || workload.inside)
    const steps = () => {
      plan.add('KEYRING', 'process')
      bound(plan, main)
      enter()
      pids()
      if (hasGroups(cgroup)) giveUpRights(plan, main)
    }
    // Who is made ahead waits where no program of the container sees it, and nothing counts it: outside of its pid
    // namespace, and of its cgroups.
    if (between) {
      if (made) ahead = plan.split()
      enterPidsLater(plan, unified, steps)
    } else {
      steps()
      if (made) ahead = plan.split()
      enterPids(plan, unified, true)
    }
    join()
  } else {
    // Of a user namespace: whatever rights one has in there, over a process that comes from outside they are none.
    if (attended) {
      pids()
      enterPids(plan, unified)
    }
    joinCgroups(plan, cgroup.join, made)
    enter()
  }
  // Then this is how its descendants are told from the container's others, when it is killed.
  if (!hasGroups(cgroup)) plan.add('UNSHARE', 'namespaces: cgroup', { numbers: [NAMESPACES.cgroup.flag] })
  plan.add('PARENT_DEATH', 'process')
  if (!bounded) plan.add('KEYRING', 'process')
  const slots = { dev: NONE, pts: NONE, proc: NONE, empty: NONE }
  const process = execProcess(main, ['/'], options)
  if (process.terminal) {
    slots.pts = plan.slot()
    plan.add('OPEN', 'terminal', { numbers: [slots.pts, DEVPTS_MAGIC], strings: ['/dev/pts'] })
  }
  const program = {
    ...workload,
    spec: { ...workload.spec, process },
    user: options.user === undefined ? workload.user : userText(options.user, {}),
    init: false,
    landlock: workload.landlock?.forExecs ? workload.landlock : undefined,
  }
  prepareProgram(plan, program, slots, { bounded })
  return { plan, slots, attended, cloneFlags: 0, ownPids: false, ahead, ...room }
}

/** There is nothing to enter: the program gets the same walls, and a guard of its own. */
function lowerExec(plan: Plan, workload: Workload, cgroup: CgroupPlan, options: ExecOptions): Lowered {
  const { uid, gid } = workload.sandbox ?? {}
  if (options.user !== undefined && ![String(uid), `${uid}:${gid}`].includes(String(options.user)))
    throw notInSandbox('user')
  // The descriptor of the container's program that every exec comes with.
  plan.inherit(-1)
  const process = execProcess(workload.spec.process as SpecProcess, ['/'], options)
  const program = {
    ...workload,
    spec: { ...workload.spec, process },
    files: [],
    cgroup: { ...workload.cgroup, join: cgroup.join, unified: cgroup.unified?.directory },
  }
  return { ...lowerSandbox(plan, program, { template: true }), plan, ownPids: false }
}

/**
 * What the next steps may need; all of it a container has by default. To load a filter, or Landlock, without no_new_privs
 * takes more.
 */
function giveUpRights(plan: Plan, { capabilities, noNewPrivileges }: SpecProcess): void {
  const kept = [
    ...DEFAULT_CAPABILITIES,
    ...(capabilities?.bounding ?? []),
    ...(noNewPrivileges ? [] : ['CAP_SYS_ADMIN']),
  ]
  const mask = capabilityMask(kept)
  plan.add('CAPABILITIES', 'capabilities', { flags: OPTIONAL, numbers: [mask, mask, 0, 0] })
}

/** The namespaces of the container that are not the host's. */
function entered(workload: Workload): NamespaceType[] {
  const own = new Set((workload.spec.linux?.namespaces ?? []).map((namespace) => namespace.type as string))
  const types = (Object.keys(NAMESPACES) as NamespaceType[]).filter((type) => own.has(NAMESPACES[type].spec))
  for (const { type } of workload.join) if (!types.includes(type)) types.push(type)
  return types
}

/** The process of a container with another command; what is not said stays as the container has it. */
export function execProcess(main: SpecProcess, command: readonly string[], options: ExecOptions): SpecProcess {
  return {
    ...main,
    terminal: hasTerminal(options),
    consoleSize: typeof options.tty === 'object' ? { height: options.tty.rows, width: options.tty.columns } : undefined,
    args: [...command],
    env: execEnvironment(main, options),
    cwd: options.workdir === undefined ? main.cwd : insidePath(options.workdir, 'workdir'),
  }
}

export function execEnvironment(main: SpecProcess, options: ExecOptions): string[] {
  return mergeEnvironment(main.env, hasTerminal(options) ? { TERM: 'xterm' } : undefined, options.env)
}

function hasTerminal({ tty }: ExecOptions): boolean {
  return tty !== undefined && tty !== false
}

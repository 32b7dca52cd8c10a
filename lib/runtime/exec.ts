/** Executes a program in a running container: as strict as the container, and in cgroups of its own. */
import { type CgroupPlan, planExecCgroup } from '../cgroup/plan.js'
import { invalidArgument } from '../errors.js'
import type { ExecOptions } from '../options.js'
import type { SpecProcess } from '../spec/runtime.js'
import { insidePath } from '../util/paths.js'
import { becomeProgram, type Lowered } from './lower.js'
import { enterPids } from './lower-namespaces.js'
import type { Owner } from './owner.js'
import { NONE, Plan } from './plan.js'
import { mergeEnvironment, userText } from './spec-process.js'
import { NAMESPACES, type NamespaceType, type Workload } from './workload.js'

/** f_type of devpts (statfs(2)). */
const DEVPTS_MAGIC = 0x1cd1

export interface ExecTarget {
  workload: Workload
  cgroup: CgroupPlan
  owner: Owner
  /** Of the container's PID 1; a duplicate that is taken over. */
  pidfd: number
}

let counter = 0

export function planExec(
  target: ExecTarget,
  command: readonly string[],
  options: ExecOptions,
): { lowered: Lowered; cgroup: CgroupPlan } {
  if (!Array.isArray(command) || command.length === 0)
    throw invalidArgument('command', command, 'an array with at least one string')
  for (const word of command)
    if (typeof word !== 'string' || word.includes('\0')) throw invalidArgument('command', word, 'a string without NUL')
  const { workload } = target
  const cgroup = planExecCgroup(target.owner.cgroups, target.cgroup, `exec-${++counter}`)
  const plan = new Plan()
  const types = entered(workload)
  const slot = plan.inherit(target.pidfd)
  const attended = types.includes('pid')
  const unified = attended && cgroup.unified ? plan.inheritPath(cgroup.unified.directory) : NONE
  plan.add('UNDUMPABLE', 'process')
  if (attended) {
    plan.add('SETNS', 'namespaces: pid', { numbers: [slot, NAMESPACES.pid.flag] })
    enterPids(plan, unified)
  }
  for (const file of cgroup.join) plan.add('CGROUP_JOIN', 'cgroup', { strings: [file] })
  const flags = types.reduce((sum, type) => (type === 'pid' ? sum : sum + NAMESPACES[type].flag), 0)
  if (flags) plan.add('SETNS', 'namespaces', { numbers: [slot, flags] })
  plan.add('PARENT_DEATH', 'process')
  plan.add('KEYRING', 'process')
  const slots = { dev: NONE, pts: NONE, proc: NONE, empty: NONE }
  const process = execProcess(workload.spec.process as SpecProcess, command, options)
  if (process.terminal) {
    slots.pts = plan.slot()
    plan.add('OPEN', 'terminal', { numbers: [slots.pts, DEVPTS_MAGIC], strings: ['/dev/pts'] })
  }
  becomeProgram(
    plan,
    {
      ...workload,
      spec: { ...workload.spec, process },
      user: options.user === undefined ? workload.user : userText(options.user, {}),
      init: false,
    },
    slots,
  )
  return { lowered: { plan, slots, attended, cloneFlags: 0, ownPids: false }, cgroup }
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
  const terminal = options.tty !== undefined && options.tty !== false
  return {
    ...main,
    terminal,
    consoleSize: typeof options.tty === 'object' ? { height: options.tty.rows, width: options.tty.columns } : undefined,
    args: [...command],
    env: mergeEnvironment(main.env, terminal ? { TERM: 'xterm' } : undefined, options.env),
    cwd: options.workdir === undefined ? main.cwd : insidePath(options.workdir, 'workdir'),
  }
}

/** Lowers a program in a sandbox to a plan: no namespace is made, and nothing mounted. */

import type { SpecProcess } from '../../spec/runtime.js'
import type { Workload } from '../options/workload.js'
import type { Lowered, LowerOptions } from './lower.js'
import { joinCgroups } from './namespaces.js'
import { NONE, OPTIONAL, type Plan } from './plan.js'
import { addLandlock, addSeccomp, execute, injectFiles, packedSize, prepareLimits } from './program.js'

/** FORK: the process that goes on is guarded by the one that made it. */
const GUARD = 2
/** f_type of devpts (statfs(2)). */
const DEVPTS_MAGIC = 0x1cd1

/**
 * The first process stays outside, as guard: it ends everything that the program starts, when that has ended or the
 * owner says so. It is in a Landlock domain too, which signals do not leave (addon/init/reap.c).
 */
export function lowerSandbox(plan: Plan, workload: Workload, options: LowerOptions): Omit<Lowered, 'plan' | 'ownPids'> {
  const { sandbox, cgroup, spec } = workload
  if (!sandbox) throw new Error('a workload without a sandbox')
  const unified = cgroup.unified === undefined ? NONE : plan.inheritPath(cgroup.unified)
  plan.add('UNDUMPABLE', 'process')
  plan.add('NO_NEW_PRIVS', 'no_new_privs')
  const { scoped } = sandbox.landlock
  if (scoped) addLandlock(plan, { ...sandbox.landlock, paths: [], handledNet: 0, ports: [], required: true })
  plan.add('FORK', 'process', { numbers: [0, unified, GUARD] })
  joinCgroups(plan, cgroup.join)
  plan.add('KEYRING', 'process')
  const filesAt = plan.position
  injectFiles(plan, workload.files, sandbox)
  if (options.parked) plan.add('WAIT', 'pool', { numbers: [plan.slot(), NONE] })
  else {
    prepareSandboxed(plan, workload)
    if (!options.template) execute(plan, spec.process)
  }
  return {
    cloneFlags: 0,
    attended: true,
    guarded: true,
    slots: { dev: NONE, pts: NONE, proc: NONE, empty: NONE },
    filesAt,
  }
}

/** Of the devpts that is there. */
function addTerminal(plan: Plan, { consoleSize }: SpecProcess): void {
  const slot = plan.slot()
  plan.add('OPEN', 'terminal', { numbers: [slot, DEVPTS_MAGIC], strings: ['/dev/pts'] })
  plan.add('CONSOLE', 'terminal', { numbers: [slot, NONE, packedSize(consoleSize)] })
}

/** Who the program is, and its walls; all but its execution. */
export function prepareSandboxed(plan: Plan, workload: Workload): void {
  const { sandbox, spec, filter, filterFlags } = workload
  const process = spec.process
  if (!sandbox || !process) throw new Error('a sandbox without a process')
  plan.add('USER', 'user', { numbers: [(BigInt(sandbox.uid) << 32n) | BigInt(sandbox.gid), 1], strings: [''] })
  plan.add('WORKDIR', 'workdir', { strings: [process.cwd] })
  if (process.terminal) addTerminal(plan, process)
  addLandlock(plan, sandbox.landlock, OPTIONAL)
  if (workload.landlock) addLandlock(plan, workload.landlock)
  prepareLimits(plan, process)
  plan.add('CREDENTIALS', 'user', { numbers: [process.user.umask ?? 0o022, 1] })
  plan.add('CAPABILITIES', 'capabilities')
  plan.add('PARENT_DEATH', 'process')
  addSeccomp(plan, sandbox.filter, 0)
  if (filter) addSeccomp(plan, filter, filterFlags ?? 0)
}

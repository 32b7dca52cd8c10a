/**
 * From a profile to the classic BPF program that seccomp(2) loads.
 *
 * What a program does, in order:
 * - A call of another architecture kills the process: its numbers mean other calls. So 32-bit programs do not run,
 *   even where a profile lists SCMP_ARCH_X86, SCMP_ARCH_X32 or SCMP_ARCH_ARM; there are no tables for them here.
 * - An x32 call on x86_64 is ENOSYS, as from the usual kernel, which lacks x32. It cannot be a kill: a tracer skips a
 *   call by the number -1, which has the bit of x32 set.
 * - A number above the highest that the profile names is ENOSYS, unless the default action is ALLOW, LOG or TRACE. The
 *   profile is older than the call, and C libraries take ENOSYS, but not EPERM, for "use the older call" (as runc).
 * - Any other number is searched for, then its rules are tried.
 *
 * Which rule decides is as in runc and libseccomp: one without conditions goes before those that have some, and the
 * first of several such holds; a rule whose action is the default one is no rule; unknown names are skipped. When
 * several rules with conditions hold, the first of them decides (libseccomp fixes no order for these).
 */
import { chooseRule } from './arguments.js'
import {
  type Action,
  ALLOW,
  type Architecture,
  describeAction,
  errno,
  KILL_PROCESS,
  LOG,
  type Profile,
  type Rule,
  rulesFor,
  type Target,
} from './profile.js'
import { EQUAL, type Label, Program } from './program.js'
import { type Range, search } from './search.js'
import { syscallNumbers } from './syscalls.js'

/** AUDIT_ARCH_* (linux/audit.h). */
const AUDIT_ARCH: Record<Architecture, number> = { x64: 0xc000003e, arm64: 0xc00000b7 }
const X32_BIT = 0x40000000
const UNKNOWN_CALL = errno(38) // ENOSYS

/** Offsets in struct seccomp_data. */
const NUMBER = 0
const ARCH = 4

/** What happens to a call: the same whatever its arguments are, or by the first rule that holds. */
type Decision = Action | Rule[]

/**
 * The filter of a profile as an array of struct sock_filter.
 * @throws CaissonError ERR_CAISSON_INVALID_ARGUMENT when it would be longer than the kernel takes.
 */
export function compileFilter(profile: Profile, target: Target): Uint8Array {
  const { defaultAction } = profile
  const decisions = decide(profile, target)
  const program = new Program()

  const blocks = new Map<string, Label>()
  const ids = new Map<Rule, number>()
  const block = (rules: Rule[]): Label => {
    for (const rule of rules) if (!ids.has(rule)) ids.set(rule, ids.size)
    const key = rules.map((rule) => ids.get(rule)).join()
    let label = blocks.get(key)
    if (label === undefined) {
      label = chooseRule(program, rules, defaultAction)
      blocks.set(key, label)
    }
    return label
  }

  const ranges: Range[] = []
  const add = (start: number, decision: Decision) => {
    ranges.push({ start, label: typeof decision === 'object' ? block(decision) : program.return(decision) })
  }
  for (let number = 0; number < decisions.length; number++)
    if (number === 0 || decisions[number] !== decisions[number - 1]) add(number, decisions[number] as Decision)
  add(decisions.length, newerAction(decisions.length, defaultAction))
  if (target.arch === 'x64') add(X32_BIT, UNKNOWN_CALL)

  const known = program.load(NUMBER, search(program, ranges))
  program.load(ARCH, program.branch(EQUAL, AUDIT_ARCH[target.arch], known, program.return(KILL_PROCESS)))
  return program.finish()
}

/** By number, up to the highest that the profile names. */
function decide(profile: Profile, target: Target): Decision[] {
  const numbers = syscallNumbers(target.arch)
  const { defaultAction } = profile
  const decisions: Decision[] = []
  for (const rule of rulesFor(profile, target)) {
    const redundant = rule.action === defaultAction
    for (const name of rule.names) {
      const number = numbers.get(name)
      if (number === undefined) continue
      while (decisions.length <= number) decisions.push(defaultAction)
      const before = decisions[number] as Decision
      // Redundant rules come to nothing; so a plain action that is not the default one is there by a rule.
      if (redundant || (typeof before === 'number' && before !== defaultAction)) continue
      if (rule.conditions.length === 0) decisions[number] = rule.action
      else if (typeof before === 'object') before.push(rule)
      else decisions[number] = [rule]
    }
  }
  return decisions
}

function newerAction(known: number, defaultAction: Action): Action {
  const permissive = defaultAction === ALLOW || defaultAction === LOG || describeAction(defaultAction).kind === 'TRACE'
  return known === 0 || permissive ? defaultAction : UNKNOWN_CALL
}

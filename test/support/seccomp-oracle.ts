/**
 * Decides about calls straight from a profile's JSON, with nothing of the compiler: what Docker (profiles/seccomp) picks
 * for a container, runc (libcontainer/seccomp, patchbpf) hands to libseccomp, and libseccomp answers.
 */
import { AUDIT_ARCH, type Call } from './bpf.js'

export interface JsonArgument {
  index: number
  value: number | bigint
  valueTwo?: number | bigint
  op: string
}

interface JsonRequirement {
  caps?: string[]
  arches?: string[]
  minKernel?: string
}

export interface JsonRule {
  name?: string
  names?: string[]
  action: string
  errnoRet?: number
  args?: JsonArgument[] | null
  comment?: string
  includes?: JsonRequirement
  excludes?: JsonRequirement
}

export interface JsonProfile {
  defaultAction: string
  defaultErrnoRet?: number
  archMap?: unknown[]
  architectures?: string[]
  syscalls: JsonRule[]
}

export interface Container {
  arch: 'x64' | 'arm64'
  capabilities: readonly string[]
  kernel: readonly [number, number]
  /** Names by number. */
  names: ReadonlyMap<number, string>
}

const EPERM = 1
const ENOSYS = 38

export function actionValue(name: string, errno = EPERM): number {
  switch (name) {
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return 0
    case 'SCMP_ACT_KILL_PROCESS':
      return 0x80000000
    case 'SCMP_ACT_TRAP':
      return 0x30000
    case 'SCMP_ACT_ERRNO':
      return 0x50000 + errno
    case 'SCMP_ACT_TRACE':
      return 0x7ff00000 + errno
    case 'SCMP_ACT_LOG':
      return 0x7ffc0000
    case 'SCMP_ACT_ALLOW':
      return 0x7fff0000
    default:
      throw new Error(name)
  }
}

export function oracle(profile: JsonProfile, container: Container): (call: Call) => number {
  const byDefault = actionValue(profile.defaultAction, profile.defaultErrnoRet)
  const rules = profile.syscalls
    .filter((rule) => applies(rule, container))
    .flatMap((rule) =>
      (rule.names ?? [rule.name as string]).map((name) => ({
        name,
        action: actionValue(rule.action, rule.errnoRet),
        args: rule.args ?? [],
      })),
    )
  const named = new Set(rules.map(({ name }) => name))
  const highest = Math.max(-1, ...[...container.names].filter(([, name]) => named.has(name)).map(([number]) => number))
  const permissive = ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'].includes(profile.defaultAction)
  // runc hands on no rule that says what happens anyway.
  const effective = rules.filter(({ action }) => action !== byDefault)

  return ({ arch, number, args = [] }) => {
    if (arch !== AUDIT_ARCH[container.arch]) return actionValue('SCMP_ACT_KILL_PROCESS')
    if (container.arch === 'x64' && number >= 0x40000000) return actionValue('SCMP_ACT_ERRNO', ENOSYS)
    if (highest >= 0 && number > highest && !permissive) return actionValue('SCMP_ACT_ERRNO', ENOSYS)
    const mine = effective.filter(({ name }) => name === container.names.get(number))
    const plain = mine.find((rule) => rule.args.length === 0)
    const matching = plain ?? mine.find((rule) => matches(rule.args, args))
    return matching?.action ?? byDefault
  }
}

function applies({ includes = {}, excludes = {} }: JsonRule, { arch, capabilities, kernel }: Container): boolean {
  const go = arch === 'x64' ? 'amd64' : 'arm64'
  const has = (name: string) => capabilities.includes(name)
  const reached = (version: string) => {
    const [major, minor] = version.split('.').map(Number) as [number, number]
    return kernel[0] * 1000 + kernel[1] >= major * 1000 + minor
  }
  if (excludes.caps?.some(has) || excludes.arches?.includes(go)) return false
  if (excludes.minKernel && reached(excludes.minKernel)) return false
  if (includes.caps && !includes.caps.every(has)) return false
  if (includes.arches?.length && !includes.arches.includes(go)) return false
  return !includes.minKernel || reached(includes.minKernel)
}

/** Conditions of one rule are joined by "and"; by "or" when two of them are about the same argument. */
function matches(conditions: readonly JsonArgument[], args: readonly bigint[]): boolean {
  const indexes = conditions.map(({ index }) => index)
  const results = conditions.map(({ index, op, value, valueTwo = 0 }) =>
    compare(op, args[index] ?? 0n, BigInt(value), BigInt(valueTwo)),
  )
  return new Set(indexes).size < indexes.length ? results.includes(true) : !results.includes(false)
}

function compare(op: string, argument: bigint, value: bigint, valueTwo: bigint): boolean {
  switch (op) {
    case 'SCMP_CMP_NE':
      return argument !== value
    case 'SCMP_CMP_LT':
      return argument < value
    case 'SCMP_CMP_LE':
      return argument <= value
    case 'SCMP_CMP_EQ':
      return argument === value
    case 'SCMP_CMP_GE':
      return argument >= value
    case 'SCMP_CMP_GT':
      return argument > value
    case 'SCMP_CMP_MASKED_EQ':
      return (argument & value) === (valueTwo & value)
    default:
      throw new Error(op)
  }
}

/**
 * Reads profiles: Docker's JSON and linux.seccomp of the OCI runtime specification, which Docker's extends by
 * conditions on capabilities, architectures and the kernel. As in Go, null stands for a field that is not there, and
 * fields that nobody defines are passed over.
 */
import { CaissonError, invalidArgument } from '../errors.js'
import { lookalike } from '../spec/json.js'
import {
  type Action,
  ALLOW,
  type Condition,
  errno,
  type FilterFlag,
  type KernelVersion,
  KILL_PROCESS,
  KILL_THREAD,
  LOG,
  type Operator,
  type Profile,
  type Requirement,
  type Rule,
  TRAP,
  trace,
} from './profile.js'

const EPERM = 1
const ERRNO_MAX = 4095
const TRACE_MAX = 0xffff

/** Actions without a number. */
const PLAIN_ACTIONS = new Map<string, Action>([
  ['SCMP_ACT_ALLOW', ALLOW],
  ['SCMP_ACT_LOG', LOG],
  ['SCMP_ACT_TRAP', TRAP],
  ['SCMP_ACT_KILL', KILL_THREAD],
  ['SCMP_ACT_KILL_THREAD', KILL_THREAD],
  ['SCMP_ACT_KILL_PROCESS', KILL_PROCESS],
])

const OPERATORS = new Set(['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'].map((name) => `SCMP_CMP_${name}`))

const ARCHITECTURES = new Set(
  (
    'X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X ' +
    'RISCV64 LOONGARCH64 PARISC PARISC64 M68K SH SHEB'
  )
    .split(' ')
    .map((name) => `SCMP_ARCH_${name}`),
)

const FLAGS = new Set(['TSYNC', 'LOG', 'SPEC_ALLOW'].map((name) => `SECCOMP_FILTER_FLAG_${name}`))

type Fields = Readonly<Record<string, unknown>>

/** Go's programs take a name in other letters for the same: here a rule or its conditions would be passed over. */
const NAMES = [
  ...['defaultAction', 'defaultErrnoRet', 'archMap', 'architectures', 'flags', 'syscalls'],
  ...['name', 'names', 'action', 'errnoRet', 'args', 'includes', 'excludes'],
  ...['index', 'value', 'valueTwo', 'op', 'caps', 'arches', 'minKernel'],
]

/**
 * A profile in Docker's format, or in OCI's. `option` is the name of the value in errors.
 * @throws CaissonError ERR_CAISSON_INVALID_ARGUMENT naming the field; ERR_CAISSON_UNSUPPORTED for SCMP_ACT_NOTIFY.
 */
export function parseDockerProfile(value: unknown, option = 'security.seccomp'): Profile {
  const fields = object(value, option)
  const archMap = optional(fields.archMap, `${option}.archMap`, list)
  const profile = parse(fields, option, dockerRule)
  if (archMap?.length && optional(fields.architectures, `${option}.architectures`, list)?.length)
    throw invalidArgument(`${option}.archMap`, archMap, 'absent where there are architectures')
  archMap?.forEach((entry, i) => {
    const at = `${option}.archMap[${i}]`
    const { architecture, subArchitectures } = object(entry, at)
    oneOf(architecture, `${at}.architecture`, ARCHITECTURES)
    optional(subArchitectures, `${at}.subArchitectures`, architectures)
  })
  return profile
}

/** linux.seccomp of a config.json. Errors as those of `parseDockerProfile`. */
export function parseSpecSeccomp(value: unknown, option = 'linux.seccomp'): Profile {
  return parse(object(value, option), option, specRule)
}

function parse(fields: Fields, option: string, rule: (fields: Fields, at: string) => Rule[]): Profile {
  optional(fields.architectures, `${option}.architectures`, architectures)
  return {
    defaultAction: action(fields, option, 'defaultAction', 'defaultErrnoRet'),
    flags: optional(fields.flags, `${option}.flags`, (value, at) =>
      list(value, at).map((flag, i) => oneOf(flag, `${at}[${i}]`, FLAGS) as FilterFlag),
    ),
    rules: (optional(fields.syscalls, `${option}.syscalls`, list) ?? []).flatMap((entry, i) => {
      const at = `${option}.syscalls[${i}]`
      return rule(object(entry, at), at)
    }),
  }
}

function specRule(fields: Fields, at: string): Rule[] {
  return alternatives(strings(fields.names, `${at}.names`), fields, at)
}

function dockerRule(fields: Fields, at: string): Rule[] {
  const single = optional(fields.name, `${at}.name`, text)
  const several = optional(fields.names, `${at}.names`, strings)
  if (single && several?.length) throw invalidArgument(`${at}.name`, single, 'absent where there are names')
  const names = single ? [single] : (several ?? strings(fields.names, `${at}.names`))
  const includes = optional(fields.includes, `${at}.includes`, requirement)
  const excludes = optional(fields.excludes, `${at}.excludes`, requirement)
  return alternatives(names, fields, at).map((rule) => ({ ...rule, includes, excludes }))
}

/**
 * One rule, or one for each condition when two of them are about the same argument: so libseccomp's users take it,
 * from the time when it could not join such conditions.
 */
function alternatives(names: string[], fields: Fields, at: string): Rule[] {
  const result = action(fields, at, 'action', 'errnoRet')
  const conditions = (optional(fields.args, `${at}.args`, list) ?? []).map((entry, i) =>
    condition(object(entry, `${at}.args[${i}]`), `${at}.args[${i}]`),
  )
  const distinct = new Set(conditions.map(({ index }) => index)).size === conditions.length
  return (distinct ? [conditions] : conditions.map((single) => [single])).map((conditions) => ({
    names,
    action: result,
    conditions,
  }))
}

function action(fields: Fields, at: string, nameField: string, numberField: string): Action {
  const name = fields[nameField]
  const number = fields[numberField] ?? undefined
  const numberAt = `${at}.${numberField}`
  if (name === 'SCMP_ACT_ERRNO') return errno(integer(number ?? EPERM, numberAt, ERRNO_MAX))
  if (name === 'SCMP_ACT_TRACE') return trace(integer(number ?? EPERM, numberAt, TRACE_MAX))
  if (name === 'SCMP_ACT_NOTIFY')
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', `${at}.${nameField}: SCMP_ACT_NOTIFY needs a listener`, {
      stage: 'options',
      hint: 'There is none here; use SCMP_ACT_ERRNO, or SCMP_ACT_ALLOW.',
    })
  const known = typeof name === 'string' ? PLAIN_ACTIONS.get(name) : undefined
  if (known === undefined) throw invalidArgument(`${at}.${nameField}`, name, 'an action such as SCMP_ACT_ERRNO')
  if (number !== undefined) throw invalidArgument(numberAt, number, `absent, as ${name} has no number`)
  return known
}

function condition(fields: Fields, at: string): Condition {
  return {
    index: integer(fields.index, `${at}.index`, 5),
    op: oneOf(fields.op, `${at}.op`, OPERATORS).slice('SCMP_CMP_'.length) as Operator,
    value: unsigned(fields.value, `${at}.value`),
    valueTwo: optional(fields.valueTwo, `${at}.valueTwo`, unsigned),
  }
}

function requirement(value: unknown, at: string): Requirement {
  const { caps, arches, minKernel } = object(value, at)
  return {
    caps: optional(caps, `${at}.caps`, strings),
    arches: optional(arches, `${at}.arches`, strings),
    minKernel: optional(minKernel, `${at}.minKernel`, kernelVersion),
  }
}

function kernelVersion(value: unknown, at: string): KernelVersion | undefined {
  if (value === '') return undefined
  const parts = typeof value === 'string' ? /^(\d{1,3})\.(\d{1,3})$/.exec(value) : null
  if (!parts) throw invalidArgument(at, value, 'a version such as "5.12"')
  return [Number(parts[1]), Number(parts[2])]
}

function optional<T>(value: unknown, at: string, read: (value: unknown, at: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value, at)
}

function object(value: unknown, at: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidArgument(at, value, 'an object')
  const [key, name] = lookalike(value, NAMES) ?? []
  if (key !== undefined) throw invalidArgument(at, key, `a name that cannot be taken for ${name}`)
  return value as Fields
}

function list(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value)) throw invalidArgument(at, value, 'an array')
  return value
}

function text(value: unknown, at: string): string {
  if (typeof value !== 'string') throw invalidArgument(at, value, 'a string')
  return value
}

function strings(value: unknown, at: string): string[] {
  return list(value, at).map((entry, i) => {
    if (typeof entry !== 'string' || entry === '') throw invalidArgument(`${at}[${i}]`, entry, 'a name')
    return entry
  })
}

function architectures(value: unknown, at: string): void {
  list(value, at).forEach((name, i) => {
    oneOf(name, `${at}[${i}]`, ARCHITECTURES)
  })
}

function oneOf(value: unknown, at: string, names: ReadonlySet<string>): string {
  if (typeof value !== 'string' || !names.has(value))
    throw invalidArgument(at, value, `one of ${[...names].join(', ')}`)
  return value
}

function integer(value: unknown, at: string, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most)
    throw invalidArgument(at, value, `an integer from 0 to ${most}`)
  return value
}

/** JSON.parse rounds numbers above 2^53: such a one would test for something else than was written. */
function unsigned(value: unknown, at: string): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value)
  if (typeof value === 'bigint' && value >= 0n && value < 1n << 64n) return value
  throw invalidArgument(at, value, 'an unsigned 64-bit integer (a BigInt above 2^53)')
}

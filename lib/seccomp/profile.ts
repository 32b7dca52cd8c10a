/** A seccomp profile as the compiler takes it, whatever format it came in. */

/** Node's names (process.arch) of the architectures that have a table. */
export type Architecture = 'x64' | 'arm64'

/** What a filter returns for a system call: SECCOMP_RET_* with its data (linux/seccomp.h), an unsigned 32-bit number. */
export type Action = number

export const KILL_PROCESS: Action = 0x80000000
export const KILL_THREAD: Action = 0
export const TRAP: Action = 0x00030000
export const LOG: Action = 0x7ffc0000
export const ALLOW: Action = 0x7fff0000

const ERRNO = 0x00050000
const TRACE = 0x7ff00000
const DATA = 0xffff

/** The call is not made and fails with this number, 0 to 4095. */
export function errno(number: number): Action {
  return ERRNO | number
}

/** A tracer decides and is told this number, 0 to 65535; without a tracer the call fails with ENOSYS. */
export function trace(message: number): Action {
  return TRACE | message
}

export type ActionKind = 'KILL_PROCESS' | 'KILL_THREAD' | 'TRAP' | 'ERRNO' | 'TRACE' | 'LOG' | 'ALLOW'

const KINDS = new Map<number, ActionKind>([
  [KILL_PROCESS, 'KILL_PROCESS'],
  [KILL_THREAD, 'KILL_THREAD'],
  [TRAP, 'TRAP'],
  [ERRNO, 'ERRNO'],
  [TRACE, 'TRACE'],
  [LOG, 'LOG'],
  [ALLOW, 'ALLOW'],
])

export function describeAction(action: Action): { kind: ActionKind; data: number } {
  return { kind: KINDS.get((action & ~DATA) >>> 0) as ActionKind, data: action & DATA }
}

export type Operator = 'NE' | 'LT' | 'LE' | 'EQ' | 'GE' | 'GT' | 'MASKED_EQ'

/**
 * A test of one argument, unsigned and of 64 bits. MASKED_EQ: the bits of the argument that are set in `value` are as
 * in `valueTwo` (0 when omitted), whose other bits do not count.
 */
export interface Condition {
  /** 0 to 5. */
  index: number
  op: Operator
  value: bigint
  valueTwo?: bigint
}

/** `[major, minor]` of a kernel's release. */
export type KernelVersion = readonly [number, number]

/** For whom a rule is there or not. */
export interface Requirement {
  caps?: readonly string[]
  /** In Go's words, as Docker: `amd64`, `arm64`. */
  arches?: readonly string[]
  minKernel?: KernelVersion
}

export interface Rule {
  names: readonly string[]
  action: Action
  /** All of them must hold; none: whatever the arguments are. */
  conditions: readonly Condition[]
  /** All that it names is needed: every capability, one of the architectures, the kernel. */
  includes?: Requirement
  /** Any that it names is enough to leave the rule out. */
  excludes?: Requirement
}

export type FilterFlag = 'SECCOMP_FILTER_FLAG_TSYNC' | 'SECCOMP_FILTER_FLAG_LOG' | 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'

export interface Profile {
  defaultAction: Action
  flags?: readonly FilterFlag[]
  rules: readonly Rule[]
}

/** For whom a filter is made. */
export interface Target {
  arch: Architecture
  /** The bounding set of the container, as `CAP_NET_ADMIN`. */
  capabilities: readonly string[]
  /** Default: the oldest that caisson runs on. */
  kernel?: KernelVersion
}

const OLDEST_KERNEL: KernelVersion = [5, 12]
const GO_NAMES: Record<Architecture, string> = { x64: 'amd64', arm64: 'arm64' }

/** The rules that are there for a target, in their order. */
export function rulesFor(profile: Profile, target: Target): Rule[] {
  const arch = GO_NAMES[target.arch]
  const capabilities = new Set(target.capabilities)
  const [major, minor] = target.kernel ?? OLDEST_KERNEL
  const reached = ([m, n]: KernelVersion) => major > m || (major === m && minor >= n)
  const included = ({ caps = [], arches, minKernel }: Requirement) =>
    caps.every((name) => capabilities.has(name)) &&
    (!arches?.length || arches.includes(arch)) &&
    (!minKernel || reached(minKernel))
  const excluded = ({ caps = [], arches = [], minKernel }: Requirement) =>
    caps.some((name) => capabilities.has(name)) || arches.includes(arch) || (minKernel && reached(minKernel))
  return profile.rules.filter(
    ({ includes, excludes }) => !(includes && !included(includes)) && !(excludes && excluded(excludes)),
  )
}

const FLAGS: Record<FilterFlag, number> = {
  // One thread loads the filter and becomes the program: there is nothing to synchronize.
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
}

/**
 * `Profile.flags` as the argument of seccomp(2). Without flags none is set: runc would allow speculative store bypass
 * (SPEC_ALLOW), which untrusted programs need no favour in.
 */
export function filterFlags(flags: readonly FilterFlag[] = []): number {
  return flags.reduce((sum, flag) => sum | FLAGS[flag], 0)
}

/** A profile as linux.seccomp of the OCI runtime specification, for whoever else runs the bundle. */
import type { SpecSeccomp, SpecSeccompArgument, SpecSeccompRule } from '../spec/runtime.js'
import {
  type Action,
  type Architecture,
  type Condition,
  describeAction,
  type Profile,
  rulesFor,
  type Target,
} from './profile.js'

const NAMES: Record<Architecture, string> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' }

/**
 * The rules that are there for the target. Runtimes decide by them as our filter does, save that they kill the thread
 * alone for a call of another architecture.
 */
export function toSpecSeccomp(profile: Profile, target: Target): SpecSeccomp {
  const { name, number } = spell(profile.defaultAction)
  return {
    defaultAction: name,
    ...(number === undefined ? {} : { defaultErrnoRet: number }),
    architectures: [NAMES[target.arch]],
    ...(profile.flags ? { flags: [...profile.flags] } : {}),
    syscalls: rulesFor(profile, target).map(({ names, action, conditions }): SpecSeccompRule => {
      const { name, number } = spell(action)
      return {
        names: [...names],
        action: name,
        ...(number === undefined ? {} : { errnoRet: number }),
        ...(conditions.length > 0 ? { args: conditions.map(argument) } : {}),
      }
    }),
  }
}

function spell(action: Action): { name: string; number?: number } {
  const { kind, data } = describeAction(action)
  return { name: `SCMP_ACT_${kind}`, number: kind === 'ERRNO' || kind === 'TRACE' ? data : undefined }
}

function argument({ index, op, value, valueTwo }: Condition): SpecSeccompArgument {
  return {
    index,
    value: exact(value),
    ...(valueTwo === undefined ? {} : { valueTwo: exact(valueTwo) }),
    op: `SCMP_CMP_${op}`,
  }
}

function exact(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

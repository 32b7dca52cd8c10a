/** From security.seccomp to the filter of a container. */
import { release } from 'node:os'
import { invalidArgument } from '../../errors.js'
import type { SecurityOptions } from '../../options.js'
import { architecture } from '../../seccomp/arch.js'
import { compileFilter } from '../../seccomp/compile.js'
import { defaultProfile } from '../../seccomp/default.js'
import { defaultFilter } from '../../seccomp/filters.js'
import { parseDockerProfile, parseSpecSeccomp } from '../../seccomp/parse.js'
import { filterFlags, type KernelVersion, type Target } from '../../seccomp/profile.js'
import { toSpecSeccomp } from '../../seccomp/spec.js'
import type { SpecSeccomp } from '../../spec/runtime.js'

export interface Seccomp {
  /** An array of struct sock_filter. */
  filter: Uint8Array
  /** Flags of seccomp(2). */
  flags: number
  /** The one of who asks for none. */
  usual: boolean
  /** The same for a config.json. */
  spec(): SpecSeccomp
}

/**
 * The filter that the options ask for, for a container with these capabilities in its bounding set; undefined: none.
 * As in Docker, a privileged container has one only where it is asked for by name.
 */
export function chooseSeccomp(security: SecurityOptions, capabilities: readonly string[]): Seccomp | undefined {
  const choice = security.seccomp ?? (security.privileged ? 'unconfined' : 'default')
  if (choice === 'unconfined') return undefined
  if (choice !== 'default' && typeof choice !== 'object')
    throw invalidArgument('security.seccomp', choice, '"default", "unconfined" or a profile')
  const target: Target = { arch: architecture(), capabilities, kernel: kernelVersion() }
  if (choice === 'default')
    return {
      filter: defaultFilter(target.arch, capabilities),
      flags: filterFlags(),
      usual: true,
      spec: () => toSpecSeccomp(defaultProfile(), target),
    }
  const profile = parseDockerProfile(choice)
  return {
    filter: compileFilter(profile, target),
    flags: filterFlags(profile.flags),
    usual: false,
    spec: () => toSpecSeccomp(profile, target),
  }
}

/** The filter of a config.json; undefined when it has none. */
export function seccompOfSpec(spec: SpecSeccomp | undefined, capabilities: readonly string[]): Seccomp | undefined {
  if (!spec) return undefined
  const profile = parseSpecSeccomp(spec)
  return {
    filter: compileFilter(profile, { arch: architecture(), capabilities, kernel: kernelVersion() }),
    flags: filterFlags(profile.flags),
    usual: false,
    spec: () => spec,
  }
}

/** What uname(2) says, for rules that need a newer kernel. */
function kernelVersion(): KernelVersion | undefined {
  const parts = /^(\d+)\.(\d+)/.exec(release())
  return parts ? [Number(parts[1]), Number(parts[2])] : undefined
}

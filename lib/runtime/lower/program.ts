/** Parts of a plan that every program has, however it is kept apart. */
import path from 'node:path'
import { resourceNumber } from '../../spec/rlimits.js'
import type { SpecProcess } from '../../spec/runtime.js'
import type { Landlock } from '../options/landlock.js'
import type { Workload } from '../options/workload.js'
import { NO_SYMLINKS, NONE, type Plan, STAY } from './plan.js'

/**
 * Written as the container's root, before the program is. In a sandbox they go to its directory, whoever runs in it is
 * their owner, and nobody was there yet who could have put links on the way.
 */
export function injectFiles(plan: Plan, files: Workload['files'], sandbox?: Workload['sandbox']): void {
  for (const file of files) {
    const { uid, gid } = sandbox ?? file
    plan.add('FILE', `files: ${file.path}`, {
      flags: sandbox ? 0 : STAY,
      numbers: [NONE, file.mode, (BigInt(uid) << 32n) | BigInt(gid)],
      strings: [sandbox ? path.join(sandbox.directory, file.path) : file.path],
      blob: file.content,
    })
  }
}

/** `kept`: of what the plan inherits, how many descriptors from the first on the program gets too. */
export function execute(plan: Plan, process: Pick<SpecProcess, 'args' | 'env'> | undefined, kept = 0): void {
  if (!process?.args?.length) throw new Error('a process needs args')
  plan.add('EXEC', 'exec', { numbers: [process.args.length, kept], strings: [...process.args, ...(process.env ?? [])] })
}

export function prepareLimits(plan: Plan, process: Pick<SpecProcess, 'rlimits'>): void {
  for (const limit of process.rlimits ?? [])
    plan.add('RLIMIT', `ulimits: ${limit.type}`, {
      numbers: [resourceNumber(limit.type), rlimitValue(limit.soft), rlimitValue(limit.hard)],
    })
}

export function addSeccomp(plan: Plan, filter: Uint8Array, flags: number): void {
  plan.add('SECCOMP', 'seccomp', { numbers: [flags], blob: filter })
}

/** `flags`: OPTIONAL for paths that may not be there; NO_SYMLINKS for those of the caller's. */
export function addLandlock(plan: Plan, landlock: Landlock, flags = landlock.named ? NO_SYMLINKS : 0): void {
  const { paths, ports, handledNet, scoped, required } = landlock
  const numbers = [...paths.map(({ rights }) => rights), ...ports.flatMap(({ rights, port }) => [rights, port])]
  const blob = Buffer.alloc(numbers.length * 8)
  numbers.forEach((number, i) => {
    blob.writeBigUInt64LE(BigInt(number), i * 8)
  })
  const strings = paths.map(({ path }) => path)
  plan.add('LANDLOCK', 'landlock', { flags, numbers: [handledNet, scoped, required ? 1 : 0], strings, blob })
}

/** RLIM_INFINITY comes as -1 or as 2^64-1, which a double rounds up. */
export function rlimitValue(value: number): bigint {
  return value < 0 || value >= 2 ** 64 ? 0xffffffffffffffffn : BigInt(value)
}

const CONSOLE_SIZE = { height: 24, width: 80 }

/** Of a terminal, for CONSOLE: columns and rows in one number. */
export function packedSize({ height, width }: { height: number; width: number } = CONSOLE_SIZE): number {
  return ((width & 0xffff) << 16) | (height & 0xffff)
}

/**
 * The native addon: the only place that loads it, and the types of all that it exports.
 *
 * It is loaded at first use, so that the package can be imported on any system.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { CaissonError } from '../errors.js'

/** A failure inside the addon; `runtime/failure.ts` makes an Error of it. */
export interface NativeFailure {
  stage: string
  syscall: string
  errno: number
  path: string
  /** Index of the plan's record that failed, or -1. */
  record: number
}

/** A directory to make, or (with `text`) a file to write in one call. */
export interface NativeStep {
  path: string
  text?: string
  stage?: string
  lenient?: boolean
}

export interface NativeCgroup {
  unified?: string
  legacy?: string[]
  freezer?: string
}

export interface NativeIdMaps {
  uid: string
  gid: string
  denySetgroups?: boolean
  uidHelper?: string
  gidHelper?: string
}

/** A descriptor (the addon takes it over), or what to do instead. */
export type NativeStdio = number | 'null' | 'capture' | 'input'

export interface NativeRequest {
  plan: Uint8Array
  /** CLONE_NEW* flags. */
  namespaces: number
  cgroup?: NativeCgroup
  prepare?: NativeStep[]
  maps?: NativeIdMaps
  stdio: [NativeStdio, NativeStdio, NativeStdio]
  input?: Uint8Array
  /** Descriptors for the plan's first slots; taken over. */
  inherited?: number[]
  captureLimit?: number
  wallLimitMs?: number
  cpuLimitMs?: number
  cpuFile?: string
  oomControl?: string
  collect?: string[]
  killRest?: boolean
}

export type NativeCause = '' | 'timeout' | 'cpu' | 'output' | 'aborted' | 'oom' | 'stopped'

export interface NativeReport {
  failure?: NativeFailure
  /** si_code of waitid: 1 exited, 2 killed, 3 killed with a dump; 0 unknown. */
  code: number
  status: number
  cause: NativeCause
  durationMs: number
  userMs: number
  systemMs: number
  stdout: Buffer
  stderr: Buffer
  truncated: boolean
  collected: string[]
}

export type NativeEvent =
  | ['started', number]
  | ['synchronising', number]
  | ['ready', number]
  | ['console', number]
  | ['ended', NativeReport]

declare const handle: unique symbol
export interface NativeProcess {
  readonly [handle]: true
}

export interface Addon {
  readonly plan: {
    ops: Record<string, number>
    magic: number
    version: number
    headerSize: number
    recordSize: number
  }
  start(request: NativeRequest, listener: (...event: NativeEvent) => void): NativeProcess
  /** Kills everything in the process's cgroup, for a cause that the report then gives. */
  kill(process: NativeProcess, cause: NativeCause): void
  signal(process: NativeProcess, signal: number): void
  go(process: NativeProcess): void
  detach(process: NativeProcess, stream: 0 | 1, done: (fd: number, bytes: Buffer) => void): void
  perform(steps: NativeStep[]): Promise<void>
  removeCgroup(cgroup: NativeCgroup): Promise<void>
  watch(directories: string[]): Promise<void>
  /** The descriptor that holds the lock (flock(2)), or -1 when another process has it and we do not wait. */
  lock(path: string, exclusive: boolean, wait: boolean): Promise<number>
  /** [read end, write end], or a failure. Synchronous and instant. */
  pipe(): [number, number] | NativeFailure
  closeFd(fd: number): void
  /** Sets the size of a terminal. */
  resize(fd: number, columns: number, rows: number): void
}

let loaded: Addon | undefined

/** The addon; a coded error where it cannot be had. */
export function addon(): Addon {
  loaded ??= load()
  return loaded
}

/** glibc or musl: the header of Node's own report says which C library it runs on. */
function libc(): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime ? 'glibc' : 'musl'
}

function load(): Addon {
  if (process.platform !== 'linux')
    throw new CaissonError(
      'ERR_CAISSON_UNSUPPORTED_PLATFORM',
      `caisson runs containers on Linux, not on ${process.platform}`,
      {
        stage: 'load',
        hint: 'Run the program on Linux: a server, a virtual machine, or WSL 2.',
      },
    )
  const root = packageRoot()
  const names = [
    `addon/build/Release/caisson.node`,
    `prebuilds/${process.platform}-${process.arch}-${libc()}/caisson.node`,
  ].map((name) => path.join(root, name))
  const found = names.find((name) => existsSync(name))
  if (!found)
    throw new CaissonError(
      'ERR_CAISSON_UNSUPPORTED_PLATFORM',
      `caisson has no addon for ${process.platform}-${process.arch} with ${libc()}`,
      {
        stage: 'load',
        hint: `In a clone of caisson run "npm run build:addon"; an installed package should hold ${names[1]}.`,
      },
    )
  try {
    return createRequire(path.join(root, 'package.json'))(found) as Addon
  } catch (error) {
    throw new CaissonError(
      'ERR_CAISSON_UNSUPPORTED_PLATFORM',
      `caisson's addon cannot be loaded: ${(error as Error).message}`,
      {
        stage: 'load',
        hint: `Rebuild it for this machine ("npm run build:addon"), or check that ${found} is for ${process.arch} and ${libc()}.`,
        cause: error as Error,
      },
    )
  }
}

/** The directory with our package.json, from lib/native (sources) or dist (bundled). */
function packageRoot(): string {
  let directory = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(directory, 'package.json')) && directory !== path.dirname(directory))
    directory = path.dirname(directory)
  return directory
}

/**
 * The native addon, with the types of all that it exports. It is loaded at first use, so that the package can be imported
 * on any system.
 */
import type { CaissonError } from '../errors.js'
import type { NativeBlob } from './blob.js'
import type { NativeInventories } from './inventory.js'
import type { NativeLayer } from './layer.js'
import { loadAddon } from './load.js'
import type { NativeNetwork } from './network.js'

/** A failure inside the addon; `failure.ts` makes an Error of it. */
export interface NativeFailure {
  stage: string
  syscall: string
  errno: number
  path: string
  /** Index of the plan's record that failed, or -1. */
  record: number
}

/** A directory to make; or a file to write in one call, a file to create, a symbolic link to make. */
export interface NativeStep {
  path: string
  /** For a file that is there. */
  text?: string
  /** For a new file. */
  content?: string
  /** For a symbolic link. */
  target?: string
  stage?: string
  lenient?: boolean
  /** For a directory: nobody else may pass. */
  closed?: boolean
  /** Done when the process is there; it waits in its plan until all of them are (SYNC, `awaitsSteps`). */
  late?: boolean
}

export interface NativeCgroup {
  unified?: string
  /** Where in `unified` the process is born, when not at its top. */
  entered?: string
  legacy?: string[]
  freezer?: string
}

export interface NativeDeviceRule {
  allow: boolean
  type?: 'a' | 'b' | 'c'
  major?: number
  minor?: number
  /** Of r, w and m. */
  access?: string
}

export interface NativeIdMaps {
  uid: string
  gid: string
  denySetgroups?: boolean
  uidHelper?: string
  gidHelper?: string
}

/** A descriptor (the addon takes it over), or what to do instead. `open`: an input that nothing comes from. */
export type NativeStdio = number | 'null' | 'capture' | 'input' | 'open'

/** What a program is connected to and measured against. */
export interface NativeRun {
  plan: Uint8Array
  stdio: [NativeStdio, NativeStdio, NativeStdio]
  input?: Uint8Array
  /** Bytes of both outputs together; more ends the program with the cause `output`. */
  captureLimit?: number
  wallLimitMs?: number
  cpuLimitMs?: number
  /** `started` is only told when it is asked for. */
  quiet?: boolean
}

export interface NativeRequest extends NativeRun {
  /** CLONE_NEW* flags. */
  namespaces: number
  cgroup?: NativeCgroup
  /** The plan takes it into its v2 cgroup; else it is born there. */
  bornOutside?: boolean
  /** Device access in the v2 cgroup: the last rule that fits decides, none denies. */
  devices?: readonly NativeDeviceRule[]
  prepare?: NativeStep[]
  awaitsSteps?: boolean
  maps?: NativeIdMaps
  /** Descriptors for the plan's first slots; taken over. */
  inherited?: number[]
  /** Opened with O_PATH after `prepare`; their slots follow. */
  inheritedPaths?: string[]
  /** A new network namespace, loopback up, goes into slot 0, before `inherited`. */
  newNetwork?: boolean
  /** A file that output goes to, line by line with times, instead of the report. */
  log?: string
  logLimit?: number
  cpuFile?: string
  oomControl?: string
  collect?: string[]
  /** When it ends, everything in its cgroup is killed. */
  killRest?: boolean
  /** The plan ends with WAIT: it is for resume(). */
  parks?: boolean
  /** It is PID 1 of a namespace of its own: then the kernel does that. */
  ownPids?: boolean
  /** No cgroup keeps it together but a cgroup namespace of its own, which the plan makes. */
  marked?: boolean
  /** The plan has it guarded (FORK): it ends when its program does, with all that has started. */
  guarded?: boolean
  /** The event loop does not wait for it. */
  background?: boolean
}

/** What many processes have in common: a request in which `placeholder` stands for the id. */
export interface NativeTemplateRequest extends Omit<NativeRequest, keyof NativeRun | 'inherited' | 'log' | 'logLimit'> {
  plan: Uint8Array
  placeholder: string
  /** An offset in the plan, between two records. */
  insertAt: number
  room?: NativeRoomRequest
}

/** What containers of a template live in, made ahead; those that find one made have another plan. */
export interface NativeRoomRequest extends Pick<NativeTemplateRequest, 'plan' | 'insertAt' | 'namespaces'> {
  /** A plan of mounts alone, when there is a mount namespace. */
  furnishing?: Uint8Array
  /** CLONE_NEW* of the namespaces; the container's plan inherits net, ipc and mnt in this order. 0: only cgroups. */
  own: number
  /** Slots of `furnishing` that it inherits after them. */
  kept: number[]
  /** A process that is made ahead, too, and waits for the container's plan. It inherits a descriptor, which is taken over, and the template's paths. */
  ahead?: { plan: Uint8Array; inherited: number }
}

declare const templateHandle: unique symbol
export interface NativeTemplate {
  readonly [templateHandle]: true
}

/** One of them: its id, as long as the placeholder, and records for the plan's middle and end. */
export interface NativeInstance extends Omit<NativeRun, 'plan'> {
  template: NativeTemplate
  id: string
  /** Descriptors for the plan's first slots; taken over. */
  inherited?: number[]
  inserted?: Uint8Array
  appended: Uint8Array
  /** In both together. */
  records: number
}

export type NativeCause = '' | 'timeout' | 'cpu' | 'output' | 'aborted' | 'oom' | 'stopped'

export interface NativeReport {
  failure?: NativeFailure
  /** Of the program; -1 when it never started. */
  pid: number
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
  /** Of Running, not of the addon: its end was asked for here, so `stopped` is no failure of ours. */
  asked?: boolean
  /** Of its verdict: why the command was not executed, where that is a result. */
  refused?: CaissonError
}

export type NativeEvent =
  | ['started', number]
  | ['synchronising', number]
  | ['ready', number]
  | ['console', number]
  | ['ended', NativeReport]

/** A namespace's descriptor, which the receiver closes, with its kind as a CLONE_NEW* flag. */
export interface NativeNamespace {
  fd: number
  flag: number
  inode: number
}

/** What the kernel says of a namespace: inodes; 0, none and -1 where it says nothing. */
export interface NativeNamespaceFacts {
  parent: number
  /** The user namespace that it belongs to, then that one's parents. */
  owners: number[]
  ownerUid: number
}

export interface NativeNamespaceRow {
  flag: number
  inode: number
  processes: number
  /** 0: no process is in it. */
  pid: number
  ppid: number
  uid: number
  user: string
  command: string
  /** A file that leads to it, or ''. */
  path: string
  facts: NativeNamespaceFacts
}

/** A plan for a short-lived process, which ends with HOLD (addon/core/errand.h). */
export interface NativeErrandRequest {
  plan: Uint8Array
  namespaces?: number
  cgroup?: string
  maps?: NativeIdMaps
  /** Taken over. */
  inherited?: number[]
  /** Opened with O_PATH after `prepare`; their slots follow. */
  inheritedPaths?: string[]
  /** Names below /proc/PID. */
  open?: string[]
  read?: string[]
  keep?: boolean
}

export interface NativeErrand {
  opened: number[]
  /** For each PROBE: errno 0 when the call is there, and what it returned. */
  probed: Array<{ errno: number; value: number }>
  /** For each SOCKET; -1: the kernel has no such kind. The caller closes them. */
  sockets: number[]
  texts: string[]
  /** The process ends when this descriptor is closed; -1 when it was not to be kept. */
  hold: number
}

declare const handle: unique symbol
export interface NativeProcess {
  readonly [handle]: true
}

declare const agentHandle: unique symbol
export interface NativeAgent {
  readonly [agentHandle]: true
}

export interface NativeAnswer {
  /** -1: none. The caller closes it. */
  fd: number
  numbers: number[]
  text: string
}

export interface Addon {
  readonly plan: {
    ops: Record<string, number>
    /** System calls that PROBE knows. */
    probes: Record<string, number>
    magic: number
    version: number
    headerSize: number
    recordSize: number
  }
  template(request: NativeTemplateRequest): NativeTemplate
  /** The id of a room that is ready, which the next start must have; '': none is. */
  takeRoom(template: NativeTemplate): string
  /** One that was taken, and that nothing is started in. */
  giveRoomBack(template: NativeTemplate, id: string): void
  /** What waits for the next starts goes, and nothing is made ahead for it any more. */
  closeTemplate(template: NativeTemplate): void
  start(request: NativeRequest | NativeInstance, listener: (...event: NativeEvent) => void): NativeProcess
  /** Kills everything in the process's cgroup, for a cause that the report then gives. */
  kill(process: NativeProcess, cause: NativeCause): void
  signal(process: NativeProcess, signal: number): void
  /** Tells `started` of a quiet one, now or when it starts. */
  askStarted(process: NativeProcess): void
  /** A descriptor of the process, for joining its namespaces; -ESRCH when it has ended, or another negative errno. The caller closes it. */
  pidfd(process: NativeProcess): number
  go(process: NativeProcess): void
  /** A cgroup that it was moved to meanwhile, removed with its own. */
  addCgroup(process: NativeProcess, directory: string): void
  /** Once it is `done`, memory that runs out ends all of it, as with `oomControl` from the start. */
  watchOom(process: NativeProcess, oomControl: string, done: () => void): void
  /** The rest of the plan, for a process that is ready in WAIT; the event loop waits for it from now on. */
  resume(process: NativeProcess, run: NativeRun): void
  /** Nothing is left of resumed ones whose end was told: their cgroups go a moment later. */
  whenGone(done: () => void): void
  detach(process: NativeProcess, stream: 0 | 1, done: (fd: number, bytes: Buffer) => void): void
  readonly agentOps: Record<string, number>
  /** The file agent of a process that is ready in AGENT; undefined when it has ended. */
  agent(process: NativeProcess, done: (agent: NativeAgent | undefined) => void): void
  agentCall(agent: NativeAgent, op: number, numbers: number[], first: string, second: string): Promise<NativeAnswer>
  agentClose(agent: NativeAgent): void
  /** Name and DT_* type alternately; the descriptor is taken over. EFBIG: there are more than `most`. */
  readDirectory(fd: number, most: number): Promise<Array<string | number>>
  /** Connects a socket (taken over) and gives it back. */
  connect(fd: number, address: string, port: number, timeoutMs: number): Promise<number>
  perform(steps: NativeStep[]): Promise<void>
  /** Moves all processes of a frozen group and below to one of another v1 hierarchy; `back`: where in that they were. */
  moveMembers(from: string, to: string, back: string): Promise<void>
  /** Kills every process in it and below. */
  killCgroup(cgroup: NativeCgroup): Promise<void>
  /** Kills, then removes. */
  removeCgroup(cgroup: NativeCgroup): Promise<void>
  /** Limits device access in a v2 cgroup and all below it; see NativeRequest.devices. */
  restrictDevices(cgroup: string, rules: readonly NativeDeviceRule[]): Promise<void>
  /** Starts the watchdog; lines `cgroup PATH`, `links PATH`, `tree PATH`, `file PATH` say what it removes when this process ends. */
  watch(list: string[]): Promise<void>
  /** The descriptor that holds the lock (flock(2)), or -1 when another process has it and we do not wait. */
  lock(path: string, exclusive: boolean, wait: boolean): Promise<number>
  /** An empty directory becomes that of a project, whose bounds in bytes and files are the file system's to hold (addon/core/quota.h). */
  boundDirectory(directory: string, project: number, bytes: number, files: number): Promise<void>
  /** `directory`: any of the file system. */
  forgetProject(directory: string, project: number): Promise<void>
  /** [read end, write end], or a failure. Synchronous and instant. */
  pipe(): [number, number] | NativeFailure
  closeFd(fd: number): void
  readonly blob: NativeBlob
  readonly layer: NativeLayer
  readonly inventory: NativeInventories
  /** Whether a directory of a layer hides what lies below it: 1 or 0. */
  opaque(path: string, overlayXattrs: 'trusted' | 'user'): Promise<number>
  readonly network: NativeNetwork
  /** A duplicate that is closed on exec, or a failure. */
  dup(fd: number): number | NativeFailure
  openNamespace(path: string): Promise<NativeNamespace>
  namespaceFacts(fd: number): NativeNamespaceFacts
  /** Those of the kinds in `flags` by inode; `pid` 0: of all processes. */
  listNamespaces(flags: number, pid: number): Promise<NativeNamespaceRow[]>
  persistNamespace(fd: number, path: string): Promise<void>
  errand(request: NativeErrandRequest): Promise<NativeErrand>
  /** Sets the size of a terminal. */
  resize(fd: number, columns: number, rows: number): void
}

let loaded: Addon | undefined

/** The addon; a coded error where it cannot be had. */
export function addon(): Addon {
  loaded ??= loadAddon() as Addon
  return loaded
}

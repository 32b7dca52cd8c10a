/** The OCI runtime specification's config.json (version 1.0.2 and the optional parts of 1.1 and 1.2), as types. */

export interface RuntimeSpec {
  ociVersion: string
  process?: SpecProcess
  root?: { path: string; readonly?: boolean }
  hostname?: string
  domainname?: string
  mounts?: SpecMount[]
  hooks?: SpecHooks
  annotations?: Record<string, string>
  linux?: SpecLinux
}

export interface SpecProcess {
  terminal?: boolean
  consoleSize?: { height: number; width: number }
  user: { uid: number; gid: number; umask?: number; additionalGids?: number[] }
  args?: string[]
  env?: string[]
  cwd: string
  capabilities?: SpecCapabilities
  rlimits?: SpecRlimit[]
  noNewPrivileges?: boolean
  oomScoreAdj?: number
  scheduler?: { policy: string; nice?: number; priority?: number; flags?: string[] }
  ioPriority?: { class: string; priority: number }
  execCPUAffinity?: { initial?: string; final?: string }
  apparmorProfile?: string
  selinuxLabel?: string
}

export interface SpecCapabilities {
  bounding?: string[]
  effective?: string[]
  permitted?: string[]
  inheritable?: string[]
  ambient?: string[]
}

export interface SpecRlimit {
  type: string
  soft: number
  hard: number
}

export interface SpecMount {
  destination: string
  type?: string
  source?: string
  options?: string[]
  uidMappings?: IdMapping[]
  gidMappings?: IdMapping[]
}

export interface IdMapping {
  containerID: number
  hostID: number
  size: number
}

export interface SpecHook {
  path: string
  args?: string[]
  env?: string[]
  /** Seconds. */
  timeout?: number
}

export interface SpecHooks {
  prestart?: SpecHook[]
  createRuntime?: SpecHook[]
  createContainer?: SpecHook[]
  startContainer?: SpecHook[]
  poststart?: SpecHook[]
  poststop?: SpecHook[]
}

export interface SpecNamespace {
  type: 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time'
  path?: string
}

export interface SpecDevice {
  type: 'c' | 'b' | 'u' | 'p'
  path: string
  /** Where the host has it, if elsewhere; our own, not in config.json. */
  source?: string
  major?: number
  minor?: number
  fileMode?: number
  uid?: number
  gid?: number
}

export interface SpecDeviceRule {
  allow: boolean
  type?: 'a' | 'c' | 'b'
  major?: number
  minor?: number
  access?: string
}

export interface SpecResources {
  devices?: SpecDeviceRule[]
  memory?: {
    limit?: number
    reservation?: number
    swap?: number
    kernel?: number
    kernelTCP?: number
    swappiness?: number
    disableOOMKiller?: boolean
    checkBeforeUpdate?: boolean
  }
  cpu?: {
    shares?: number
    quota?: number
    burst?: number
    period?: number
    realtimeRuntime?: number
    realtimePeriod?: number
    cpus?: string
    mems?: string
    idle?: number
  }
  pids?: { limit: number }
  blockIO?: {
    weight?: number
    leafWeight?: number
    weightDevice?: Array<{ major: number; minor: number; weight?: number; leafWeight?: number }>
    throttleReadBpsDevice?: Array<{ major: number; minor: number; rate: number }>
    throttleWriteBpsDevice?: Array<{ major: number; minor: number; rate: number }>
    throttleReadIOPSDevice?: Array<{ major: number; minor: number; rate: number }>
    throttleWriteIOPSDevice?: Array<{ major: number; minor: number; rate: number }>
  }
  hugepageLimits?: Array<{ pageSize: string; limit: number }>
  network?: { classID?: number; priorities?: Array<{ name: string; priority: number }> }
  unified?: Record<string, string>
}

/** linux.seccomp of the specification; Docker's profile format can be turned into it (lib/seccomp). */
export interface SpecSeccomp {
  defaultAction: string
  defaultErrnoRet?: number
  architectures?: string[]
  flags?: string[]
  listenerPath?: string
  syscalls?: SpecSeccompRule[]
}

export interface SpecSeccompRule {
  names: string[]
  action: string
  errnoRet?: number
  args?: SpecSeccompArgument[]
}

export interface SpecSeccompArgument {
  index: number
  /** Unsigned, 64 bits; a BigInt where a number is not exact. */
  value: number | bigint
  valueTwo?: number | bigint
  op: string
}

export interface SpecLinux {
  namespaces?: SpecNamespace[]
  uidMappings?: IdMapping[]
  gidMappings?: IdMapping[]
  timeOffsets?: Record<string, { secs?: number; nanosecs?: number }>
  devices?: SpecDevice[]
  cgroupsPath?: string
  rootfsPropagation?: string
  seccomp?: SpecSeccomp
  sysctl?: Record<string, string>
  maskedPaths?: string[]
  readonlyPaths?: string[]
  mountLabel?: string
  personality?: { domain: string; flags?: string[] }
  resources?: SpecResources
}

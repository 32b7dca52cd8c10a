/** The options that callers pass, as types. Sizes: bytes or `64m`. Durations: milliseconds or `1.5s`. */

import type { Readable } from 'node:stream'
import type { Limits } from './cgroup/settings.js'
import type { Container } from './container.js'
import type { Namespace } from './namespace.js'
import type { EgressOption } from './network/egress/request.js'
import type { EndpointOptions } from './network/endpoint.js'
import type { PortMapping } from './network/ports.js'
import type { Network } from './network.js'
import type { NamespaceType } from './runtime/options/workload.js'
import type { LandlockRules } from './spec/landlock.js'
import type { IdMapping, SpecSeccomp } from './spec/runtime.js'
import type { Duration, Size } from './util/units.js'

export type { Limits, NamespaceType, PortMapping }

/** `{ NAME: 'value' }`, or Docker's `['NAME=value']`. */
export type Environment = Record<string, string | undefined> | readonly string[]

/** What both a container's program and an exec take. */
export interface ExecOptions {
  env?: Environment
  /** Absolute; default: the image's, else `/`. */
  workdir?: string
  /** `name`, `name:group`, `uid` or `uid:gid`, looked up in the image. */
  user?: string | number
  /** A terminal instead of three pipes; its output all comes as stdout. */
  tty?: boolean | { columns: number; rows: number }
  /** What the program reads from its standard input. A stream is destroyed when the program reads no more of it. */
  input?: string | Uint8Array | Readable | AsyncIterable<string | Uint8Array>
  /** Wall-clock time of the program, after which everything is killed. An image that is fetched before does not count. */
  timeout?: Duration
  /** The same for CPU time, of all processes together. */
  cpuTimeout?: Duration
  /** Bytes of stdout and stderr together; beyond that everything is killed. Default 64 MiB unless streamed. */
  maxOutput?: Size
  /** Kills everything when it fires. */
  signal?: AbortSignal
  /** Reject when the program does not exit with 0. */
  throwOnError?: boolean
}

export interface FileContent {
  content: string | Uint8Array
  /** As a number or its octal digits; default 0o644. */
  mode?: number | string
  uid?: number
  gid?: number
}

export interface Mount {
  type: 'bind' | 'volume' | 'tmpfs' | 'overlay'
  /** bind, overlay: a path of the host. volume: a name. */
  source?: string
  target: string
  readOnly?: boolean
  /** tmpfs: of its topmost directory, a number or its octal digits; default 0o1777, of root. */
  mode?: number | string
  uid?: number
  gid?: number
  /** tmpfs: programs in it may be executed; default false, as docker's. */
  exec?: boolean
  /** tmpfs: bytes. volume: bytes that it may hold, when it is made for this mount; one that is there must have this size. */
  size?: Size
  /** bind: how mounts made later pass between host and container. */
  propagation?: 'private' | 'slave' | 'shared' | 'rprivate' | 'rslave' | 'rshared'
  /**
   * bind: show other owners, by maps from the ids on disk to those of the host; or with `true` those on disk, as ids of the
   * container's own user namespace (runtime-spec config.md, mount option `idmap`).
   */
  idmap?: IdMaps | true
}

export interface IdMaps {
  uidMap: IdMapping[]
  gidMap: IdMapping[]
}

export interface SecurityOptions {
  capabilities?: { add?: readonly string[]; drop?: readonly string[] }
  /**
   * `default`: Docker's profile. An object: a profile in Docker's JSON, or OCI's. With either, 32-bit programs do not
   * run. Privileged containers have none unless it is given.
   */
  seccomp?: 'default' | 'unconfined' | SpecSeccomp | Record<string, unknown>
  /** Default true: set-id programs and file capabilities give nothing. */
  noNewPrivileges?: boolean
  /** All capabilities, no filter, no masks, and, where it has no user namespace of its own, every device of the host. */
  privileged?: boolean
  maskedPaths?: readonly string[]
  readonlyPaths?: readonly string[]
  /** `auto`, for root: ids that no other container has (/etc/subuid may grant them to the name `caisson`). */
  userns?: 'auto' | 'host' | IdMaps
  /**
   * A second wall (landlock(7)): nothing outside of the container's root is reached, by whatever descriptor. Left out:
   * for the container's own program where the kernel has it (Linux 5.19), unless that may mount. `default`: it must be
   * had, and programs that are executed later get it too; those cannot look into the container's processes then. An
   * object: rules of the caller's.
   */
  landlock?: 'default' | 'off' | LandlockRules
  /** The weakest kind of isolation that the caller accepts. */
  require?: 'namespaces' | 'landlock'
}

export interface HealthcheckOptions {
  /** A command line for the shell, or its words. */
  test: string | readonly string[]
  interval?: Duration
  timeout?: Duration
  startPeriod?: Duration
  startInterval?: Duration
  retries?: number
}

export type RestartPolicy = 'no' | 'always' | 'unless-stopped' | { onFailure: number }

export interface ContainerOptions {
  name?: string
  hostname?: string
  domainname?: string
  env?: Environment
  workdir?: string
  user?: string | number
  entrypoint?: readonly string[]
  labels?: Record<string, string>
  /** A PID 1 that reaps orphans and passes signals on. */
  init?: boolean
  tty?: boolean | { columns: number; rows: number }
  stopSignal?: string
  stopTimeout?: Duration
  /**
   * Written before the program starts, by path inside. Symbolic links of the image are followed to its own files; into
   * mounts, /proc and the like only a path without any leads.
   */
  files?: Record<string, string | Uint8Array | FileContent>
  mounts?: readonly Mount[]
  readOnly?: boolean
  limits?: Limits
  /** As `{ nofile: 1024 }`, `{ nofile: { soft, hard } }` or `{ nofile: '1024:2048' }`. */
  ulimits?: Record<string, number | string | { soft: number; hard: number }>
  sysctls?: Record<string, string>
  /** `/dev/fuse`, or `/dev/host:/dev/inside:rwm`. */
  devices?: readonly string[]
  shmSize?: Size
  /** Where the writable layer lies. Default: `memory` for run(), and where `limits.disk` bounds it; else `disk`. */
  storage?: 'memory' | 'disk'
  /** `bridge`: the default network. A name or a Network: another. A Container: its namespaces. Default: `none`. */
  network?: 'none' | 'bridge' | 'host' | (string & {}) | Network | Container
  /** More networks, or how the container is on them. */
  networks?: ReadonlyArray<string | Network | (EndpointOptions & { network: string | Network })>
  ports?: readonly PortMapping[]
  /** Every port that the image exposes and `ports` does not name, at a free one; on loopback, or at this address (`*`: all). */
  publishAllPorts?: boolean | Pick<PortMapping, 'address'>
  dns?: readonly string[]
  /** Domains in which names are looked for; default: the host's, on networks. */
  dnsSearch?: readonly string[]
  /** Of resolv.conf(5), as `ndots:2`; default: the host's, on networks. */
  dnsOptions?: readonly string[]
  extraHosts?: Record<string, string> | readonly string[]
  namespaces?: Partial<Record<NamespaceType, 'private' | 'host' | Namespace | Container>>
  security?: SecurityOptions
  /**
   * Where it may connect to (`registry.example:443`, `*.example.org`, `10.0.0.0/8:5432`), or a function that is asked.
   * It has no other network then.
   */
  egress?: EgressOption
  pull?: 'missing' | 'always' | 'never'
  platform?: string
  /** Default: the image's; of what `run()` starts none. `run()` tells by diagnostics_channel `caisson:health` alone. */
  healthcheck?: HealthcheckOptions | false
  /** Of a kept container: `run()` ends with its program, and takes 'no' alone. */
  restart?: RestartPolicy
  /** Of a kept container: its program waits for input that never comes, instead of finding its end at once. */
  stdinOpen?: boolean
  /** Of a kept container: its output passes through this process, and attach() gives its streams while it runs. */
  attachable?: boolean
  /** Of a kept container: how much of what it prints is kept, the newest. 0: nothing. Default 64 MiB. */
  logLimit?: Size
  oomScoreAdj?: number
  groups?: ReadonlyArray<string | number>
  signal?: AbortSignal
}

/** Container.create() */
export interface CreateOptions extends ContainerOptions {
  command?: readonly string[]
}

export interface StopOptions {
  /** Until it is killed. */
  timeout?: Duration
  /** Gives up waiting. */
  signal?: AbortSignal
}

/** run(): a container that is removed when its program ends. */
export interface RunOptions extends ContainerOptions, ExecOptions {
  tty?: boolean | { columns: number; rows: number }
}

export interface OutputChunk {
  stream: 'stdout' | 'stderr'
  data: Buffer
}

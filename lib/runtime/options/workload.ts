/** What is to run: an OCI configuration and what it cannot say, ready to be lowered to a plan. */
import type { RuntimeSpec, SpecDeviceRule } from '../../spec/runtime.js'
import type { IdMapPair } from '../user/id-maps.js'
import type { Landlock } from './landlock.js'

export type NamespaceType = 'pid' | 'net' | 'mnt' | 'uts' | 'ipc' | 'user' | 'cgroup' | 'time'

/** CLONE_NEW* by our names and by the specification's. */
export const NAMESPACES: Record<NamespaceType, { flag: number; spec: string }> = {
  user: { flag: 0x10000000, spec: 'user' },
  mnt: { flag: 0x00020000, spec: 'mount' },
  pid: { flag: 0x20000000, spec: 'pid' },
  net: { flag: 0x40000000, spec: 'network' },
  ipc: { flag: 0x08000000, spec: 'ipc' },
  uts: { flag: 0x04000000, spec: 'uts' },
  cgroup: { flag: 0x02000000, spec: 'cgroup' },
  time: { flag: 0x00000080, spec: 'time' },
}

/** A part of the host that an image shows, read-only. */
export interface HostTree {
  source: string
  target: string
}

export type Rootfs =
  /** Layers, the topmost first, under a writable one. */
  | {
      kind: 'overlay'
      lower: readonly string[]
      writable: Writable
      trees: readonly HostTree[]
      /** The kernel lets us mount no overlay here, so they are copied. */
      copied?: boolean
    }
  /** A directory as it is (OCI bundles). */
  | { kind: 'directory'; path: string }
  /** The root of the mount namespace that is joined or kept. */
  | { kind: 'inherited' }

export type Writable =
  /** A tmpfs inside the container's own mount namespace; gone with it. Bytes; undefined: half of the memory. */
  | { kind: 'memory'; size?: number }
  /** `upper` and `work` below a directory of the host. */
  | { kind: 'disk'; directory: string }

export interface InjectedFile {
  path: string
  content: Uint8Array
  mode: number
  uid: number
  gid: number
}

/** Where the process goes in the hierarchies, besides being born in its v2 cgroup, and what it sees of them. */
export interface CgroupPlacement {
  /** `tasks` files of cgroup v1. */
  join: readonly string[]
  /** v1 hierarchies to show at /sys/fs/cgroup; none: only v2. */
  legacy: readonly string[]
  /** The v2 cgroup that it is born in; none: there is no cgroup v2 on this host. */
  unified?: string
  /** The v2 cgroup to show, when it is not that one but the one above, with the limits. */
  shown?: string
}

/** A namespace that the process enters instead of getting one of its own. */
export interface JoinedNamespace {
  type: NamespaceType
  /** Open until the process is started; it gets a duplicate. */
  handle: { readonly fd: number }
  /** It belongs to the user namespace that is joined too, so only from inside of that it can be entered by others. */
  inUser: boolean
}

export interface Workload {
  spec: RuntimeSpec
  rootfs: Rootfs
  /** An empty directory of the host, where the root is put together out of sight. */
  staging: string
  /** `user[:group]`, resolved in the image; undefined: the numbers of the spec. */
  user?: string
  /** More groups, by name or number. */
  groups: readonly string[]
  files: readonly InjectedFile[]
  /** Files of our own that are mounted at /etc/NAME. */
  etc: Readonly<Record<string, string>>
  /** Its writable layer is nobody's after the program has ended. */
  thrownAway: boolean
  /** A PID 1 that reaps. */
  init: boolean
  cgroup: CgroupPlacement
  /** A private user namespace is made before the process, and joined like any other. */
  join: readonly JoinedNamespace[]
  /** User namespaces of id-mapped binds, by where these are mounted; open until the process is started. */
  mountMaps?: ReadonlyMap<string, { readonly fd: number }>
  /** Of the user namespace in `join`. */
  idMaps?: IdMapPair
  /** The owner is an ordinary user: everything is done inside that user namespace, where its rights are. */
  inside: boolean
  /** The private network namespace comes from the addon's stock; only root has one. */
  stockNetwork: boolean
  /** Or it was made before, and is connected with others; the descriptor is of this run. */
  network?: { readonly fd: number }
  /** Device access, for the program that the addon attaches to the v2 cgroup. */
  devices?: readonly SpecDeviceRule[]
  landlock?: Landlock
  /** No namespaces, no mounts: the program is kept by these alone. */
  sandbox?: {
    directory: string
    uid: number
    gid: number
    /** Nobody else is this user. */
    ownUser: boolean
    landlock: Landlock
    filter: Uint8Array
  }
  /** The filter that keeps files in their project (seccomp/project.ts). */
  projectFilter?: Uint8Array
  /** The compiled seccomp filter. */
  filter?: Uint8Array
  /** SECCOMP_FILTER_FLAG_* to load it with. */
  filterFlags?: number
  /** It is the default profile's, of which is known what it lets through. */
  usualFilter?: boolean
}

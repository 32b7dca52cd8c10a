/** Namespaces as objects: list them, hold them, make them, and give them to containers. */
import { CaissonError, invalidArgument } from './errors.js'
import { addon, type NativeNamespaceRow } from './native/addon.js'
import { NAMESPACES, type NamespaceType } from './runtime/options/workload.js'
import {
  checkNamespaceType,
  createNamespace,
  explained,
  idMapsOf,
  NAMESPACE_TYPES,
  type OpenedNamespace,
  openNamespace,
  typeOfFlag,
} from './runtime/process/namespaces.js'
import { checkIdMap, defaultIdMaps, type IdMapPair } from './runtime/user/id-maps.js'
import { ordinary } from './runtime/user/ordinary.js'
import { type Abortable, abortable, checkAborted } from './util/abort.js'
import { checkNames, type Names } from './util/option-names.js'

/** A namespace as lsns(8) shows it. `null` where the kernel does not tell, or nothing is there. */
export interface NamespaceInfo {
  type: NamespaceType
  /** What `readlink /proc/PID/ns/TYPE` shows in brackets. */
  inode: number
  /** Processes in it that we may look at; 0: a file, a mount or another namespace holds it. */
  nprocs: number
  /** The lowest process id in it, with that one's parent, owner and command line. */
  pid: number | null
  ppid: number | null
  uid: number | null
  user: string | null
  command: string | null
  /** A file to open it by: /proc/PID/ns/TYPE, where it is mounted, or a descriptor of some process. */
  path: string | null
  /** Inode of the namespace around it, of a pid or user namespace. */
  parent: number | null
  /** Inode of the user namespace that it belongs to. */
  owner: number | null
  /** The user that made it, of a user namespace. */
  ownerUid: number | null
}

export interface NamespaceFilter extends Abortable {
  type?: NamespaceType | readonly NamespaceType[]
  /** Only those that this process is in. */
  pid?: number
}

const FILTER: Names<NamespaceFilter> = { type: true, pid: true, signal: true }

export interface NamespaceOptions extends Abortable {
  /** The user namespace that it is to belong to. Who is not root needs one, made before. */
  user?: Namespace
  /** For `user`. Default: 65536 ids of root's range in /etc/subuid, or from 100000 on. */
  idMaps?: IdMapPair
  /** For `time`: seconds that its clocks are ahead of the host's (time_namespaces(7)). */
  timeOffsets?: { monotonic?: number; boottime?: number }
  /** For `net`: its loopback is up. */
  loopback?: boolean
}

/** What has to be given back when nobody disposed of the object. */
const forgotten = new FinalizationRegistry<number[]>((fds) => {
  for (const fd of fds) addon().closeFd(fd)
})

/**
 * A namespace, held by a descriptor of this process: it lives on when the last process has left it, until dispose().
 * Linux keeps every kind alive that way (a mount namespace with all its mounts; Linux 6.1 and 6.18 alike) but `pid`,
 * which ends with its PID 1; a pid namespace made by create() has one that does nothing but reap, and is killed with all
 * others in it by dispose(), or when this process ends.
 */
export class Namespace implements Disposable, AsyncDisposable {
  readonly type: NamespaceType
  readonly inode: number
  readonly #fds: number[]

  private constructor(opened: OpenedNamespace) {
    this.type = opened.type
    this.inode = opened.inode
    this.#fds = opened.hold === undefined ? [opened.fd] : [opened.fd, opened.hold]
    forgotten.register(this, this.#fds, this)
  }

  /** All namespaces that we may see, by inode. */
  static async list(filter: NamespaceFilter = {}): Promise<NamespaceInfo[]> {
    checkNames(filter, FILTER, '')
    const { pid = 0, type = NAMESPACE_TYPES, signal } = filter
    if (!Number.isInteger(pid) || pid < 0) throw invalidArgument('pid', pid, 'a process id')
    const types = new Set([type].flat().map((each) => checkNamespaceType(each, 'type')))
    const flags = [...types].reduce((sum, each) => sum + NAMESPACES[each].flag, 0)
    return abortable(signal, 'namespaces', async () =>
      (await explained(addon().listNamespaces(flags, pid))).flatMap(toInfo),
    )
  }

  /** One that a process is in. */
  static async of(pid: number, type: NamespaceType, options: Abortable = {}): Promise<Namespace> {
    checkAborted(options.signal, 'namespaces')
    if (!Number.isInteger(pid) || pid < 1) throw invalidArgument('pid', pid, 'a process id')
    return new Namespace(await openNamespace(`/proc/${pid}/ns/${checkNamespaceType(type, 'type')}`))
  }

  /** A new one, with no process in it (`pid`: see above). */
  static async create(type: NamespaceType, options: NamespaceOptions = {}): Promise<Namespace> {
    checkNamespaceType(type, 'type')
    const { user, idMaps, timeOffsets, loopback = false, signal } = options
    checkAborted(signal, 'namespaces')
    if (idMaps && type !== 'user') throw invalidArgument('idMaps', idMaps, `for a ${type} namespace`)
    if (timeOffsets && type !== 'time') throw invalidArgument('timeOffsets', timeOffsets, `for a ${type} namespace`)
    if (loopback && type !== 'net') throw invalidArgument('loopback', loopback, `for a ${type} namespace`)
    if (user && (user.type !== 'user' || type === 'user'))
      throw invalidArgument('user', user, 'a user namespace for one of another kind')
    const maps = idMaps && {
      uidMap: checkIdMap(idMaps.uidMap, 'idMaps.uidMap'),
      gidMap: checkIdMap(idMaps.gidMap, 'idMaps.gidMap'),
    }
    return new Namespace(
      await createNamespace(type, {
        // An ordinary user may make only those that belong to a user namespace of its own.
        user: user ?? (type === 'user' ? undefined : (await ordinary())?.user),
        timeOffsets,
        loopback,
        idMaps: type === 'user' ? (maps ?? defaultIdMaps()) : undefined,
      }),
    )
  }

  /** One that a file leads to: /proc/PID/ns/TYPE, or where it is mounted (`ip netns`, persist()). */
  static async open(path: string, options: Abortable = {}): Promise<Namespace> {
    checkAborted(options.signal, 'namespaces')
    if (typeof path !== 'string' || path === '' || path.includes('\0')) throw invalidArgument('path', path, 'a path')
    return new Namespace(await openNamespace(path))
  }

  /** The descriptor, for setns(2); it stays this object's. */
  get fd(): number {
    const fd = this.#fds[0]
    if (fd !== undefined) return fd
    throw new CaissonError('ERR_CAISSON_INVALID_STATE', `the ${this.type} namespace ${this.inode} was disposed of`, {
      stage: `namespaces: ${this.type}`,
      hint: 'Keep the object until what uses it has started.',
    })
  }

  /** A file that other programs can open (`nsenter --net=...`), until dispose(). */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.fd}`
  }

  /** What the kernel says of its place among the others. */
  get facts(): Pick<NamespaceInfo, 'parent' | 'owner' | 'ownerUid'> {
    return toFacts(addon().namespaceFacts(this.fd))
  }

  /** Of a user namespace: its maps, in ids as this process sees them. */
  async idMaps(options: Abortable = {}): Promise<IdMapPair> {
    checkAborted(options.signal, 'namespaces')
    if (this.type !== 'user') throw invalidArgument('namespace', this.type, 'a user namespace')
    return idMapsOf(this)
  }

  /**
   * Mounts it at a path of the host, which is made when it is missing: it then outlives this process, until
   * `umount PATH`. Needs root. The kernel refuses a mount namespace that is not younger than the one it is mounted in.
   */
  async persist(path: string, options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'namespaces')
    if (typeof path !== 'string' || !path.startsWith('/') || path.includes('\0'))
      throw invalidArgument('path', path, 'an absolute path')
    await explained(addon().persistNamespace(this.fd, path))
  }

  /** Lets go of it. Without effect the second time. */
  dispose(): void {
    forgotten.unregister(this)
    for (const fd of this.#fds.splice(0)) addon().closeFd(fd)
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose()
  }
}

function toInfo(row: NativeNamespaceRow): NamespaceInfo[] {
  const type = typeOfFlag(row.flag)
  if (!type) return []
  const led = row.pid > 0
  return [
    {
      type,
      inode: row.inode,
      nprocs: row.processes,
      pid: led ? row.pid : null,
      ppid: led ? row.ppid : null,
      uid: led ? row.uid : null,
      user: led ? row.user : null,
      command: led ? row.command : null,
      path: row.path || null,
      ...toFacts(row.facts),
    },
  ]
}

function toFacts({ parent, owners, ownerUid }: NativeNamespaceRow['facts']) {
  return { parent: parent || null, owner: owners[0] ?? null, ownerUid: ownerUid < 0 ? null : ownerUid }
}

/** Which wall Landlock is to be for a container: security.landlock. */
import { invalidArgument } from '../../errors.js'
import type { SecurityOptions } from '../../options.js'
import {
  FS_DEVICE_NODES,
  FS_READ_ONLY,
  FS_RIGHTS,
  type LandlockRules,
  NET_RIGHTS,
  SCOPES,
} from '../../spec/landlock.js'
import type { RuntimeSpec } from '../../spec/runtime.js'
import { insidePath } from '../../util/paths.js'

/** As the init program takes it. */
export interface Landlock {
  /** Not to be had: an error. Otherwise the other walls stand alone. */
  required: boolean
  /** Programs that are executed later get it too. */
  forExecs: boolean
  paths: ReadonlyArray<{ path: string; rights: number }>
  /** Paths are the caller's words, and lead by no link. */
  named?: boolean
  handledNet: number
  ports: ReadonlyArray<{ rights: number; port: number }>
  scoped: number
}

/** What of a container it depends on. */
export interface LandlockContext {
  spec: RuntimeSpec
  /** It has a mount namespace of its own. */
  ownRoot: boolean
  /** The network, and the processes, are the host's. */
  hostNet: boolean
  hostPids: boolean
}

/**
 * undefined: none. Not when it is left out and the program may mount, or is the host's equal in other ways: Landlock
 * forbids all mounting, and a second wall is no reason to break what was asked for by name.
 *
 * A program in Landlock can be looked into (ptrace, /proc/PID/fd) by those without and by those in the same domain, and
 * a domain is only inherited. Programs that are executed in a container later are therefore outside of it unless it was
 * asked for: they could not look at the container's processes.
 */
export function chooseLandlock(security: SecurityOptions, context: LandlockContext): Landlock | undefined {
  const { landlock, privileged } = security
  if (landlock === 'off') return undefined
  const bounding = context.spec.process?.capabilities?.bounding ?? []
  const mayMount = bounding.includes('CAP_SYS_ADMIN')
  if (landlock === undefined && (privileged || mayMount || !context.ownRoot)) return undefined
  const usual: Landlock = {
    required: landlock !== undefined,
    forExecs: landlock !== undefined,
    paths: pathsOf(context.spec, bounding),
    handledNet: 0,
    ports: [],
    scoped: (context.hostNet ? SCOPES['abstract-unix'] : 0) + (context.hostPids ? SCOPES.signal : 0),
  }
  if (landlock === undefined || landlock === 'default') return usual
  return { ...usual, ...readRules(landlock) }
}

/** Everything below the root; of a read-only one, writing only in the mounts that are not. */
function pathsOf(spec: RuntimeSpec, bounding: readonly string[]): Landlock['paths'] {
  const rights = FS_RIGHTS.write - (bounding.includes('CAP_MKNOD') ? 0 : FS_DEVICE_NODES)
  if (!spec.root?.readonly) return [{ path: '/', rights }]
  const writable = (spec.mounts ?? [])
    .filter(({ options = [] }) => !options.includes('ro') && !options.includes('rro'))
    .map(({ destination }) => destination)
  const topmost = writable.filter((path) => !writable.some((other) => path.startsWith(`${other}/`)))
  return [{ path: '/', rights: FS_READ_ONLY }, ...topmost.map((path) => ({ path, rights }))]
}

const KEYS = new Set(['fs', 'connect', 'bind', 'scope'])

function readRules(rules: unknown): Partial<Landlock> {
  const option = 'security.landlock'
  if (typeof rules !== 'object' || rules === null || Array.isArray(rules))
    throw invalidArgument(option, rules, 'default, off or { fs, connect, bind, scope }')
  for (const key of Object.keys(rules))
    if (!KEYS.has(key)) throw invalidArgument(option, key, 'one of fs, connect, bind and scope')
  const { fs, connect, bind, scope } = rules as LandlockRules
  const ports = [
    ...readPorts(connect, `${option}.connect`).map((port) => ({ rights: NET_RIGHTS.connect, port })),
    ...readPorts(bind, `${option}.bind`).map((port) => ({ rights: NET_RIGHTS.bind, port })),
  ]
  return {
    ...(fs === undefined ? {} : { paths: readPaths(fs, `${option}.fs`), named: true }),
    handledNet: (connect ? NET_RIGHTS.connect : 0) + (bind ? NET_RIGHTS.bind : 0),
    ports,
    ...(scope === undefined ? {} : { scoped: readScope(scope, `${option}.scope`) }),
  }
}

function readPaths(fs: unknown, option: string): Landlock['paths'] {
  if (!Array.isArray(fs) || fs.length === 0) throw invalidArgument(option, fs, 'a list of { path, access }')
  return fs.map(({ path, access }, i) => {
    if (!Object.hasOwn(FS_RIGHTS, access))
      throw invalidArgument(`${option}[${i}].access`, access, 'read, execute or write')
    return { path: insidePath(path, `${option}[${i}].path`), rights: FS_RIGHTS[access as keyof typeof FS_RIGHTS] }
  })
}

function readPorts(ports: unknown, option: string): number[] {
  if (ports === undefined) return []
  if (!Array.isArray(ports)) throw invalidArgument(option, ports, 'a list of ports')
  for (const port of ports)
    if (!Number.isInteger(port) || port < 0 || port > 65_535) throw invalidArgument(option, port, 'a port, 0 to 65535')
  return ports as number[]
}

function readScope(scope: unknown, option: string): number {
  if (!Array.isArray(scope)) throw invalidArgument(option, scope, 'a list of abstract-unix and signal')
  return [...new Set(scope)].reduce((sum, each) => {
    if (!Object.hasOwn(SCOPES, each)) throw invalidArgument(option, each, 'abstract-unix or signal')
    return sum + SCOPES[each as keyof typeof SCOPES]
  }, 0)
}

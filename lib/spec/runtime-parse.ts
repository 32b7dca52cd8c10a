/** Checks a config.json: the types of all that is used, and nothing silently ignored that would weaken it. */
import { invalidArgument } from '../errors.js'
import { lookalike } from './json.js'
import type { RuntimeSpec } from './runtime.js'

type Json = Record<string, unknown>

const NAMESPACE_TYPES = new Set(['pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup', 'time'])
/** What is used of each object: a name in other letters is the same for programs written in Go, and would be passed over here. */
const NAMES = {
  config: ['ociVersion', 'process', 'root', 'hostname', 'domainname', 'mounts', 'hooks', 'annotations', 'linux'],
  root: ['path', 'readonly'],
  process: [
    ...['terminal', 'consoleSize', 'user', 'args', 'env', 'cwd', 'capabilities', 'rlimits', 'noNewPrivileges'],
    ...['oomScoreAdj', 'scheduler', 'ioPriority', 'execCPUAffinity', 'apparmorProfile', 'selinuxLabel'],
  ],
  user: ['uid', 'gid', 'umask', 'additionalGids'],
  capabilities: ['bounding', 'effective', 'permitted', 'inheritable', 'ambient'],
  mount: ['destination', 'type', 'source', 'options', 'uidMappings', 'gidMappings'],
  linux: [
    ...['namespaces', 'uidMappings', 'gidMappings', 'timeOffsets', 'devices', 'cgroupsPath', 'rootfsPropagation'],
    ...['seccomp', 'sysctl', 'maskedPaths', 'readonlyPaths', 'mountLabel', 'personality', 'resources', 'intelRdt'],
  ],
  namespace: ['type', 'path'],
  rule: ['allow', 'type', 'major', 'minor', 'access'],
  resources: ['devices', 'memory', 'cpu', 'pids', 'blockIO', 'hugepageLimits', 'network', 'unified'],
  memory: ['limit', 'reservation', 'swap', 'swappiness'],
  cpu: ['shares', 'quota', 'burst', 'period', 'cpus', 'mems', 'idle'],
  pids: ['limit'],
} as const

const HOOKS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']

/** Throws ERR_CAISSON_INVALID_ARGUMENT with the path of the field. */
export function parseRuntimeSpec(value: unknown): RuntimeSpec {
  const spec = object(value, 'config', NAMES.config)
  const version = text(spec.ociVersion, 'ociVersion')
  if (!/^1\.\d+\.\d+/.test(version)) throw invalidArgument('ociVersion', version, 'a version 1')
  const root = object(spec.root, 'root', NAMES.root)
  text(root.path, 'root.path')
  boolean(root.readonly, 'root.readonly')
  optional(spec.hostname, 'hostname', text)
  optional(spec.domainname, 'domainname', text)
  checkProcess(object(spec.process, 'process', NAMES.process))
  list(spec.mounts, 'mounts', checkMount)
  if (spec.hooks !== undefined)
    for (const name of HOOKS) list(object(spec.hooks, 'hooks')[name], `hooks.${name}`, checkHook)
  if (spec.linux !== undefined) checkLinux(object(spec.linux, 'linux', NAMES.linux))
  return spec as unknown as RuntimeSpec
}

function checkProcess(process: Json): void {
  boolean(process.terminal, 'process.terminal')
  const args = texts(process.args, 'process.args')
  if (args.length === 0) throw invalidArgument('process.args', args, 'a command')
  texts(process.env ?? [], 'process.env')
  const cwd = text(process.cwd, 'process.cwd')
  if (!cwd.startsWith('/')) throw invalidArgument('process.cwd', cwd, 'an absolute path')
  const user = object(process.user ?? {}, 'process.user', NAMES.user)
  process.user = user
  user.uid = id(user.uid ?? 0, 'process.user.uid')
  user.gid = id(user.gid ?? 0, 'process.user.gid')
  user.additionalGids ??= []
  optional(user.umask, 'process.user.umask', id)
  list(user.additionalGids, 'process.user.additionalGids', id)
  if (process.capabilities !== undefined) {
    const sets = object(process.capabilities, 'process.capabilities', NAMES.capabilities)
    for (const [name, set] of Object.entries(sets)) sets[name] = texts(set ?? [], `process.capabilities.${name}`)
  }
  list(process.rlimits, 'process.rlimits', (limit, at) => {
    const { type, soft, hard } = object(limit, at)
    text(type, `${at}.type`)
    // -1 and 2^64-1 stand for no limit.
    for (const value of [soft, hard]) integer(value, at, -1)
  })
  boolean(process.noNewPrivileges, 'process.noNewPrivileges')
  // A label that is not applied is a promise broken.
  for (const name of ['apparmorProfile', 'selinuxLabel'])
    if (process[name]) throw invalidArgument(`process.${name}`, process[name], 'empty: caisson sets no such label')
}

function checkMount(value: unknown, at: string): void {
  const mount = object(value, at, NAMES.mount)
  const destination = text(mount.destination, `${at}.destination`)
  // Version 1.0 still allows a relative one, which means the same.
  if (!destination.startsWith('/')) mount.destination = `/${destination}`
  optional(mount.type, `${at}.type`, text)
  optional(mount.source, `${at}.source`, text)
  texts(mount.options ?? [], `${at}.options`)
}

function checkHook(value: unknown, at: string): void {
  const hook = object(value, at)
  if (!text(hook.path, `${at}.path`).startsWith('/')) throw invalidArgument(`${at}.path`, hook.path, 'an absolute path')
  texts(hook.args ?? [], `${at}.args`)
  texts(hook.env ?? [], `${at}.env`)
  if (hook.timeout !== undefined && !(typeof hook.timeout === 'number' && hook.timeout > 0))
    throw invalidArgument(`${at}.timeout`, hook.timeout, 'seconds above 0')
}

function checkLinux(linux: Json): void {
  const seen = new Set<string>()
  list(linux.namespaces, 'linux.namespaces', (value, at) => {
    const namespace = object(value, at, NAMES.namespace)
    const type = text(namespace.type, `${at}.type`)
    if (!NAMESPACE_TYPES.has(type) || seen.has(type))
      throw invalidArgument(`${at}.type`, type, 'a namespace, each once')
    seen.add(type)
    optional(namespace.path, `${at}.path`, text)
    if (namespace.path === '') delete namespace.path
  })
  for (const name of ['maskedPaths', 'readonlyPaths']) texts(linux[name] ?? [], `linux.${name}`)
  for (const name of ['uidMappings', 'gidMappings'])
    list(linux[name], `linux.${name}`, (value, at) => {
      const mapping = object(value, at)
      for (const key of ['containerID', 'hostID', 'size']) integer(mapping[key], `${at}.${key}`, 0, ID_MAX)
    })
  list(linux.devices, 'linux.devices', (value, at) => {
    const device = object(value, at)
    if (!/^[cbup]$/.test(text(device.type, `${at}.type`)))
      throw invalidArgument(`${at}.type`, device.type, 'c, b, u or p')
    if (!text(device.path, `${at}.path`).startsWith('/'))
      throw invalidArgument(`${at}.path`, device.path, 'an absolute path')
    optional(device.major, `${at}.major`, major)
    optional(device.minor, `${at}.minor`, minor)
    optional(device.fileMode, `${at}.fileMode`, (mode, where) => integer(mode, where, 0, 0xffffffff))
    optional(device.uid, `${at}.uid`, id)
    optional(device.gid, `${at}.gid`, id)
  })
  linux.resources ??= {}
  checkResources(object(linux.resources, 'linux.resources', NAMES.resources))
  if (linux.sysctl !== undefined)
    for (const [name, value] of Object.entries(object(linux.sysctl, 'linux.sysctl'))) {
      if (!/^[A-Za-z0-9_][A-Za-z0-9_.:@/-]*$/.test(name) || name.split(/[./]/).includes(''))
        throw invalidArgument('linux.sysctl', name, 'the name of a kernel parameter')
      text(value, `linux.sysctl.${name}`)
    }
  if (linux.mountLabel) throw invalidArgument('linux.mountLabel', linux.mountLabel, 'empty: caisson sets no such label')
  if (linux.intelRdt !== undefined)
    throw invalidArgument('linux.intelRdt', linux.intelRdt, 'left out: caisson has none')
  optional(linux.rootfsPropagation, 'linux.rootfsPropagation', text)
}

/** Numbers end up in files of the kernel and in names of files, and a rule that is something else must not count as another. */
function checkResources(resources: Json): void {
  const at = 'linux.resources'
  list(resources.devices, `${at}.devices`, (value, where) => {
    const rule = object(value, where, NAMES.rule)
    boolean(rule.allow, `${where}.allow`)
    if (rule.type !== undefined && !/^[abc]$/.test(text(rule.type, `${where}.type`)))
      throw invalidArgument(`${where}.type`, rule.type, 'a, b or c')
    if (rule.access !== undefined && !/^[rwm]{1,3}$/.test(text(rule.access, `${where}.access`)))
      throw invalidArgument(`${where}.access`, rule.access, 'of r, w and m')
    // null, as -1: all of them.
    for (const [key, check] of [
      ['major', major],
      ['minor', minor],
    ] as const)
      if (rule[key] === null || rule[key] === -1) delete rule[key]
      else optional(rule[key], `${where}.${key}`, check)
  })
  for (const name of ['memory', 'cpu', 'pids'] as const) {
    resources[name] ??= {}
    const values = object(resources[name], `${at}.${name}`, NAMES[name])
    for (const [key, value] of Object.entries(values))
      if (value === null) delete values[key]
      else if (typeof value !== 'boolean' && key !== 'cpus' && key !== 'mems')
        integer(value, `${at}.${name}.${key}`, -(2 ** 63))
  }
  resources.blockIO ??= {}
  for (const [key, value] of Object.entries(object(resources.blockIO, `${at}.blockIO`)))
    if (key.startsWith('throttle'))
      list(value, `${at}.blockIO.${key}`, (rate, where) => {
        const { major: first, minor: second, rate: bytes } = object(rate, where)
        major(first, `${where}.major`)
        minor(second, `${where}.minor`)
        integer(bytes, `${where}.rate`, 0)
      })
    else if (key === 'weight' || key === 'leafWeight') optional(value, `${at}.blockIO.${key}`, id)
  list(resources.hugepageLimits, `${at}.hugepageLimits`, (value, where) => {
    const { pageSize, limit } = object(value, where)
    if (!/^\d+[KMG]B$/.test(text(pageSize, `${where}.pageSize`)))
      throw invalidArgument(`${where}.pageSize`, pageSize, 'a page size such as 2MB')
    integer(limit, `${where}.limit`, 0)
  })
}

function object(value: unknown, at: string, names: readonly string[] = []): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidArgument(at, value, 'an object')
  const [key, name] = lookalike(value as Json, names) ?? []
  if (key !== undefined) throw invalidArgument(at, key, `a name that cannot be taken for ${name}`)
  return value as Json
}

function text(value: unknown, at: string): string {
  if (typeof value !== 'string' || value.includes('\0')) throw invalidArgument(at, value, 'a string without NUL')
  return value
}

function texts(value: unknown, at: string): string[] {
  if (!Array.isArray(value)) throw invalidArgument(at, value, 'an array of strings')
  return value.map((item, i) => text(item, `${at}[${i}]`))
}

function boolean(value: unknown, at: string): void {
  if (value !== undefined && typeof value !== 'boolean') throw invalidArgument(at, value, 'true or false')
}

const ID_MAX = 0xffffffff

function integer(value: unknown, at: string, from: number, to = 2 ** 64): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < from || value > to)
    throw invalidArgument(at, value, `an integer from ${from} to ${to}`)
  return value
}

/** The last number is none: for the kernel it means "as it is", which is root. */
const id = (value: unknown, at: string) => integer(value, at, 0, ID_MAX - 1)

/** More bits would be another device's number (makedev(3)). */
const major = (value: unknown, at: string) => integer(value, at, 0, 0xfff)
const minor = (value: unknown, at: string) => integer(value, at, 0, 0xfffff)

function optional(value: unknown, at: string, check: (value: unknown, at: string) => unknown): void {
  if (value !== undefined) check(value, at)
}

function list(value: unknown, at: string, check: (value: unknown, at: string) => unknown): void {
  if (value === undefined || value === null) return
  if (!Array.isArray(value)) throw invalidArgument(at, value, 'an array')
  value.forEach((item, i) => {
    check(item, `${at}[${i}]`)
  })
}

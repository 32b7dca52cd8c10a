/** Checks a config.json: the types of all that is used, and nothing silently ignored that would weaken it. */
import { invalidArgument } from '../errors.js'
import type { RuntimeSpec } from './runtime.js'

type Json = Record<string, unknown>

const NAMESPACE_TYPES = new Set(['pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup', 'time'])
const HOOKS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']

/** Throws ERR_CAISSON_INVALID_ARGUMENT with the path of the field. */
export function parseRuntimeSpec(value: unknown): RuntimeSpec {
  const spec = object(value, 'config')
  const version = text(spec.ociVersion, 'ociVersion')
  if (!/^1\.\d+\.\d+/.test(version)) throw invalidArgument('ociVersion', version, 'a version 1')
  const root = object(spec.root, 'root')
  text(root.path, 'root.path')
  boolean(root.readonly, 'root.readonly')
  optional(spec.hostname, 'hostname', text)
  optional(spec.domainname, 'domainname', text)
  checkProcess(object(spec.process, 'process'))
  list(spec.mounts, 'mounts', checkMount)
  if (spec.hooks !== undefined)
    for (const name of HOOKS) list(object(spec.hooks, 'hooks')[name], `hooks.${name}`, checkHook)
  if (spec.linux !== undefined) checkLinux(object(spec.linux, 'linux'))
  return spec as unknown as RuntimeSpec
}

function checkProcess(process: Json): void {
  boolean(process.terminal, 'process.terminal')
  const args = texts(process.args, 'process.args')
  if (args.length === 0) throw invalidArgument('process.args', args, 'a command')
  texts(process.env ?? [], 'process.env')
  const cwd = text(process.cwd, 'process.cwd')
  if (!cwd.startsWith('/')) throw invalidArgument('process.cwd', cwd, 'an absolute path')
  const user = object(process.user ?? { uid: 0, gid: 0 }, 'process.user')
  process.user = user
  id(user.uid ?? 0, 'process.user.uid')
  id(user.gid ?? 0, 'process.user.gid')
  optional(user.umask, 'process.user.umask', id)
  list(user.additionalGids, 'process.user.additionalGids', id)
  if (process.capabilities !== undefined)
    for (const [name, set] of Object.entries(object(process.capabilities, 'process.capabilities')))
      texts(set ?? [], `process.capabilities.${name}`)
  list(process.rlimits, 'process.rlimits', (limit, at) => {
    const { type, soft, hard } = object(limit, at)
    text(type, `${at}.type`)
    for (const value of [soft, hard]) if (typeof value !== 'number') throw invalidArgument(at, value, 'numbers')
  })
  boolean(process.noNewPrivileges, 'process.noNewPrivileges')
  // A label that is not applied is a promise broken.
  for (const name of ['apparmorProfile', 'selinuxLabel'])
    if (process[name]) throw invalidArgument(`process.${name}`, process[name], 'empty: caisson sets no such label')
}

function checkMount(value: unknown, at: string): void {
  const mount = object(value, at)
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
    const namespace = object(value, at)
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
      for (const key of ['containerID', 'hostID', 'size']) id(mapping[key], `${at}.${key}`)
    })
  list(linux.devices, 'linux.devices', (value, at) => {
    const device = object(value, at)
    if (!/^[cbup]$/.test(text(device.type, `${at}.type`)))
      throw invalidArgument(`${at}.type`, device.type, 'c, b, u or p')
    if (!text(device.path, `${at}.path`).startsWith('/'))
      throw invalidArgument(`${at}.path`, device.path, 'an absolute path')
  })
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

function object(value: unknown, at: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidArgument(at, value, 'an object')
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

function id(value: unknown, at: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xffffffff)
    throw invalidArgument(at, value, 'a number from 0 to 4294967295')
  return value
}

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

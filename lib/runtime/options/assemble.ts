/** From options and an image to a workload: everything decided, nothing done yet. */
import os from 'node:os'
import path from 'node:path'
import { restricts } from '../../cgroup/devices.js'
import { type CgroupPlan, planCgroup } from '../../cgroup/plan.js'
import { type Settings, settingsFromLimits } from '../../cgroup/settings.js'
import { CaissonError, invalidArgument } from '../../errors.js'
import { parseAddress } from '../../network/addresses.js'
import { checkDnsWords, formatResolvConf } from '../../network/resolv-conf.js'
import type { ContainerOptions, FileContent, Mount } from '../../options.js'
import { architecture } from '../../seccomp/arch.js'
import { projectFilter } from '../../seccomp/project.js'
import { DEVICE_RULES } from '../../spec/defaults.js'
import type { ImageConfig } from '../../spec/image.js'
import type { RuntimeSpec, SpecDeviceRule, SpecProcess } from '../../spec/runtime.js'
import { checkNames, type Names } from '../../util/option-names.js'
import { insidePath } from '../../util/paths.js'
import { parseSize } from '../../util/units.js'
import type { ContainerNetwork } from '../container/attachments.js'
import type { Owner } from '../process/owner.js'
import { hostId } from '../user/id-maps.js'
import type { ChosenNamespaces } from './choose-namespaces.js'
import { fileMode, userId } from './file-owner.js'
import { chooseLandlock } from './landlock.js'
import { linuxSpec } from './linux.js'
import { mountsSpec, TTY_GROUP } from './mounts.js'
import { commandLine, processSpec, userText } from './process.js'
import { chooseSeccomp } from './seccomp.js'
import type { HostTree, InjectedFile, NamespaceType, Workload, Writable } from './workload.js'

/** What an image is made of when it is run. */
export interface ImageRoot {
  /** Directories, the topmost first. */
  lower: readonly string[]
  trees: readonly HostTree[]
  /** Paths that no container of it shows. */
  hidden: readonly string[]
  /** Paths of this process's own root that show the same, for programs without a root of their own. */
  shown?: readonly string[]
  config: ImageConfig
}

export interface Assembled {
  workload: Workload
  cgroup: CgroupPlan
  settings: Settings
}

/** Processes and threads of a container that sets no limit of its own: a fork bomb ends there (Podman's value). */
export const DEFAULT_PIDS = 2048

/** `others`: processes of the same user that are not the container's, but count. */
export function boundProcesses(program: SpecProcess, others = 0): void {
  if (program.rlimits?.some(({ type }) => type === 'RLIMIT_NPROC')) return
  const most = DEFAULT_PIDS + others
  program.rlimits = [...(program.rlimits ?? []), { type: 'RLIMIT_NPROC', soft: most, hard: most }]
}

export interface AssembleInput {
  id: string
  owner: Owner
  image: ImageRoot
  command?: readonly string[]
  options: ContainerOptions
  namespaces: ChosenNamespaces
  /** Where a writable layer on disk lies. */
  directory?: string
  network?: ContainerNetwork
  /** The layers are copied: overlay is not to be had. */
  copied?: boolean
  /** A container that programs will be executed in, and not just one run. */
  kept?: boolean
  /** One run, in which programs will be executed beside its own. */
  accompanied?: boolean
}

export function assemble(input: AssembleInput): Assembled {
  const { id, owner, image, command, options, namespaces, directory, network, kept, accompanied = kept } = input
  const { own, join } = namespaces
  checkShared(options, own)
  const isHost = (type: NamespaceType) => !own.has(type) && !join.some((joined) => joined.type === type)
  // Where none can be set, that is no reason to run nothing; who asks for one is told.
  const unnamed = !isHost('uts') && owner.isolation.hostname === 'outer' && options.hostname === undefined
  const hostname = options.hostname ?? (isHost('uts') || unnamed ? os.hostname() : id.slice(0, 12))
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(hostname))
    throw invalidArgument('hostname', hostname, 'at most 64 letters, digits, ".", "-" and "_"')
  if (options.domainname !== undefined && !/^[\x21-\x7e]{0,64}$/.test(options.domainname))
    throw invalidArgument('domainname', options.domainname, 'at most 64 ASCII characters without spaces')
  const args = commandLine(image.config, options.entrypoint, command)
  const limits = options.limits ?? {}
  const settings = settingsFromLimits(limits)
  settings.pidsMax ??= pidsAvailable(owner) ? DEFAULT_PIDS : undefined
  const userns = namespaces.idMaps !== undefined
  const linux = linuxSpec(options, namespaces, owner.isolation)
  const rules = deviceRules(linux.resources?.devices ?? [], owner, userns)
  settings.devices = rules.legacy
  const cgroup = planCgroup(owner.cgroups, id, settings, { kept: accompanied, filtered: rules.filtered })

  const program = processSpec(args, image.config, options, hostname)
  // Who has no such limit to give bounds the number of its users instead (setrlimit(2), RLIMIT_NPROC).
  if (namespaces.inside && settings.pidsMax === undefined) boundProcesses(program)
  const seccomp = chooseSeccomp(options.security ?? {}, program.capabilities?.bounding ?? [])
  // Whoever is in another container's namespace of mounts or processes gets at what that has mounted.
  const guest = seccomp !== undefined && join.some(({ type }) => type === 'mnt' || type === 'pid')
  const keepsProjects = holdsQuota(options.mounts) || guest

  const spec: RuntimeSpec = {
    ociVersion: '1.0.2',
    process: program,
    root: { path: 'rootfs', readonly: options.readOnly ?? false },
    ...(unnamed ? {} : { hostname }),
    ...(options.domainname ? { domainname: options.domainname } : {}),
    mounts: mountsSpec(options, {
      ownNet: own.has('net'),
      hostIpc: isHost('ipc'),
      hostPids: isHost('pid'),
      userns,
      outerProc: owner.isolation.proc === 'outer',
      outerSys: owner.isolation.sys === 'outer',
      ttyGroup: !namespaces.idMaps || hostId(namespaces.idMaps.gidMap, TTY_GROUP) !== undefined,
    }),
    linux: {
      ...linux,
      // Only a config.json needs it; our own filter is compiled already.
      get seccomp() {
        return seccomp?.spec()
      },
    },
  }
  spec.linux?.maskedPaths?.push(...image.hidden)
  const disk = limits.disk === undefined ? undefined : parseSize(limits.disk, 'limits.disk')
  // To a tmpfs it would be no limit.
  if (disk === 0) throw invalidArgument('limits.disk', limits.disk, 'at least one byte')
  const writable: Writable = directory === undefined ? { kind: 'memory', size: disk } : { kind: 'disk', directory }
  return {
    settings,
    cgroup,
    workload: {
      spec,
      rootfs: own.has('mnt')
        ? { kind: 'overlay', lower: image.lower, writable, trees: image.trees, copied: input.copied }
        : { kind: 'inherited' },
      staging: owner.staging,
      user: userText(options.user, image.config),
      groups: (options.groups ?? []).map(String),
      files: injectedFiles(options.files),
      etc: etcFiles(hostname, options, network, new Set(spec.mounts?.map(({ destination }) => destination))),
      thrownAway: !kept,
      init: options.init ?? false,
      projectFilter: keepsProjects && !userns ? projectFilter(architecture()) : undefined,
      filter: seccomp?.filter,
      filterFlags: seccomp?.flags,
      usualFilter: seccomp?.usual,
      cgroup: {
        join: cgroup.join,
        legacy: cgroup.shown,
        unified: cgroup.leaf ?? cgroup.unified?.directory,
        shown: own.has('cgroup') && cgroup.leaf ? cgroup.unified?.directory : undefined,
      },
      join,
      mountMaps: namespaces.mountMaps,
      idMaps: namespaces.idMaps,
      devices: rules.unified,
      landlock: chooseLandlock(options.security ?? {}, {
        spec,
        ownRoot: own.has('mnt'),
        hostNet: isHost('net'),
        hostPids: isHost('pid'),
      }),
      inside: namespaces.inside,
      stockNetwork: own.has('net') && !userns && !network,
      network,
    },
  }
}

/** Of a mount of a volume (container/volumes.ts). */
function holdsQuota(mounts: readonly Mount[] = []): boolean {
  return mounts.some((mount) => 'bounded' in mount && mount.bounded === true && !mount.readOnly)
}

/** How device access is enforced. */
export interface DeviceRules {
  /** The default rules: the container goes below a cgroup that has them. */
  filtered: boolean
  /** A program of its own, on its v2 cgroup. */
  unified?: readonly SpecDeviceRule[]
  /** Files of cgroup v1. */
  legacy?: readonly SpecDeviceRule[]
}

/** In a user namespace the kernel already refuses to make device nodes, and to open those of a file system in it. */
export function deviceRules(rules: readonly SpecDeviceRule[], { cgroups }: Owner, userns: boolean): DeviceRules {
  if (userns || !restricts(rules)) return { filtered: false }
  if (!cgroups.unified) return { filtered: false, legacy: rules }
  const usual = rules.length === DEVICE_RULES.length && rules.every((rule, i) => rule === DEVICE_RULES[i])
  return usual && cgroups.filtered ? { filtered: true } : { filtered: false, unified: rules }
}

/** What a container cannot have in a namespace that it shares: an error, as it would be dropped or change others. */
function checkShared(options: ContainerOptions, own: ReadonlySet<NamespaceType>): void {
  const needs: Array<[NamespaceType, keyof ContainerOptions]> = [
    ['uts', 'hostname'],
    ['uts', 'domainname'],
    ['mnt', 'mounts'],
    ['mnt', 'readOnly'],
    ['mnt', 'devices'],
    ['mnt', 'files'],
    ['mnt', 'shmSize'],
    ['mnt', 'dns'],
    ['mnt', 'dnsSearch'],
    ['mnt', 'dnsOptions'],
    ['mnt', 'extraHosts'],
  ]
  for (const [type, name] of needs)
    if (isGiven(options[name]) && !own.has(type))
      throw new CaissonError(
        'ERR_CAISSON_INVALID_ARGUMENT',
        `${name} needs a ${type} namespace of the container's own`,
        {
          stage: 'options',
          hint: `Leave ${name} out, or give namespaces: { ${type}: 'private' }.`,
        },
      )
}

function isGiven(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return value !== undefined && value !== false
}

export function pidsAvailable({ cgroups }: Owner): boolean {
  return (
    (cgroups.unified?.controllers.includes('pids') ?? false) ||
    cgroups.legacy.some(({ hierarchy }) => hierarchy.controllers.includes('pids'))
  )
}

const FILE_CONTENT: Names<FileContent> = { content: true, mode: true, uid: true, gid: true }

/** Files of the options, checked. */
export function injectedFiles(files: ContainerOptions['files']): InjectedFile[] {
  return Object.entries(files ?? {}).map(([at, given]) => {
    const option = `files[${JSON.stringify(at)}]`
    const file = typeof given === 'string' || given instanceof Uint8Array ? { content: given } : given
    if (typeof file?.content !== 'string' && !(file?.content instanceof Uint8Array))
      throw invalidArgument(option, given, 'a string, bytes, or { content } of them')
    if (file === given) checkNames(given, FILE_CONTENT, `${option}.`)
    return {
      path: insidePath(at.startsWith('/') ? at : path.posix.join('/', at), option),
      content: typeof file.content === 'string' ? Buffer.from(file.content) : file.content,
      mode: file.mode === undefined ? 0o644 : fileMode(file.mode, `${option}.mode`),
      uid: userId(file.uid ?? 0, `${option}.uid`),
      gid: userId(file.gid ?? 0, `${option}.gid`),
    }
  })
}

/** What Docker mounts over the image's own: names of the container itself, and the caller's. */
function etcFiles(
  hostname: string,
  options: ContainerOptions,
  network: ContainerNetwork | undefined,
  mounted: ReadonlySet<string>,
): Record<string, string> {
  const hosts = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback']
  const own = options.network === 'host' ? ['127.0.0.1'] : []
  hosts.push(...extraHosts(options.extraHosts, network && 'hostAddresses' in network ? network.hostAddresses() : own))
  hosts.push(...(network?.hosts(hostname, options.domainname) ?? [`127.0.1.1\t${hostname}`]))
  const files = {
    hosts: `${hosts.join('\n')}\n`,
    hostname: `${hostname}\n`,
    'resolv.conf': network?.resolvConf() ?? resolvConf(options),
  }
  // Who mounts one of his own there wants that.
  return Object.fromEntries(Object.entries(files).filter(([name]) => !mounted.has(`/etc/${name}`)))
}

/** `host`: what docker's word host-gateway stands for. */
function extraHosts(extra: ContainerOptions['extraHosts'], [host]: readonly string[]): string[] {
  const pairs: Array<[string, string]> = Array.isArray(extra)
    ? extra.map((text: string) => {
        const colon = text.search(/[:=]/)
        return [text.slice(0, colon), text.slice(colon + 1)]
      })
    : Object.entries((extra as Record<string, string> | undefined) ?? {})
  return pairs.map(([name, given]) => {
    const plain = String(given).replace(/^\[(.*)\]$/, '$1')
    const address = plain === 'host-gateway' && host !== undefined ? host : plain
    if (address === 'host-gateway')
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `extraHosts: ${name}: there is no way to the host`, {
        stage: 'options',
        hint: 'Put the container on a network that is not internal, as network: "bridge".',
      })
    if (!/^[A-Za-z0-9_.-]+$/.test(name) || !parseAddress(address))
      throw invalidArgument('extraHosts', `${name}:${address}`, 'a host name and an address')
    return `${address}\t${name}`
  })
}

function resolvConf({ dns = [], ...rest }: Pick<ContainerOptions, 'dns' | 'dnsSearch' | 'dnsOptions'>): string {
  for (const server of dns) if (!parseAddress(server)) throw invalidArgument('dns', server, 'an address')
  const { search, options } = checkDnsWords(rest)
  return formatResolvConf({ servers: dns, search, options })
}

/** From the body of POST /containers/create to the options of a container. Pure: nothing is looked up. */
import type { CreateOptions, SecurityOptions } from '../options.js'
import type { Fields } from '../spec/fields.js'
import type { Json } from '../spec/json.js'
import { fieldsOf } from './body.js'
import { badRequest, notImplemented } from './failure.js'
import { limitsOf, whole } from './host-limits.js'
import { type Mode, type NetworkMode, parseMode, parseNetworkMode } from './modes.js'
import { mountsOf } from './mounts.js'
import { endpointsOf, type RequestedNetwork } from './network-values.js'
import { bounded, exposedIn, parseBindings } from './port-bindings.js'
import { parseRestartPolicy } from './restart-policy.js'

export interface Requested {
  image: string
  options: CreateOptions
  /** By name or id; their containers and networks are for others to find. */
  networks: readonly RequestedNetwork[]
  joins: { network?: string; pid?: string; ipc?: string }
  /** It is removed when it ends. */
  autoRemove: boolean
  /** Its standard input is closed when the first one who was attached to it leaves. */
  stdinOnce: boolean
}

const NANO = 1e6

export function createOptions(body: Fields): Requested {
  const hostObject = body.object('HostConfig') ?? {}
  const host = fieldsOf(hostObject, 'HostConfig.')
  refuse(hostObject)
  const modes = namespacesOf(host)
  const network = parseNetworkMode(host.text('NetworkMode'))
  const networking = fieldsOf(body.object('NetworkingConfig'), 'NetworkingConfig.').object('EndpointsConfig') ?? {}
  const networks = body.boolean('NetworkDisabled') ? [] : endpointsOf(network, networking, body.text('MacAddress'))
  const autoRemove = host.boolean('AutoRemove') ?? false
  const restart = restartOf(host)
  if (autoRemove && restart !== 'no') throw badRequest("can't create a container with AutoRemove and a RestartPolicy")
  const options: CreateOptions = {
    hostname: body.text('Hostname') || undefined,
    domainname: body.text('Domainname') || undefined,
    env: body.texts('Env'),
    workdir: body.text('WorkingDir') || undefined,
    user: body.text('User') || undefined,
    entrypoint: entrypointOf(body),
    command: commandOf(body),
    labels: body.map('Labels'),
    tty: ttyOf(body, host),
    stdinOpen: body.boolean('OpenStdin') ?? false,
    attachable: true,
    stopSignal: body.text('StopSignal') || undefined,
    stopTimeout: secondsOf(body.count('StopTimeout')),
    healthcheck: healthOf(body.object('Healthcheck')),
    init: host.boolean('Init'),
    mounts: mountsOf(body, host),
    readOnly: host.boolean('ReadonlyRootfs'),
    limits: limitsOf(hostObject),
    ulimits: ulimitsOf(host),
    sysctls: host.map('Sysctls'),
    devices: devicesOf(host),
    shmSize: host.count('ShmSize') || undefined,
    oomScoreAdj: whole(hostObject, 'OomScoreAdj') || undefined,
    groups: host.texts('GroupAdd'),
    dns: host.texts('Dns'),
    dnsSearch: host.texts('DnsSearch'),
    dnsOptions: host.texts('DnsOptions'),
    extraHosts: host.texts('ExtraHosts'),
    security: securityOf(host, modes.user),
    namespaces: own(modes),
    restart,
    logLimit: logLimitOf(host),
    network: alone(network, networks),
    ...portsOf(body, host),
  }
  return {
    image: body.requiredText('Image'),
    options: defined(options),
    networks,
    joins: {
      ...(typeof network === 'object' && 'container' in network ? { network: network.container } : {}),
      ...joined('pid', modes.pid),
      ...joined('ipc', modes.ipc),
    },
    autoRemove,
    stdinOnce: body.boolean('StdinOnce') ?? false,
  }
}

/** What is asked for and is not there is refused: it would be a limit or a wall that nobody has built. */
const REFUSED = [
  'CgroupParent',
  'VolumesFrom',
  'Links',
  'Cgroup',
  'OomKillDisable',
  'DeviceRequests',
  'DeviceCgroupRules',
  'KernelMemory',
  'KernelMemoryTCP',
  'CpuRealtimePeriod',
  'CpuRealtimeRuntime',
  'CpuCount',
  'CpuPercent',
  'IOMaximumIOps',
  'IOMaximumBandwidth',
]

function refuse(host: Json): void {
  for (const name of REFUSED) if (!isNothing(host[name])) throw notImplemented(`HostConfig.${name}`)
  const chosen = (name: string, known: readonly string[]) => {
    const value = host[name]
    if (!isNothing(value) && !known.includes(value as string)) throw notImplemented(`HostConfig.${name} ${value}`)
  }
  chosen('Runtime', ['runc', 'io.containerd.runc.v2'])
  chosen('VolumeDriver', ['local'])
  chosen('Isolation', ['default'])
}

function isNothing(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return value === undefined || value === null || value === '' || value === 0 || value === false
}

/** A text, as old clients write it, is one word. */
function words(fields: Fields, name: string): string[] | undefined {
  const single = textOrList(fields, name)
  return single ?? fields.texts(name)
}

function textOrList(fields: Fields, name: string): string[] | undefined {
  try {
    const text = fields.text(name)
    return text === undefined ? undefined : [text]
  } catch {
    return undefined
  }
}

/** Docker takes an empty list for none. */
function commandOf(body: Fields): string[] | undefined {
  const given = words(body, 'Cmd')
  return given?.length ? given : undefined
}

/** One empty word takes the image's away. */
function entrypointOf(body: Fields): string[] | undefined {
  const given = words(body, 'Entrypoint')
  if (given === undefined || given.length === 0) return undefined
  return given.length === 1 && given[0] === '' ? [] : given
}

function ttyOf(body: Fields, host: Fields): CreateOptions['tty'] {
  if (!body.boolean('Tty')) return undefined
  const [rows, columns] = (host.list('ConsoleSize') ?? []) as number[]
  return rows && columns ? { rows, columns } : true
}

/** undefined: it is on networks, or joins another container's. */
function alone(mode: NetworkMode, networks: readonly RequestedNetwork[]): 'none' | 'host' | undefined {
  if (networks.length > 0 || (typeof mode === 'object' && 'container' in mode)) return undefined
  return mode === 'host' ? 'host' : 'none'
}

function secondsOf(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000
}

function healthOf(check: Json | undefined): CreateOptions['healthcheck'] {
  if (!check) return undefined
  const fields = fieldsOf(check, 'Healthcheck.')
  const [kind, ...rest] = fields.texts('Test') ?? []
  // Times alone change nothing: the test would be the image's.
  if (kind === undefined) return undefined
  if (kind === 'NONE') return false
  if (kind !== 'CMD' && kind !== 'CMD-SHELL') throw badRequest(`Healthcheck.Test begins with ${kind}`)
  const time = (name: string) => {
    const nanoseconds = fields.count(name)
    return nanoseconds ? nanoseconds / NANO : undefined
  }
  return defined({
    test: kind === 'CMD' ? rest : rest.join(' '),
    interval: time('Interval'),
    timeout: time('Timeout'),
    startPeriod: time('StartPeriod'),
    startInterval: time('StartInterval'),
    retries: fields.count('Retries') || undefined,
  })
}

function ulimitsOf(host: Fields): CreateOptions['ulimits'] {
  const list = host.objects('Ulimits')
  if (!list?.length) return undefined
  return Object.fromEntries(
    list.map((each) => {
      const name = fieldsOf(each, 'HostConfig.Ulimits.').requiredText('Name')
      return [name, { soft: whole(each, 'Soft') ?? 0, hard: whole(each, 'Hard') ?? whole(each, 'Soft') ?? 0 }]
    }),
  )
}

function devicesOf(host: Fields): string[] | undefined {
  return host.objects('Devices')?.map((each) => {
    const fields = fieldsOf(each, 'HostConfig.Devices.')
    const source = fields.requiredText('PathOnHost')
    return `${source}:${fields.text('PathInContainer') || source}:${fields.text('CgroupPermissions') || 'rwm'}`
  })
}

function securityOf(host: Fields, user: Mode | undefined): SecurityOptions {
  const security: SecurityOptions = {}
  const [add, drop] = [host.texts('CapAdd'), host.texts('CapDrop')]
  if (add?.length || drop?.length) security.capabilities = { add: add ?? [], drop: drop ?? [] }
  if (host.boolean('Privileged')) security.privileged = true
  if (user === 'host') security.userns = 'host'
  const [masked, readOnly] = [host.texts('MaskedPaths'), host.texts('ReadonlyPaths')]
  if (masked) security.maskedPaths = masked
  if (readOnly) security.readonlyPaths = readOnly
  for (const option of host.texts('SecurityOpt') ?? []) {
    const [, name, value = 'true'] = /^([a-z-]+)(?:[=:](.*))?$/s.exec(option) ?? []
    if (name === 'no-new-privileges') security.noNewPrivileges = value === 'true'
    else if (name === 'seccomp') security.seccomp = profileOf(value)
    // There is nothing of that kind that could be taken away.
    else if (!['apparmor=unconfined', 'label=disable', 'label:disable'].includes(option))
      throw badRequest(`invalid --security-opt: ${JSON.stringify(option.slice(0, 200))}`)
  }
  return security
}

function profileOf(value: string): SecurityOptions['seccomp'] {
  if (value === 'unconfined') return value
  if (value === 'builtin' || value === 'default') return 'default'
  try {
    const profile: unknown = JSON.parse(value)
    if (typeof profile === 'object' && profile !== null) return profile as Record<string, unknown>
  } catch {
    // Told below.
  }
  throw badRequest('SecurityOpt: the seccomp profile is not a JSON object')
}

interface Modes {
  pid: Mode | undefined
  ipc: Mode | undefined
  uts: Mode | undefined
  user: Mode | undefined
  cgroup: Mode | undefined
}

function namespacesOf(host: Fields): Modes {
  // Another name for what nobody else asks for: as private as the other.
  const ipc = host.text('IpcMode')
  if (ipc === 'none') throw notImplemented('HostConfig.IpcMode none')
  return {
    pid: parseMode('PidMode', host.text('PidMode')),
    ipc: parseMode('IpcMode', ipc),
    uts: parseMode('UTSMode', host.text('UTSMode')),
    user: parseMode('UsernsMode', host.text('UsernsMode')),
    cgroup: parseMode('CgroupnsMode', host.text('CgroupnsMode')),
  }
}

function own({ user: _, ...modes }: Modes): CreateOptions['namespaces'] {
  const list = Object.entries(modes).filter(([, mode]) => mode === 'private' || mode === 'host')
  return list.length > 0 ? Object.fromEntries(list) : undefined
}

function joined(name: 'pid' | 'ipc', mode: Mode | undefined): { [key: string]: string } {
  return typeof mode === 'object' ? { [name]: mode.container } : {}
}

function restartOf(host: Fields) {
  const policy = host.object('RestartPolicy') ?? {}
  const name = fieldsOf(policy, 'HostConfig.RestartPolicy.').text('Name')
  return parseRestartPolicy(name, whole(policy, 'MaximumRetryCount'))
}

function logLimitOf(host: Fields): number | undefined {
  const type = fieldsOf(host.object('LogConfig'), 'HostConfig.LogConfig.').text('Type') || 'json-file'
  if (type === 'none') return 0
  if (type !== 'json-file' && type !== 'local') throw notImplemented(`the log driver ${type}`)
  return undefined
}

function portsOf(body: Fields, host: Fields): Pick<CreateOptions, 'ports' | 'publishAllPorts'> {
  const ports = parseBindings(host.object('PortBindings') ?? {})
  const all = host.boolean('PublishAllPorts') ?? false
  const bound = new Set(ports.map(({ container, protocol }) => `${container}/${protocol}`))
  const exposed = bounded(exposedIn(Object.keys(body.set('ExposedPorts') ?? {})))
  // Those that the image does not say itself; publishAllPorts knows the others.
  const more = all ? exposed.filter(({ container, protocol }) => !bound.has(`${container}/${protocol}`)) : []
  const list = [...ports, ...more.map((port) => ({ ...port, address: '*' }))]
  return {
    ...(list.length > 0 ? { ports: list } : {}),
    ...(all ? { publishAllPorts: { address: '*' } } : {}),
  }
}

function defined<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T
}

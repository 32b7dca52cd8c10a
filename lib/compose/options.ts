/** What a service says, as options of a container. Names of networks and volumes are those of this machine by now. */
import type { ContainerOptions, Limits, Mount } from '../options.js'
import { ioWeight } from '../spec/io-weight.js'
import type { RateModel } from './nested-fields.js'
import type { ServiceModel } from './project.js'
import type { MountModel, PortModel } from './short-forms.js'

/** What the project knows, and a service does not. */
export interface Surroundings {
  /** Of the files of env_file; the service's own come on top. */
  env: Readonly<Record<string, string | undefined>>
  labels: Readonly<Record<string, string>>
  /** Names on this machine. */
  network(name: string): string
  volume(name: string): string
}

/** The most that the kernel numbers. */
const PIDS_MAX = 4_194_304

type Security = NonNullable<ContainerOptions['security']>
type Networks = NonNullable<ContainerOptions['networks']>

/** Without what joins other containers, and without secrets and configurations. */
export function containerOptions(
  service: ServiceModel,
  about: Surroundings,
): ContainerOptions & { command?: string[] } {
  const { entrypoint, command } = service
  return defined({
    hostname: service.hostname,
    domainname: service.domainname,
    env: { ...about.env, ...service.environment },
    workdir: service.working_dir,
    user: service.user,
    entrypoint: entrypoint ?? undefined,
    command: command ?? undefined,
    labels: { ...service.labels, ...about.labels },
    init: service.init,
    tty: service.tty,
    stopSignal: service.stop_signal,
    stopTimeout: service.stop_grace_period,
    mounts: [...(service.volumes ?? []), ...(service.tmpfs ?? [])].map((each) => mountOf(each, about)),
    readOnly: service.read_only,
    limits: limitsOf(service),
    ulimits: service.ulimits,
    sysctls: service.sysctls,
    devices: service.devices,
    shmSize: service.shm_size,
    ...networksOf(service, about),
    ports: service.ports?.map(portOf),
    dns: service.dns,
    dnsSearch: service.dns_search,
    dnsOptions: service.dns_opt,
    extraHosts: service.extra_hosts,
    namespaces: namespacesOf(service),
    security: securityOf(service),
    platform: service.platform,
    pull: service.pull_policy === 'build' ? ('never' as const) : service.pull_policy,
    healthcheck: healthOf(service),
    restart: restartOf(service),
    stdinOpen: service.stdin_open,
    logLimit: logLimitOf(service),
    oomScoreAdj: service.oom_score_adj,
    groups: service.group_add,
  })
}

/** docker counts by file, and keeps one unless it is told otherwise; json-file without a size keeps all: we our default. */
function logLimitOf({ logging: { driver, options = {} } = {} }: ServiceModel): number | undefined {
  if (driver === 'none') return 0
  return options.size === undefined ? undefined : options.size * (options.files ?? (driver === 'local' ? 5 : 1))
}

/** Without keys that have no value. */
function defined<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T
}

function mountOf({ place, create, source, propagation, ...rest }: MountModel, about: Surroundings): Mount {
  const from = rest.type === 'volume' && source !== undefined ? about.volume(source) : source
  return defined({ ...rest, source: from, propagation: propagation as Mount['propagation'] })
}

/** As docker: at all addresses unless one is said. Of a range each container of the service has the first that is free. */
function portOf({ target, published, address = '*', protocol }: PortModel) {
  if (!published) return { container: target, protocol, address }
  const { first, last } = published
  return { container: target, host: first === last ? first : `${first}-${last}`, protocol, address }
}

function networksOf(
  service: ServiceModel,
  about: Surroundings,
): Pick<ContainerOptions, 'network' | 'networks' | 'egress'> {
  const { name, network_mode: mode, networks = { default: undefined }, mac_address: mac, 'x-egress': allow } = service
  if (allow) return { egress: { allow } }
  if (mode === 'none' || mode === 'host' || mode === 'bridge') return { network: mode }
  if (mode !== undefined) return {}
  // The one with the highest priority is the way out.
  const sorted = Object.entries(networks).sort(([, a], [, b]) => (b?.priority ?? 0) - (a?.priority ?? 0))
  if (sorted.length === 0) return { network: 'none' }
  const list: Networks = sorted.map(([network, membership], i) =>
    defined({
      network: about.network(network),
      aliases: [...new Set([name.toLowerCase(), ...(membership?.aliases ?? [])])],
      ipv4: membership?.ipv4,
      ipv6: membership?.ipv6,
      mac: membership?.mac ?? (i === 0 ? mac : undefined),
    }),
  )
  return { networks: list }
}

function limitsOf(service: ServiceModel): Limits | undefined {
  const { deploy, cpu_quota: quota, cpu_period: period = 100_000, cpu_shares: shares, storage_opt } = service
  const limits = deploy?.resources?.limits ?? {}
  const pids = service.pids_limit ?? limits.pids
  const made = defined({
    memory: service.mem_limit ?? limits.memory,
    memorySwap: service.memswap_limit,
    memoryReservation: service.mem_reservation,
    memorySwappiness: service.mem_swappiness,
    cpus: service.cpus ?? limits.cpus ?? (quota === undefined || quota < 0 ? undefined : quota / period),
    cpuWeight: shares === undefined ? undefined : weightOf(shares),
    cpuset: service.cpuset,
    pids: pids === undefined ? undefined : pids < 1 ? PIDS_MAX : pids,
    io: ioOf(service),
    disk: storage_opt?.size,
  })
  return Object.keys(made).length > 0 ? made : undefined
}

/** Shares of cgroup v1, 1024 as usual, as weight of v2, 100 as usual. */
function weightOf(shares: number): number {
  return Math.min(10_000, Math.max(1, Math.round((shares * 100) / 1024)))
}

function ioOf({ blkio_config: io }: ServiceModel): Limits['io'] {
  if (!io) return undefined
  const devices = new Map<string, Record<string, number | string>>()
  const add = (list: readonly RateModel[] | undefined, key: string) => {
    for (const { path, rate } of list ?? []) devices.set(path, { ...devices.get(path), path, [key]: rate })
  }
  add(io.device_read_bps, 'readBps')
  add(io.device_write_bps, 'writeBps')
  add(io.device_read_iops, 'readIops')
  add(io.device_write_iops, 'writeIops')
  for (const { path, weight } of io.weight_device ?? [])
    if (weight !== 0) devices.set(path, { ...devices.get(path), path, weight: ioWeight(weight) })
  return defined({ weight: io.weight ? ioWeight(io.weight) : undefined, devices: [...devices.values()] as never })
}

function namespacesOf({ ipc, pid, uts, cgroup }: ServiceModel): ContainerOptions['namespaces'] {
  const host = (value: string | undefined) => (value === 'host' ? ('host' as const) : undefined)
  const made = defined({ ipc: host(ipc), pid: host(pid), uts: host(uts), cgroup: host(cgroup) })
  return Object.keys(made).length > 0 ? made : undefined
}

function securityOf(service: ServiceModel): Security | undefined {
  const { cap_add: add, cap_drop: drop, security_opt: options = [], privileged, userns_mode } = service
  const security: Security = {}
  if (add || drop) security.capabilities = defined({ add, drop })
  if (privileged !== undefined) security.privileged = privileged
  if (userns_mode) security.userns = 'host'
  for (const option of options) {
    const [name, value = 'true'] = option.split(/[:=]/)
    if (name === 'no-new-privileges') security.noNewPrivileges = value === 'true'
    else if (name === 'seccomp') security.seccomp = value === 'unconfined' ? 'unconfined' : 'default'
  }
  return Object.keys(security).length > 0 ? security : undefined
}

function healthOf({ healthcheck: check }: ServiceModel): ContainerOptions['healthcheck'] {
  if (!check) return undefined
  if (check.disable || check.test?.[0] === 'NONE') return false
  // Times alone change nothing: the test would be the image's.
  if (!check.test) return undefined
  return defined({
    test: check.test,
    interval: check.interval,
    timeout: check.timeout,
    startPeriod: check.start_period,
    startInterval: check.start_interval,
    retries: check.retries,
  })
}

function restartOf({ restart, deploy }: ServiceModel): ContainerOptions['restart'] {
  if (restart !== undefined) return restart
  const { condition, max_attempts: attempts = 0 } = deploy?.restart_policy ?? {}
  if (condition === undefined) return undefined
  if (condition === 'none') return 'no'
  return condition === 'any' ? 'always' : { onFailure: attempts }
}

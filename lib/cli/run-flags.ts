/** The flags of `caisson run`, and what they mean in options of run(). */
import type { RunOptions } from '../index.js'
import { boolean, type Flag, type Flags, list, text } from './flags.js'
import { healthOf } from './health-values.js'
import { limitsOf } from './limit-values.js'
import { parseMount, parseTmpfs, parseVolume } from './mount-values.js'
import { networkOptions, parseNetwork } from './network-values.js'
import { parseExposed, parsePublish } from './port-values.js'
import { checkKept, OF_ANOTHER } from './refused-flags.js'
import { securityOptions } from './security-values.js'
import { usageError } from './usage.js'
import {
  defined,
  numberOf,
  parseDevice,
  parseDnsSearch,
  parseEnv,
  parseEnvFile,
  parseHost,
  parseLabel,
  parsePair,
  parseUlimit,
  readText,
} from './values.js'

export const RUN_FLAGS: readonly Flag[] = [
  list('add-host', 'Add a line to /etc/hosts (name:address)'),
  list('attach', 'Show or pass on these alone: stdin, stdout, stderr', 'stream', 'a'),
  text('blkio-weight', 'Share of block IO against others, 10 to 1000', 'weight'),
  list('blkio-weight-device', 'The same for one device (/dev/sda:500)'),
  list('cap-add', 'Add a capability, as NET_ADMIN, or ALL'),
  list('cap-drop', 'Take a capability away, or ALL'),
  text('cgroupns', 'Cgroup namespace: private or host', 'mode'),
  text('cidfile', 'Write the id of the container to a file, which must not be there', 'file'),
  text('cpu-period', 'Microseconds in which --cpu-quota counts; 100000 is usual', 'int'),
  text('cpu-quota', 'Microseconds of processor time in each period; -1: no limit', 'int'),
  text('cpu-shares', 'Share of processor time against others; 1024 is usual', 'shares', 'c'),
  text('cpu-timeout', 'End it after so much processor time, as 10s', 'duration'),
  text('cpus', 'Processors worth of time, as 1.5', 'number'),
  text('cpuset-cpus', 'Processors it may run on, as 0-2,4'),
  text('cpuset-mems', 'Memory nodes that it may use, as 0-1'),
  boolean('detach', 'Not possible: containers end with the process that has them', 'd'),
  text('detach-keys', 'Not possible: all keys are those of the program', 'keys'),
  list('device', 'Give it a device of the host (/dev/host[:/dev/inside][:rwm])'),
  list('device-read-bps', 'Bytes a second it may read of a device (/dev/sda:1mb)'),
  list('device-read-iops', 'Reads a second of a device (/dev/sda:1000)'),
  list('device-write-bps', 'Bytes a second it may write to a device'),
  list('device-write-iops', 'Writes a second to a device'),
  boolean('disable-content-trust', 'As without: signatures are not looked at'),
  list('dns', 'Name servers'),
  { ...list('dns-option', 'Option of resolv.conf, as ndots:2'), alias: 'dns-opt' },
  list('dns-search', 'Domain in which names are looked for'),
  text('domainname', 'Domain name'),
  list('egress', 'Let it connect there and nowhere else (registry.example:443, 10.0.0.0/8:5432)', 'where'),
  text('entrypoint', "Program to use instead of the image's entry point"),
  list('env', 'Set a variable (NAME=value, or NAME as it is here)', undefined, 'e'),
  list('env-file', 'Read variables from a file'),
  list('expose', 'A port that --publish-all publishes too, as 80 or 53/udp', 'port'),
  list('group-add', 'Join a further group'),
  text('health-cmd', 'Ask a command in it again and again for its health; exit code 0 is good health', 'command'),
  text('health-interval', 'Time between two checks (30s)', 'duration'),
  text('health-retries', 'Failures in a row until it is unhealthy (3)', 'int'),
  text('health-start-interval', 'Time between two checks of the start (5s)', 'duration'),
  text('health-start-period', 'Time of the start, in which failures do not count (0s)', 'duration'),
  text('health-timeout', 'Time that a check may take (30s)', 'duration'),
  text('hostname', 'Host name', undefined, 'h'),
  boolean('init', 'Run a PID 1 that reaps and passes signals on'),
  boolean('interactive', 'Pass the standard input on', 'i'),
  text('ip', 'Address of IPv4 on the network'),
  text('ip6', 'Address of IPv6 on the network'),
  text('ipc', 'Ipc namespace: private or host', 'mode'),
  list('label', 'Set a label (key=value)', undefined, 'l'),
  list('label-file', 'Read labels from a file'),
  text('log-driver', 'none, local or json-file: what it prints is kept nowhere', 'driver'),
  list('log-opt', 'Options of these; there is nothing to rotate', 'option'),
  text('mac-address', 'Hardware address on the network'),
  text('memory', 'Limit of memory, as 64m', 'bytes', 'm'),
  text('memory-reservation', 'Bytes that it gets to keep when memory is short', 'bytes'),
  text('memory-swap', 'Limit of memory and swap together; -1: as much swap as there is', 'bytes'),
  text('memory-swappiness', 'How readily it is swapped out, 0 to 100 (cgroup v1)', 'int'),
  list('mount', 'Mount something (type=bind,source=...,target=...)', 'mount'),
  text('name', 'Name of the container'),
  {
    ...list('network', 'Network: none, bridge, host, the name of one, or name=N,alias=A,ip=I,ip6=I,mac-address=M'),
    alias: 'net',
  },
  { ...list('network-alias', 'A further name on the network'), alias: 'net-alias' },
  boolean('no-healthcheck', 'As without --health-cmd: nobody asks for its health'),
  text('oom-score-adj', 'Score of the out-of-memory killer, -1000 to 1000', 'int'),
  text('pid', 'Pid namespace: private or host', 'mode'),
  text('pids-limit', 'Limit of processes; -1: none', 'int'),
  text('platform', 'Platform of the image, as linux/arm64'),
  boolean('privileged', 'Take all protections away'),
  list('publish', 'Publish a port on the host ([address:][host:]container[/udp])', undefined, 'p'),
  boolean('publish-all', 'Publish every port that the image exposes on a free one', 'P'),
  text('pull', 'Pull the image: missing, always or never', 'policy'),
  boolean('quiet', 'As without: no progress is printed', 'q'),
  boolean('read-only', "Make the container's root read-only"),
  text('restart', 'no; others are of kept containers', 'policy'),
  boolean('rm', 'Remove the container at its end; always so'),
  list('security-opt', 'seccomp=..., no-new-privileges, systempaths=unconfined'),
  text('shm-size', 'Size of /dev/shm', 'bytes'),
  boolean('sig-proxy', 'Pass signals on to the program; default true'),
  text('stop-signal', 'Signal that asks it to end'),
  text('stop-timeout', 'Seconds until it is killed', 'int'),
  list('storage-opt', 'size=10g: bytes that it may write'),
  list('sysctl', 'Set a kernel parameter of its namespaces (name=value)'),
  text('timeout', 'End it after so long, as 90s or 5m', 'duration'),
  list('tmpfs', 'Mount a tmpfs (/path[:size=64m,mode=0700,uid=1000])'),
  boolean('tty', 'Give it a terminal', 't'),
  list('ulimit', 'Set a limit (name=soft[:hard])'),
  text('user', 'User, as name|uid[:group|gid]', undefined, 'u'),
  text('userns', 'User namespace: private or host', 'mode'),
  text('uts', 'Uts namespace: private or host', 'mode'),
  list('volume', 'Mount a directory of the host, or a volume by name (/host/path:/path[:ro])', undefined, 'v'),
  text('volume-driver', 'local: there are no others', 'driver'),
  text('workdir', 'Working directory', undefined, 'w'),
]

/** Keys without a value are left out, so that defaults stay what they are. */
export function runOptions(flags: Flags): RunOptions {
  checkKept(flags)
  const options: RunOptions = {
    name: flags.text('name'),
    hostname: flags.text('hostname'),
    domainname: flags.text('domainname'),
    env: environment(flags),
    workdir: flags.text('workdir'),
    user: flags.text('user'),
    entrypoint: entrypoint(flags.text('entrypoint')),
    labels: labels(flags),
    init: flags.boolean('init'),
    mounts: mounts(flags),
    readOnly: flags.boolean('read-only'),
    limits: limitsOf(flags),
    ulimits: pairs(flags.list('ulimit')?.map(parseUlimit)),
    sysctls: pairs(flags.list('sysctl')?.map((each) => parsePair(each, '--sysctl'))),
    devices: flags
      .list('device')
      ?.map(parseDevice)
      .map(({ source, target, access }) => `${source}:${target}:${access}`),
    shmSize: flags.text('shm-size'),
    ...networks(flags),
    egress: egress(flags.list('egress')),
    dns: flags.list('dns'),
    dnsSearch: flags.list('dns-search')?.map(parseDnsSearch),
    dnsOptions: flags.list('dns-option'),
    extraHosts: flags
      .list('add-host')
      ?.map(parseHost)
      .map(({ name, address }) => `${name}=${address}`),
    namespaces: namespaces(flags),
    security: defined({
      capabilities: defined({ add: flags.list('cap-add'), drop: flags.list('cap-drop') }),
      privileged: flags.boolean('privileged'),
      ...securityOptions(flags.list('security-opt') ?? []),
    }),
    healthcheck: healthOf(flags),
    stopSignal: flags.text('stop-signal'),
    stopTimeout: seconds(numberOf(flags, 'stop-timeout', true)),
    groups: flags.list('group-add'),
    oomScoreAdj: numberOf(flags, 'oom-score-adj', true),
    pull: flags.text('pull') as RunOptions['pull'],
    platform: flags.text('platform'),
    timeout: duration(flags.text('timeout')),
    cpuTimeout: duration(flags.text('cpu-timeout')),
  }
  return defined(options) ?? {}
}

function pairs<T>(list: Array<[string, T]> | undefined): Record<string, T> | undefined {
  return list && Object.fromEntries(list)
}

function environment(flags: Flags): Record<string, string | undefined> | undefined {
  const files = flags.list('env-file')?.flatMap((file) => parseEnvFile(readText(file, '--env-file'))) ?? []
  const given = flags.list('env')?.map((each) => parseEnv(each)) ?? []
  return pairs(files.length + given.length > 0 ? [...files, ...given] : undefined)
}

/** Those of files come before, whatever the order; `#` begins a comment line. */
function labels(flags: Flags): Record<string, string> | undefined {
  const files = flags.list('label-file')?.flatMap((file) =>
    readText(file, '--label-file')
      .split(/\r?\n/)
      .filter((line) => line.trim() !== '' && !line.trimStart().startsWith('#'))
      .map(parseLabel),
  )
  const given = flags.list('label')?.map(parseLabel)
  return pairs(files || given ? [...(files ?? []), ...(given ?? [])] : undefined)
}

/** An empty one takes the image's away. */
function entrypoint(program: string | undefined): string[] | undefined {
  if (program === undefined) return undefined
  return program === '' ? [] : [program]
}

function mounts(flags: Flags): RunOptions['mounts'] {
  const all = [
    ...(flags.list('mount')?.map(parseMount) ?? []),
    ...(flags.list('volume')?.map(parseVolume) ?? []),
    ...(flags.list('tmpfs')?.map(parseTmpfs) ?? []),
  ]
  return all.length > 0 ? all : undefined
}

/** Published ports need a network: without one the default network. */
function networks(flags: Flags): Pick<RunOptions, 'network' | 'networks' | 'ports' | 'publishAllPorts'> {
  const published = flags.list('publish')?.flatMap(parsePublish)
  // Those that the image does not say itself.
  const exposed = (flags.list('expose') ?? []).flatMap(parseExposed)
  const ports = flags.boolean('publish-all') && exposed.length > 0 ? [...(published ?? []), ...exposed] : published
  const publishAllPorts = flags.boolean('publish-all') ? { address: '*' } : undefined
  const given = (flags.list('network') ?? (ports || publishAllPorts ? ['bridge'] : [])).map(parseNetwork)
  const single = {
    aliases: flags.list('network-alias'),
    ipv4: flags.text('ip'),
    ipv6: flags.text('ip6'),
    mac: flags.text('mac-address'),
  }
  return { ...networkOptions(given, single), ports, publishAllPorts }
}

function egress(allow: string[] | undefined): RunOptions['egress'] {
  return allow && { allow }
}

function namespaces(flags: Flags): RunOptions['namespaces'] {
  const choose = (flag: string) => {
    const mode = flags.text(flag)
    if (mode === undefined || mode === 'private' || mode === 'host') return mode
    // Nobody else asks for it, so it is as private as the other.
    if (flag === 'ipc' && mode === 'shareable') return 'private'
    throw usageError(
      `--${flag}: there is no mode ${JSON.stringify(mode)}`,
      mode.startsWith('container:') ? OF_ANOTHER : 'Give private or host.',
    )
  }
  return defined({
    pid: choose('pid'),
    ipc: choose('ipc'),
    uts: choose('uts'),
    user: choose('userns'),
    cgroup: choose('cgroupns'),
  })
}

function seconds(value: number | undefined): number | undefined {
  return value === undefined ? undefined : value * 1000
}

/** A bare number is seconds, as for timeout(1). */
function duration(given: string | undefined): string | undefined {
  return given !== undefined && /^\d+(\.\d+)?$/.test(given) ? `${given}s` : given
}

/** A container as GET /containers/ID/json tells it. */
import type { ContainerInspection } from '../runtime/container/inspect.js'
import type { Json } from '../spec/json.js'
import { version } from '../util/version.js'
import { portsOf } from './port-bindings.js'
import type { Kept } from './state.js'

/** What Docker writes for a time that has not been. */
export const NEVER = '0001-01-01T00:00:00Z'

export const timeText = (time: Date | null | undefined) => time?.toISOString() ?? NEVER

export function containerJson(kept: Kept, execIds: readonly string[], gateways: ReadonlyMap<string, Gateway>): Json {
  const { container, imageId, config, hostConfig } = kept
  const told = container.inspect()
  const [path = '', ...args] = told.command
  return {
    Id: told.id,
    Created: told.created.toISOString(),
    Path: path,
    Args: args,
    State: stateOf(kept, told),
    Image: imageId,
    ResolvConfPath: '',
    HostnamePath: '',
    HostsPath: '',
    LogPath: '',
    Name: `/${told.name}`,
    RestartCount: told.state.restarts,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: execIds.length > 0 ? execIds : null,
    HostConfig: hostConfigOf(hostConfig, told),
    GraphDriver: { Name: 'overlay2', Data: {} },
    Mounts: mountsOf(told),
    Config: configOf(config, told),
    NetworkSettings: networkSettings(told, config, gateways),
  }
}

/** Docker has no word for a container between its end and its removal. */
export function statusOf({ status }: ContainerInspection['state'], restarting: boolean): string {
  if (restarting) return 'restarting'
  return status === 'removed' ? 'removing' : status
}

function stateOf({ container, error }: Kept, { state }: ContainerInspection): Json {
  const status = statusOf(state, container.restarting)
  return {
    Status: status,
    Running: state.running,
    Paused: state.paused,
    Restarting: status === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: false,
    Pid: state.pid ?? 0,
    ExitCode: state.running ? 0 : (state.exitCode ?? 0),
    Error: error,
    StartedAt: timeText(state.startedAt),
    FinishedAt: state.running ? NEVER : timeText(state.finishedAt),
    ...(state.health === 'none' ? {} : { Health: { Status: state.health, FailingStreak: 0, Log: [] } }),
  }
}

/** What the client gave, with what came of it. */
function configOf(config: Json, told: ContainerInspection): Json {
  return {
    Hostname: told.hostname,
    Domainname: config.Domainname ?? '',
    User: told.user,
    AttachStdin: config.AttachStdin ?? false,
    AttachStdout: config.AttachStdout ?? false,
    AttachStderr: config.AttachStderr ?? false,
    ...(config.ExposedPorts ? { ExposedPorts: config.ExposedPorts } : {}),
    Tty: told.tty,
    OpenStdin: config.OpenStdin ?? false,
    StdinOnce: config.StdinOnce ?? false,
    Env: told.env,
    Cmd: config.Cmd ?? null,
    ...(config.Healthcheck ? { Healthcheck: config.Healthcheck } : {}),
    Image: config.Image ?? told.image,
    Volumes: config.Volumes ?? null,
    WorkingDir: told.workdir,
    Entrypoint: config.Entrypoint ?? null,
    OnBuild: null,
    Labels: told.labels,
    ...(config.StopSignal ? { StopSignal: config.StopSignal } : {}),
    ...(config.StopTimeout === undefined ? {} : { StopTimeout: config.StopTimeout }),
  }
}

/** Bytes of /dev/shm. */
const SHM_SIZE = 64 * 1024 * 1024

function hostConfigOf(given: Json, told: ContainerInspection): Json {
  const network = given.NetworkMode || (typeof told.network === 'string' ? told.network : 'default')
  const logConfig = given.LogConfig as { Type?: string } | undefined
  return {
    Binds: null,
    ContainerIDFile: '',
    PortBindings: {},
    RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    AutoRemove: false,
    Privileged: false,
    ReadonlyRootfs: false,
    CapAdd: null,
    CapDrop: null,
    Dns: [],
    ExtraHosts: null,
    PidMode: '',
    ...given,
    // What a client leaves open, docker's own writes as empty values.
    LogConfig: logConfig?.Type ? logConfig : { Type: 'json-file', Config: {} },
    IpcMode: given.IpcMode || 'private',
    CgroupnsMode: given.CgroupnsMode || 'private',
    ShmSize: given.ShmSize || SHM_SIZE,
    Runtime: 'caisson',
    NetworkMode: network,
  }
}

function mountsOf({ mounts, volumes }: ContainerInspection): Json[] {
  const others = mounts.filter(({ type }) => type !== 'volume')
  return [
    ...volumes.map(({ name, target }) => {
      const mount = mounts.find((each) => each.target === target)
      return {
        Type: 'volume',
        Name: name,
        Source: '',
        Destination: target,
        Driver: 'local',
        Mode: '',
        RW: !mount?.readOnly,
        Propagation: '',
      }
    }),
    ...others.map(({ type, source = '', target, readOnly, propagation }) => ({
      Type: type,
      Source: source,
      Destination: target,
      Mode: readOnly ? 'ro' : '',
      RW: !readOnly,
      Propagation: type === 'bind' ? (propagation ?? 'rprivate') : '',
    })),
  ]
}

/** Of a network: what containers on it are told. */
export interface Gateway {
  id: string
  ipv4: { subnet: string; gateway: string }
  ipv6?: { subnet: string; gateway: string }
}

export function endpointsJson(
  endpoints: ContainerInspection['endpoints'],
  gateways: ReadonlyMap<string, Gateway>,
): Record<string, Json> {
  return Object.fromEntries(
    endpoints.map(({ network, ipv4, ipv6, mac, names }) => {
      const about = gateways.get(network)
      return [
        network,
        {
          IPAMConfig: null,
          Links: null,
          Aliases: null,
          MacAddress: mac,
          DriverOpts: null,
          NetworkID: about?.id ?? '',
          EndpointID: '',
          Gateway: about?.ipv4.gateway ?? '',
          IPAddress: ipv4,
          IPPrefixLen: prefixOf(about?.ipv4.subnet),
          IPv6Gateway: about?.ipv6?.gateway ?? '',
          GlobalIPv6Address: ipv6 ?? '',
          GlobalIPv6PrefixLen: prefixOf(about?.ipv6?.subnet),
          DNSNames: names,
        },
      ]
    }),
  )
}

function prefixOf(subnet: string | undefined): number {
  return Number(subnet?.split('/')[1] ?? 0)
}

function networkSettings(told: ContainerInspection, config: Json, gateways: ReadonlyMap<string, Gateway>): Json {
  const exposed = Object.keys((config.ExposedPorts as object | undefined) ?? {})
  const networks = endpointsJson(told.endpoints, gateways)
  // The fields of the default network are there twice, for old clients.
  const first = networks.bridge
  return {
    Bridge: '',
    SandboxID: '',
    SandboxKey: '',
    Ports: told.state.running ? portsOf(told.ports, exposed) : {},
    Gateway: first?.Gateway ?? '',
    IPAddress: first?.IPAddress ?? '',
    IPPrefixLen: first?.IPPrefixLen ?? 0,
    MacAddress: first?.MacAddress ?? '',
    Networks: networks,
  }
}

/** What this engine calls itself. */
export const engineName = () => `Caisson/${version()} (linux)`

/** What the engine is, and what happens in it. */
import { cpus, hostname, release, type as systemType, totalmem } from 'node:os'
import { Container } from '../container.js'
import { Image } from '../image.js'
import { roots } from '../util/roots.js'
import { version } from '../util/version.js'
import type { Call } from './call.js'
import type { EngineEvent } from './events.js'
import { Filters } from './filters.js'
import { momentOf } from './prune-time.js'
import type { Route } from './router.js'
import { API_MINIMUM, API_VERSION } from './versions.js'

export const systemRoutes: Route[] = [
  { method: 'GET', path: '/_ping', handler: ping },
  { method: 'HEAD', path: '/_ping', handler: ping },
  { method: 'GET', path: '/version', handler: tellVersion },
  { method: 'GET', path: '/info', handler: info },
  { method: 'GET', path: '/events', handler: events },
]

/** Architectures in Go's words. */
const ARCHITECTURES: Record<string, string> = { x64: 'amd64' }
const UNAMES: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' }

function ping({ response, request }: Call): void {
  response.writeHead(200, {
    'Builder-Version': '1',
    'Cache-Control': 'no-cache, no-store, must-revalidate',
    Pragma: 'no-cache',
    Swarm: 'inactive',
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': request.method === 'HEAD' ? 0 : 2,
  })
  response.end(request.method === 'HEAD' ? undefined : 'OK')
}

function tellVersion(call: Call): void {
  const about = {
    ApiVersion: API_VERSION,
    MinAPIVersion: API_MINIMUM,
    Os: 'linux',
    Arch: ARCHITECTURES[process.arch] ?? process.arch,
    KernelVersion: release(),
  }
  const Details = { ...about, GitCommit: '', GoVersion: '', BuildTime: '', Experimental: 'false' }
  call.json({
    Platform: { Name: 'caisson' },
    Components: [{ Name: 'Engine', Version: version(), Details }],
    Version: version(),
    ...about,
    GitCommit: '',
    GoVersion: '',
    BuildTime: '',
  })
}

async function info(call: Call): Promise<void> {
  const containers = (await Container.list()).filter(({ owner }) => owner === process.pid)
  const count = (...states: string[]) => containers.filter(({ state }) => states.includes(state)).length
  call.json({
    ID: '',
    Containers: containers.length,
    ContainersRunning: count('running'),
    ContainersPaused: count('paused'),
    ContainersStopped: count('created', 'exited'),
    Images: (await Image.list()).length,
    Driver: 'overlay2',
    DriverStatus: [],
    DockerRootDir: roots().data,
    Plugins: {
      Volume: ['local'],
      Network: ['bridge', 'host', 'null'],
      Authorization: null,
      Log: ['json-file', 'none'],
    },
    MemoryLimit: true,
    SwapLimit: true,
    CpuCfsPeriod: true,
    CpuCfsQuota: true,
    CPUShares: true,
    CPUSet: true,
    PidsLimit: true,
    IPv4Forwarding: true,
    OomKillDisable: false,
    Debug: false,
    NCPU: cpus().length,
    MemTotal: totalmem(),
    SystemTime: new Date().toISOString(),
    LoggingDriver: 'json-file',
    CgroupDriver: 'cgroupfs',
    KernelVersion: release(),
    OperatingSystem: systemType(),
    OSType: 'linux',
    Architecture: UNAMES[process.arch] ?? process.arch,
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: { InsecureRegistryCIDRs: [], IndexConfigs: {}, Mirrors: [] },
    Name: hostname(),
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: version(),
    Runtimes: { caisson: { path: 'caisson' } },
    DefaultRuntime: 'caisson',
    Swarm: { LocalNodeState: 'inactive' },
    LiveRestoreEnabled: false,
    SecurityOptions: ['name=seccomp,profile=builtin'],
    Warnings: null,
  })
}

const FILTERS = ['type', 'event', 'container', 'image', 'network', 'volume', 'label', 'scope', 'daemon']

async function events(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), FILTERS)
  const [since, until] = (['since', 'until'] as const).map((name) => {
    const text = call.text(name)
    return text === undefined ? undefined : momentOf(text, name)
  })
  const { past } = call.state.events
  const coming = call.state.events.coming(until === undefined ? call.gone : untilThen(call.gone, until))
  call.response.writeHead(200, { 'Content-Type': 'application/json' })
  call.response.flushHeaders()
  const tell = (event: EngineEvent) => {
    if (fits(event, filters)) call.response.write(`${JSON.stringify(event)}\n`)
  }
  if (since !== undefined)
    for (const event of past)
      if (event.timeNano / 1e6 >= since && event.timeNano / 1e6 <= (until ?? Number.POSITIVE_INFINITY)) tell(event)
  for await (const event of coming) {
    tell(event)
    // Whoever does not read would have all of them kept here.
    if (call.response.writableLength > BEHIND_MAX) break
  }
  call.response.end()
}

/** Bytes of events that a client may be behind. */
const BEHIND_MAX = 1024 * 1024

function untilThen(gone: AbortSignal, until: number): AbortSignal {
  const left = Math.min(Math.max(0, Math.ceil(until - Date.now())), 2 ** 31 - 1)
  return AbortSignal.any([gone, AbortSignal.timeout(left)])
}

function fits({ Type, Action, Actor: { ID, Attributes } }: EngineEvent, filters: Filters): boolean {
  const named = (name: string) =>
    filters.some(name, (value) => Type === name && (ID.startsWith(value) || Attributes.name === value))
  return (
    filters.some('type', (type) => type === Type) &&
    filters.some('event', (event) => Action === event || Action.startsWith(`${event}:`)) &&
    filters.some('image', (image) => Attributes.image === image || (Type === 'image' && Attributes.name === image)) &&
    filters.some('scope', (scope) => scope === 'local') &&
    filters.some('daemon', () => false) &&
    filters.labels(Attributes) &&
    named('container') &&
    named('network') &&
    named('volume')
  )
}

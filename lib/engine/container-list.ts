/** GET /containers/json: the containers of this process, the youngest first. */
import { Container } from '../container.js'
import type { Json } from '../spec/json.js'
import { ago } from '../util/ago.js'
import type { Call } from './call.js'
import { endpointsJson, statusOf } from './container-json.js'
import { badRequest } from './failure.js'
import { Filters } from './filters.js'
import { gatewaysOf } from './gateways.js'
import type { Kept } from './state.js'

const FILTERS = [
  'id',
  'name',
  'label',
  'status',
  'ancestor',
  'exited',
  'health',
  'network',
  'volume',
  'before',
  'since',
]
const STATES = ['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead']

export async function listContainers(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), FILTERS)
  for (const state of filters.get('status'))
    if (!STATES.includes(state)) throw badRequest(`invalid filter 'status=${state.slice(0, 100)}'`)
  const limit = call.whole('limit') ?? 0
  const all = call.flag('all') || limit > 0 || filters.get('status').length > 0 || filters.get('exited').length > 0
  const own = await ownContainers(call)
  const times = await timesOf(call, filters)
  const fitting = own.filter((kept) => (all || isUp(kept)) && fits(kept, filters, times))
  const list = limit > 0 ? fitting.slice(0, limit) : fitting
  const gateways = await gatewaysOf()
  call.json(list.map((kept) => summary(kept, gateways)))
}

/** Those of other processes are not this one's to work with. */
export async function ownContainers({ state }: Call): Promise<Kept[]> {
  const list = (await Container.list()).filter(({ owner }) => owner === process.pid)
  const found = await Promise.all(list.map(({ id }) => Container.get(id).catch(() => undefined)))
  return found.filter((each) => each !== undefined).map((container) => state.of(container))
}

function isUp({ container }: Kept): boolean {
  return container.state === 'running' || container.state === 'paused'
}

interface Times {
  before: number
  since: number
}

async function timesOf({ state }: Call, filters: Filters): Promise<Times> {
  const created = async (name: string) => (await state.find(name)).container.created.getTime()
  const before = await Promise.all(filters.get('before').map(created))
  const since = await Promise.all(filters.get('since').map(created))
  return { before: Math.min(...before, Number.POSITIVE_INFINITY), since: Math.max(...since, Number.NEGATIVE_INFINITY) }
}

function fits({ container, imageId, config }: Kept, filters: Filters, { before, since }: Times): boolean {
  const told = container.inspect()
  const created = told.created.getTime()
  const status = statusOf(told.state, container.restarting)
  return (
    created < before &&
    created > since &&
    filters.some('id', (id) => told.id.startsWith(id)) &&
    filters.some('name', (name) => matches(told.name, name)) &&
    filters.labels(told.labels) &&
    filters.some('status', (each) => each === status) &&
    filters.some('exited', (code) => !told.state.running && told.state.exitCode === Number(code)) &&
    filters.some('health', (health) => told.state.health === health) &&
    filters.some('network', (network) => told.endpoints.some((endpoint) => endpoint.network === network)) &&
    filters.some('volume', (volume) => told.volumes.some(({ name, target }) => name === volume || target === volume)) &&
    filters.some(
      'ancestor',
      (image) => config.Image === image || told.image === image || imageId.replace('sha256:', '').startsWith(image),
    )
  )
}

/** Docker takes a regular expression; one of a stranger's can take for ever, so that this is a part of the name. */
function matches(name: string, wanted: string): boolean {
  const [, start, text = '', end] = /^(\^?\/?)(.*?)(\$?)$/s.exec(wanted) ?? []
  if (start?.startsWith('^') && end === '$') return name === text
  if (start?.startsWith('^')) return name.startsWith(text)
  return end === '$' ? name.endsWith(text) : name.includes(text)
}

export function summary(kept: Kept, gateways: Awaited<ReturnType<typeof gatewaysOf>>): Json {
  const { container, imageId, config, hostConfig } = kept
  const told = container.inspect()
  return {
    Id: told.id,
    Names: [`/${told.name}`],
    Image: config.Image ?? told.image,
    ImageID: imageId,
    Command: told.command.join(' '),
    Created: Math.floor(told.created.getTime() / 1000),
    Ports: told.state.running
      ? told.ports.flatMap(({ container: inside, protocol, port, addresses }) =>
          addresses.map((IP) => ({ IP, PrivatePort: inside, PublicPort: port, Type: protocol })),
        )
      : [],
    Labels: told.labels,
    State: statusOf(told.state, container.restarting),
    Status: statusText(kept),
    HostConfig: { NetworkMode: hostConfig.NetworkMode ?? 'default' },
    NetworkSettings: { Networks: endpointsJson(told.endpoints, gateways) },
    Mounts: told.volumes.map(({ name, target }) => ({ Type: 'volume', Name: name, Destination: target, RW: true })),
  }
}

/** As docker ps prints it. */
function statusText({ container }: Kept): string {
  const { state } = container.inspect()
  const since = (time: Date | null) => ago(time ?? new Date())
  if (container.restarting) return `Restarting (${state.exitCode ?? 0}) ${since(state.finishedAt)} ago`
  if (state.status === 'created') return 'Created'
  if (!state.running) return `Exited (${state.exitCode ?? 0}) ${since(state.finishedAt)} ago`
  const health = state.health === 'none' ? '' : ` (${state.health === 'starting' ? 'health: starting' : state.health})`
  return `Up ${since(state.startedAt)}${state.paused ? ' (Paused)' : health}`
}

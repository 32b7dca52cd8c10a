/** Networks. */
import { CaissonError } from '../errors.js'
import type { NetworkOptions } from '../network/make.js'
import { Network } from '../network.js'
import type { Fields } from '../spec/fields.js'
import type { Json } from '../spec/json.js'
import { fieldsOf, requiredFields } from './body.js'
import type { Call } from './call.js'
import { ApiError, badRequest, notImplemented } from './failure.js'
import { Filters } from './filters.js'
import { endpointOf } from './network-values.js'
import type { Route } from './router.js'

export const networkRoutes: Route[] = [
  { method: 'GET', path: '/networks', handler: list },
  { method: 'POST', path: '/networks/create', handler: create },
  { method: 'POST', path: '/networks/prune', handler: prune },
  { method: 'GET', path: '/networks/{id}', handler: inspect },
  { method: 'DELETE', path: '/networks/{id}', handler: remove },
  { method: 'POST', path: '/networks/{id}/connect', handler: connect },
  { method: 'POST', path: '/networks/{id}/disconnect', handler: disconnect },
]

const DEFAULT_NETWORK = 'bridge'
const MTU = 'com.docker.network.driver.mtu'

/** Throws 404 in Docker's words. */
export async function findNetwork(nameOrId: string): Promise<Network> {
  try {
    return await Network.get(nameOrId)
  } catch (error) {
    if (!(error instanceof CaissonError) || error.code !== 'ERR_CAISSON_NETWORK_NOT_FOUND') throw error
    throw new ApiError(404, `network ${nameOrId.slice(0, 200)} not found`)
  }
}

async function list(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), ['name', 'id', 'label', 'driver', 'type', 'scope', 'dangling'])
  // The default one is there without having been made.
  const bridge = await findNetwork(DEFAULT_NETWORK)
  const others = (await Network.list()).filter(({ name }) => name !== DEFAULT_NETWORK)
  const custom = ({ name }: Network) => (name === DEFAULT_NETWORK ? 'builtin' : 'custom')
  const fitting = [bridge, ...others].filter(
    (network) =>
      filters.some('name', (name) => network.name.includes(name)) &&
      filters.some('id', (id) => network.id.startsWith(id)) &&
      filters.some('driver', (driver) => driver === network.driver) &&
      filters.some('type', (type) => type === custom(network)) &&
      filters.some('scope', (scope) => scope === 'local') &&
      filters.labels(network.labels),
  )
  call.json(await Promise.all(fitting.map((network) => networkJson(network, call))))
}

async function inspect(call: Call): Promise<void> {
  call.json(await networkJson(await findNetwork(call.parameter('id')), call))
}

async function networkJson(network: Network, { state }: Call): Promise<Json> {
  const told = await network.inspect()
  const subnets = [told.ipv4, ...(told.ipv6 ? [told.ipv6] : [])]
  const containers = await Promise.all(
    told.containers.map(async ({ id, ipv4, ipv6, mac }) => {
      const kept = await state.find(id).catch(() => undefined)
      const [four, six] = [told.ipv4, told.ipv6].map((each) => each?.subnet.split('/')[1] ?? '')
      const address = { IPv4Address: `${ipv4}/${four}`, IPv6Address: ipv6 === undefined ? '' : `${ipv6}/${six}` }
      return [id, { Name: kept?.container.name ?? '', EndpointID: '', MacAddress: mac, ...address }]
    }),
  )
  return {
    Name: told.name,
    Id: told.id,
    Created: told.created,
    Scope: 'local',
    Driver: told.driver,
    EnableIPv4: true,
    EnableIPv6: told.ipv6 !== undefined,
    IPAM: {
      Driver: 'default',
      Options: null,
      Config: subnets.map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway })),
    },
    Internal: told.internal,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(containers),
    Options: told.mtu === undefined ? {} : { [MTU]: String(told.mtu) },
    Labels: told.labels,
  }
}

async function create(call: Call): Promise<void> {
  const body = await requiredFields(call)
  const options = networkOptions(body)
  const network = await Network.create(options)
  call.state.events.tell('network', 'create', network.id, { name: network.name, type: network.driver })
  call.json({ Id: network.id, Warning: '' }, 201)
}

/** What is asked for and not there is refused. */
export function networkOptions(body: Fields): NetworkOptions {
  const driver = body.text('Driver') || 'bridge'
  if (driver !== 'bridge') throw notImplemented(`the network driver ${driver}`)
  for (const name of ['Ingress', 'ConfigOnly']) if (body.boolean(name)) throw notImplemented(`${name} of networks`)
  const { [MTU]: mtu, ...others } = body.map('Options') ?? {}
  const [other] = Object.keys(others)
  if (other !== undefined) throw notImplemented(`the network option ${other}`)
  const ipam = fieldsOf(body.object('IPAM'), 'IPAM.')
  const pools = (ipam.objects('Config') ?? []).map((each) => fieldsOf(each, 'IPAM.Config.'))
  const subnets = pools.map((pool) => ({
    subnet: pool.text('Subnet') || undefined,
    gateway: pool.text('Gateway') || undefined,
  }))
  for (const pool of pools) if (pool.text('IPRange')) throw notImplemented('IPAM.Config.IPRange')
  const four = subnets.filter(({ subnet }) => !subnet?.includes(':'))
  const six = subnets.filter(({ subnet }) => subnet?.includes(':'))
  if (four.length > 1 || six.length > 1) throw badRequest('IPAM.Config: there is one subnet of each version')
  if (body.boolean('EnableIPv4') === false) throw notImplemented('a network without IPv4')
  const ipv6 = six[0]?.subnet ?? body.boolean('EnableIPv6')
  const options: NetworkOptions = {
    name: body.requiredText('Name'),
    subnet: four[0]?.subnet,
    gateway: four[0]?.gateway,
    ipv6: ipv6 === false ? undefined : ipv6,
    internal: body.boolean('Internal'),
    labels: body.map('Labels'),
    mtu: mtu === undefined ? undefined : Number(mtu),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

async function remove(call: Call): Promise<void> {
  const network = await findNetwork(call.parameter('id'))
  if (network.name === DEFAULT_NETWORK) throw new ApiError(403, `${DEFAULT_NETWORK} is a pre-defined network`)
  await network.remove()
  call.state.events.tell('network', 'destroy', network.id, { name: network.name, type: network.driver })
  call.empty()
}

async function connect(call: Call): Promise<void> {
  const network = await findNetwork(call.parameter('id'))
  const body = await requiredFields(call)
  const { container } = await call.state.find(body.requiredText('Container'))
  await network.connect(container, endpointOf(body.object('EndpointConfig')))
  call.state.events.tell('network', 'connect', network.id, { container: container.id, name: network.name })
  call.empty(200)
}

async function disconnect(call: Call): Promise<void> {
  const network = await findNetwork(call.parameter('id'))
  const body = await requiredFields(call)
  const { container } = await call.state.find(body.requiredText('Container'))
  await network.disconnect(container)
  call.state.events.tell('network', 'disconnect', network.id, { container: container.id, name: network.name })
  call.empty(200)
}

async function prune(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), ['label'])
  const labels = filters.get('label').map((each) => /^([^=]*)=(.*)$/s.exec(each))
  if (labels.some((each) => each === null)) throw notImplemented('a prune by labels without values')
  const wanted = Object.fromEntries(labels.map((each) => [each?.[1] ?? '', each?.[2] ?? '']))
  call.json({ NetworksDeleted: await Network.prune({ labels: wanted }) })
}

/** From options to the networks of a container; and which containers of this process are on which. */
import { CaissonError, invalidArgument } from '../../errors.js'
import { networkNotFound } from '../../network/active.js'
import { formatAddress, parseAddress } from '../../network/addresses.js'
import { Attachment } from '../../network/attachment.js'
import { DEFAULT_NETWORK, type NetworkDefinition, readDefinition } from '../../network/definition.js'
import { EgressNetwork } from '../../network/egress/network.js'
import type { EgressOption } from '../../network/egress/request.js'
import { ENDPOINT_OPTIONS, type Endpoint, type EndpointOptions } from '../../network/endpoint.js'
import { withExposed } from '../../network/exposed-ports.js'
import { defineNetwork } from '../../network/make.js'
import { placeBeside } from '../../network/place.js'
import { checkPorts } from '../../network/ports.js'
import { checkDnsWords, hostServers } from '../../network/resolv-conf.js'
import type { ContainerOptions } from '../../options.js'
import type { ImageConfig } from '../../spec/image.js'
import type { ChosenNamespaces } from '../options/choose-namespaces.js'
import { captiveNamespace } from '../process/captive.js'
import { createNamespace } from '../process/namespaces.js'
import type { Owner } from '../process/owner.js'
import { checkOuterNetwork, makeOuterNetwork } from '../user/outer-network.js'

/** Bridges, or a way out that a policy is asked about. */
export type ContainerNetwork = Attachment | EgressNetwork

const attachments = new Map<string, ContainerNetwork>()

export function attachmentsOn(network: string): Array<{ id: string; endpoint: Endpoint }> {
  return [...attachments].flatMap(([id, { endpoints }]) =>
    endpoints.filter((endpoint) => endpoint.network.id === network).map((endpoint) => ({ id, endpoint })),
  )
}

/** A Network, by what it has and other objects do not. */
export function isNetwork(value: unknown): value is { readonly definition: NetworkDefinition } {
  return typeof value === 'object' && value !== null && 'definition' in value && 'driver' in value
}

/** The container gets a network namespace of its own that is connected with others. */
export function isBridged({ network, networks }: ContainerOptions): boolean {
  if ((networks?.length ?? 0) > 0) return true
  return typeof network === 'string' ? network !== 'none' && network !== 'host' : isNetwork(network)
}

interface Who {
  id: string
  name?: string
  hostname?: string
  /** Of the image's configuration: whatever it says. */
  exposed?: ImageConfig['ExposedPorts']
}

/** undefined: it is on none. Addresses are taken; devices come with `start`. */
export async function attach(
  options: ContainerOptions,
  holder: Owner,
  who: Who,
): Promise<ContainerNetwork | undefined> {
  if (options.egress !== undefined) return attachEgress(options.egress, options, holder, who)
  const ports = checkPorts(withExposed(options, who.exposed))
  if (!isBridged(options)) {
    if (ports.length === 0 && !options.publishAllPorts) return undefined
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'ports: the container is on no network', {
      stage: 'options',
      hint: 'Give it network: "bridge"; with "host" its ports are the host\'s, and container.connect(port) needs none.',
    })
  }
  if (holder.isolation.tier !== 'namespaces')
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', 'bridge networks need namespaces', {
      stage: 'network',
      hint: 'Use network: "none", or network: "host". caisson doctor says what keeps namespaces away.',
    })
  await ready(options, holder)
  const networks = await requested(options, holder)
  const names = [who.name, who.hostname, who.id.slice(0, 12)].filter((name) => name !== undefined)
  const own = names.map((name) => name.toLowerCase())
  const host = await hostServers()
  const given = checkDnsWords(options)
  const made = await Attachment.make({
    user: holder,
    names: own,
    networks,
    ports,
    label: who.name ?? who.id.slice(0, 12),
    servers: options.dns?.length ? checkServers(options.dns) : host.servers,
    search: given.search ?? host.search,
    resolverOptions: given.options ?? host.options,
  })
  attachments.set(who.id, made)
  return made
}

function attachEgress(
  policy: EgressOption,
  options: ContainerOptions,
  { isolation }: Owner,
  { id, name }: Who,
): EgressNetwork {
  if (isolation.tier !== 'namespaces')
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', 'egress policies need a network namespace', {
      stage: 'network',
      hint: 'Leave network out as well: then Landlock lets nothing out. "caisson doctor" says why there are no namespaces.',
    })
  const { search, options: resolverOptions } = checkDnsWords(options)
  const container = name === undefined ? { id } : { id, name }
  const made = new EgressNetwork({ policy, container, dns: options.dns, search, resolverOptions })
  attachments.set(id, made)
  return made
}

/** An ordinary user's networks are not on the host. */
async function ready(options: ContainerOptions, { ordinary, ...holder }: Owner): Promise<void> {
  if (!ordinary) return
  checkOuterNetwork(options, holder)
  await makeOuterNetwork({ ...holder, ordinary })
}

/** Why networks of an ordinary user do not lead out of this machine; undefined: they do. */
export async function refusalOfWorld(holder: Owner): Promise<CaissonError | undefined> {
  try {
    await ready({}, holder)
    await placeBeside()?.reachWorld()
    return undefined
  } catch (error) {
    if (error instanceof CaissonError) return error
    throw error
  }
}

function checkServers(dns: readonly string[]): string[] {
  return dns.map((server, i) => {
    const address = parseAddress(server)
    if (!address) throw invalidArgument(`dns[${i}]`, server, 'an address')
    return formatAddress(address)
  })
}

/** Makes and connects the namespace for a run. */
export async function startAttachment(
  attachment: ContainerNetwork,
  namespaces: Pick<ChosenNamespaces, 'join'> | undefined,
): Promise<void> {
  const user = namespaces?.join.find(({ type }) => type === 'user')
  if (attachment instanceof EgressNetwork) return attachment.start(() => captiveNamespace(user?.handle))
  // What the container may do to its network follows from the user namespace that this belongs to.
  if (!user) return attachment.start()
  await attachment.start(
    async () => (await createNamespace('net', { user: { ...user.handle, type: 'user', inode: 0 } })).fd,
  )
}

export async function releaseAttachment(id: string): Promise<void> {
  const attachment = attachments.get(id)
  attachments.delete(id)
  await attachment?.release()
}

type Requested = { network: NetworkDefinition; options: EndpointOptions }

async function requested({ network, networks = [] }: ContainerOptions, holder: Owner): Promise<Requested[]> {
  const list: Requested[] = []
  if (typeof network === 'string' || isNetwork(network))
    list.push({ network: await definitionOf(network, 'network', holder), options: {} })
  if (!Array.isArray(networks)) throw invalidArgument('networks', networks, 'an array')
  for (const [i, each] of networks.entries()) {
    const option = `networks[${i}]`
    if (typeof each === 'string' || isNetwork(each)) {
      list.push({ network: await definitionOf(each, option, holder), options: {} })
      continue
    }
    if (typeof each !== 'object' || each === null)
      throw invalidArgument(option, each, 'a Network, a name, or an object')
    const { network: inner, ...options } = each
    for (const key in options)
      if (!Object.hasOwn(ENDPOINT_OPTIONS, key))
        throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `there is no option ${option}.${key}`, {
          stage: 'options',
          hint: `There are: network, ${Object.keys(ENDPOINT_OPTIONS).join(', ')}.`,
        })
    list.push({ network: await definitionOf(inner, `${option}.network`, holder), options })
  }
  return list
}

async function definitionOf(value: unknown, option: string, holder: Owner): Promise<NetworkDefinition> {
  if (isNetwork(value)) return value.definition
  if (typeof value !== 'string' || value === '' || value === 'none' || value === 'host')
    throw invalidArgument(option, value, 'a Network or the name of one')
  if (value === DEFAULT_NETWORK) return defineNetwork({ name: DEFAULT_NETWORK }, holder, true)
  const found = /^[a-zA-Z0-9_.-]+$/.test(value) ? await readDefinition(value) : undefined
  if (!found) throw networkNotFound(value)
  return found
}

/** One container on one network: its addresses there, its names, and the devices that connect it. */
import { randomBytes } from 'node:crypto'
import { CaissonError, invalidArgument } from '../errors.js'
import type { NativeWire } from '../native/network.js'
import { activate, type NetworkUser } from './active.js'
import { formatAddress, formatSubnet, parseAddress, parseSubnet } from './addresses.js'
import { DEFAULT_NETWORK, type NetworkDefinition } from './definition.js'
import { Leases } from './leases.js'
import { addNames, checkHostName, removeNames } from './names.js'
import { isHost } from './subnets.js'

/** How a container is on a network; what is left out is chosen. */
export interface EndpointOptions {
  /** Further names, beside the container's own. Not on the default network, which has no names. */
  aliases?: readonly string[]
  ipv4?: string
  ipv6?: string
  mac?: string
}

export interface Endpoint {
  network: NetworkDefinition
  /** Of the port on the bridge. */
  device: string
  /** Of the device in the container. */
  inside: string
  mac: string
  ipv4: string
  ipv6?: string
  /** The container's own, then its aliases here; none on the default network. */
  names: readonly string[]
  aliases: readonly string[]
}

export const ENDPOINT_OPTIONS = { aliases: true, ipv4: true, ipv6: true, mac: true } as const

/** Takes addresses, and brings the network up. `index` numbers the devices inside. */
export async function takeEndpoint(
  network: NetworkDefinition,
  options: EndpointOptions,
  { user, names, index }: { user: NetworkUser; names: readonly string[]; index: number },
): Promise<Endpoint> {
  const known = network.name !== DEFAULT_NETWORK
  if (!known && (options.aliases?.length ?? 0) > 0)
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'aliases: the default network has no names', {
      stage: 'options',
      hint: 'Make a network of your own: Network.create({ name }).',
    })
  const aliases = (options.aliases ?? []).map((alias, i) => checkHostName(alias, `aliases[${i}]`))
  checkAddress(options.ipv4, 'ipv4', network.ipv4, network.name)
  if (options.ipv6 !== undefined) {
    if (!network.ipv6)
      throw invalidArgument('ipv6', options.ipv6, `possible on network ${network.name}, which has no IPv6`)
    checkAddress(options.ipv6, 'ipv6', network.ipv6, network.name)
  }
  const mac = options.mac === undefined ? undefined : checkMac(options.mac)
  await activate(network, user)
  const leases = new Leases(network, user.run)
  let ipv4 = options.ipv4
  if (ipv4 === undefined) ipv4 = await leases.next()
  else await leases.take(ipv4)
  let ipv6: string | undefined
  try {
    if (network.ipv6) {
      ipv6 = options.ipv6 ?? besides(network, ipv4)
      await leases.take(ipv6)
    }
  } catch (error) {
    await leases.release(ipv4)
    throw error
  }
  return {
    network,
    device: newDevice(),
    inside: `eth${index}`,
    mac: mac ?? macOf(ipv4),
    ipv4,
    ipv6,
    names: known ? [...new Set([...names, ...aliases])] : [],
    aliases,
  }
}

/** Other names of the container's own. `told`: they are told to others at present, and change there as well. */
export async function renameEndpoint(
  endpoint: Endpoint,
  own: readonly string[],
  { user, told }: { user: NetworkUser; told: boolean },
): Promise<void> {
  const { names: before, aliases } = endpoint
  if (before.length === 0) return
  const names = [...new Set([...own, ...aliases])]
  const more = { ...endpoint, names: names.filter((name) => !before.includes(name)) }
  // The new ones first: whoever asks finds it at every moment.
  if (told)
    await nameEndpoint(more, user).catch(async (error) => {
      await unnameEndpoint(more)
      throw error
    })
  endpoint.names = names
  if (told) await unnameEndpoint({ ...endpoint, names: before.filter((name) => !names.includes(name)) })
}

/** One for each run: the kernel needs a moment to take the last one's away. */
export function newDevice(): string {
  return `cnp-${randomBytes(5).toString('hex')}`
}

export async function releaseEndpoint({ network, ipv4, ipv6 }: Endpoint, user: NetworkUser): Promise<void> {
  const leases = new Leases(network, user.run)
  await leases.release(ipv4)
  if (ipv6) await leases.release(ipv6)
}

export async function nameEndpoint({ network, names, ipv4, ipv6 }: Endpoint, user: NetworkUser): Promise<void> {
  await addNames(network.id, names, ipv6 ? [ipv4, ipv6] : [ipv4], user.run)
}

export async function unnameEndpoint({ network, names, ipv4, ipv6 }: Endpoint): Promise<void> {
  await removeNames(network.id, names, ipv6 ? [ipv4, ipv6] : [ipv4])
}

/** Packets to everywhere leave by the first network that leads there. */
export function wireOf(endpoint: Endpoint, wayOut: boolean): NativeWire {
  const { network, device, inside, mac, ipv4, ipv6 } = endpoint
  const addresses = [`${ipv4}/${network.ipv4.subnet.split('/')[1]}`]
  if (ipv6 && network.ipv6) addresses.push(`${ipv6}/${network.ipv6.subnet.split('/')[1]}`)
  // From an internal one nothing leads anywhere: programs learn that at once.
  const gateways =
    wayOut && !network.internal ? [network.ipv4.gateway, ...(network.ipv6 ? [network.ipv6.gateway] : [])] : []
  return {
    name: device,
    bridge: network.bridge,
    inside,
    mac,
    mtu: network.mtu,
    bigTcp: network.bigTcp,
    addresses,
    gateways,
  }
}

export function portRuleOf({ device, mac, ipv4, ipv6, network }: Endpoint) {
  return { name: device, mac, bridge: network.bridge, addresses: ipv6 ? [ipv4, ipv6] : [ipv4] }
}

function checkAddress(
  asked: unknown,
  option: string,
  { subnet, gateway }: { subnet: string; gateway: string },
  name: string,
): void {
  if (asked === undefined) return
  const address = parseAddress(asked)
  const range = parseSubnet(subnet, 'subnet')
  if (!address || !isHost(range, address))
    throw invalidArgument(option, asked, `an address of network ${name} (${formatSubnet(range)})`)
  if (formatAddress(address) === gateway) throw invalidArgument(option, asked, 'free: it is the gateway')
  if (formatAddress(address) !== asked) throw invalidArgument(option, asked, `written ${formatAddress(address)}`)
}

/** Not that of a group, nor of nobody. */
function checkMac(mac: unknown): string {
  const valid = typeof mac === 'string' && /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)
  if (!valid || Number.parseInt(mac.slice(0, 2), 16) & 1 || /^(00:){5}00$/.test(mac))
    throw invalidArgument('mac', mac, 'a hardware address such as 02:00:00:00:00:01')
  return mac.toLowerCase()
}

/** Follows from the address, so that neighbours' tables stay right when it goes to another container. */
function macOf(ipv4: string): string {
  const bytes = ipv4.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))
  return ['02', 'ca', ...bytes].join(':')
}

/** The same place in the other subnet; its first address is the gateway there too. */
function besides(network: NetworkDefinition, ipv4: string): string {
  const four = parseSubnet(network.ipv4.subnet, 'subnet')
  const six = parseSubnet(network.ipv6?.subnet, 'ipv6')
  const offset = (parseAddress(ipv4)?.value ?? 0n) - four.base
  const address = { family: 6 as const, value: six.base + offset + 0x100n }
  if (isHost(six, address)) return formatAddress(address)
  throw new CaissonError('ERR_CAISSON_RESOURCE_EXHAUSTED', `network ${network.name} has no free IPv6 address`, {
    stage: 'network',
    hint: 'Give the endpoint an address of its own (ipv6), or the network a larger IPv6 subnet.',
  })
}

/** Which subnets a new network gets: those that it asks for, or free ones. */
import { randomBytes } from 'node:crypto'
import { CaissonError, invalidArgument } from '../errors.js'
import {
  type Address,
  bitsOf,
  contains,
  formatAddress,
  formatSubnet,
  overlap,
  parseAddress,
  parseSubnet,
  type Subnet,
  sizeOf,
} from './addresses.js'

/** Private ranges (RFC 1918) that few hosts use, cut into networks of 1022 addresses. Docker and Podman begin elsewhere. */
const POOLS = ['10.213.0.0/16', '10.214.0.0/16', '172.29.0.0/16', '192.168.192.0/18'].map((text) =>
  parseSubnet(text, 'pool'),
)
const POOL_PREFIX = 22
/** Below that there is no address for a container beside the gateway. */
const LONGEST_PREFIX = { 4: 30, 6: 126 }

/** What is in use: by the host's routes and addresses, and by other networks. */
export interface Occupied {
  subnet: Subnet
  by: string
}

export interface ChosenSubnet {
  subnet: string
  gateway: string
}

/** A given one must not overlap anything; without one, the first that does not. */
export function chooseIpv4(asked: unknown, gateway: unknown, occupied: readonly Occupied[]): ChosenSubnet {
  if (asked !== undefined) return given(asked, gateway, 4, 'subnet', occupied)
  if (gateway !== undefined) throw invalidArgument('gateway', gateway, 'given together with subnet')
  for (const pool of POOLS)
    for (let base = pool.base; base < pool.base + sizeOf(pool); base += 1n << BigInt(32 - POOL_PREFIX)) {
      const subnet: Subnet = { family: 4, base, prefix: POOL_PREFIX }
      if (!occupied.some((each) => overlap(each.subnet, subnet))) return withGateway(subnet)
    }
  throw new CaissonError('ERR_CAISSON_RESOURCE_EXHAUSTED', 'there is no free subnet for another network', {
    stage: 'network',
    hint: 'Remove networks that are not needed (Network.list), or give { subnet }.',
  })
}

/** `true`: a unique local subnet (RFC 4193), whose 40 random bits nobody else has. */
export function chooseIpv6(asked: unknown, occupied: readonly Occupied[]): ChosenSubnet | undefined {
  if (asked === undefined || asked === false) return undefined
  if (asked !== true) return given(asked, undefined, 6, 'ipv6', occupied)
  const random = BigInt(`0x${randomBytes(5).toString('hex')}`)
  return withGateway({ family: 6, base: ((0xfdn << 40n) | random) << 80n, prefix: 64 })
}

function given(
  asked: unknown,
  gateway: unknown,
  family: 4 | 6,
  option: string,
  occupied: readonly Occupied[],
): ChosenSubnet {
  const subnet = parseSubnet(asked, option)
  const longest = LONGEST_PREFIX[family]
  if (subnet.family !== family) throw invalidArgument(option, asked, `a subnet of IPv${family}`)
  if (subnet.prefix > longest || subnet.prefix < 8)
    throw invalidArgument(option, asked, `a subnet with a prefix from 8 to ${longest}`)
  if (isReserved(subnet)) throw invalidArgument(option, asked, 'a subnet that hosts can have')
  const other = occupied.find((each) => overlap(each.subnet, subnet))
  if (other)
    throw new CaissonError(
      'ERR_CAISSON_SUBNET_IN_USE',
      `${option}: ${formatSubnet(subnet)} overlaps ${formatSubnet(other.subnet)} of ${other.by}`,
      { stage: 'network', hint: `Choose another subnet, or leave ${option} out to get a free one.` },
    )
  if (gateway === undefined) return withGateway(subnet)
  const address = parseAddress(gateway)
  if (!address || !isHost(subnet, address))
    throw invalidArgument('gateway', gateway, `an address of ${formatSubnet(subnet)}`)
  return { subnet: formatSubnet(subnet), gateway: formatAddress(address) }
}

/** Loopback, link-local, multicast. */
function isReserved(subnet: Subnet): boolean {
  const never = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/8', 'fe80::/10', 'ff00::/8']
  return never.some((text) => overlap(parseSubnet(text, 'reserved'), subnet))
}

function withGateway(subnet: Subnet): ChosenSubnet {
  const gateway = formatAddress({ family: subnet.family, value: subnet.base + 1n })
  return { subnet: formatSubnet(subnet), gateway }
}

/** Neither the network itself nor its broadcast address. */
export function isHost(subnet: Subnet, address: Address): boolean {
  if (!contains(subnet, address) || address.value === subnet.base) return false
  return subnet.family === 6 || address.value !== subnet.base + sizeOf(subnet) - 1n
}

/** From the addresses and routes of the host. The whole of a family is nobody's in particular. */
export function occupiedBy(network: string, by: string): Occupied | undefined {
  const [host, length] = network.split('/')
  const address = parseAddress(host)
  const prefix = Number(length)
  if (!address || prefix === 0) return undefined
  const rest = BigInt(bitsOf(address.family) - prefix)
  return { by, subnet: { family: address.family, prefix, base: (address.value >> rest) << rest } }
}

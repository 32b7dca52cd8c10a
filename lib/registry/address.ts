/** Kinds of IP addresses: what a registry elsewhere has no business to send us to. Pure. */
import { BlockList, isIP, isIPv6 } from 'node:net'

/** From the outside in; `special` is what no server has: unspecified, multicast, reserved, metadata services. */
export type AddressKind = 'public' | 'private' | 'loopback' | 'special'

type Subnet = [address: string, prefix: number, family: 'ipv4' | 'ipv6']

function listOf(...subnets: Subnet[]): BlockList {
  const list = new BlockList()
  for (const [address, prefix, family] of subnets) list.addSubnet(address, prefix, family)
  return list
}

/** Link-local addresses are those of the metadata services of clouds; some have theirs elsewhere. */
const SPECIAL = listOf(
  ['0.0.0.0', 8, 'ipv4'],
  ['169.254.0.0', 16, 'ipv4'],
  ['100.100.100.200', 32, 'ipv4'],
  ['168.63.129.16', 32, 'ipv4'],
  ['192.0.0.0', 24, 'ipv4'],
  ['224.0.0.0', 3, 'ipv4'],
  ['::', 128, 'ipv6'],
  ['fe80::', 10, 'ipv6'],
  ['fec0::', 10, 'ipv6'],
  ['fd00:ec2::', 32, 'ipv6'],
  ['fd20:ce::254', 128, 'ipv6'],
  ['fd00:c1::a9fe:a9fe', 128, 'ipv6'],
  ['fd00:42::42', 128, 'ipv6'],
  ['ff00::', 8, 'ipv6'],
)
const LOOPBACK = listOf(['127.0.0.0', 8, 'ipv4'], ['::1', 128, 'ipv6'])
const PRIVATE = listOf(
  ['10.0.0.0', 8, 'ipv4'],
  ['172.16.0.0', 12, 'ipv4'],
  ['192.168.0.0', 16, 'ipv4'],
  ['100.64.0.0', 10, 'ipv4'],
  ['198.18.0.0', 15, 'ipv4'],
  ['fc00::', 7, 'ipv6'],
)

/** Of an IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4), that address; else the text itself. */
function unwrapped(address: string): string {
  if (!isIPv6(address)) return address
  const groups = expand(address)
  const dotted = (high: number, low: number) => [high >> 8, high & 255, low >> 8, low & 255].join('.')
  const [a, b, c, d, e, f, g, h] = groups as [number, number, number, number, number, number, number, number]
  const zeros = a === 0 && b === 0 && c === 0 && d === 0 && e === 0
  if (zeros && (f === 0xffff || (f === 0 && g !== 0))) return dotted(g, h)
  if (a === 0x64 && b === 0xff9b && c === 0 && d === 0 && e === 0 && f === 0) return dotted(g, h)
  if (a === 0x2002) return dotted(b, c)
  return address
}

/** The eight groups of an IPv6 address. */
function expand(address: string): number[] {
  const plain = address
    .replace(/%.*$/, '')
    .replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
      [a * 256 + Number(b), c * 256 + Number(d)].map((group) => group.toString(16)).join(':'),
    )
  const [head = '', tail] = plain.split('::')
  const numbers = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)))
  const left = numbers(head)
  if (tail === undefined) return left
  const right = numbers(tail)
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
}

/** Of an IP address, without brackets; anything else is `special`. */
export function addressKind(text: string): AddressKind {
  const address = unwrapped(text)
  const family = isIP(address)
  if (family === 0) return 'special'
  const type = family === 6 ? 'ipv6' : 'ipv4'
  const plain = address.replace(/%.*$/, '')
  if (SPECIAL.check(plain, type)) return 'special'
  if (LOOPBACK.check(plain, type)) return 'loopback'
  if (PRIVATE.check(plain, type)) return 'private'
  return 'public'
}

const DEPTH: Record<Exclude<AddressKind, 'special'>, number> = { public: 0, private: 1, loopback: 2 }

/**
 * Whether what was said by a server of kind `from` may lead to an address of kind `to`: never further in than where the
 * server itself is, since it could not go there by itself.
 */
export function mayLeadTo(from: AddressKind, to: AddressKind): boolean {
  return to !== 'special' && DEPTH[to] <= (from === 'special' ? 0 : DEPTH[from])
}

/** The outer of two kinds of addresses: who was led through the outside stays outside. */
export function outermost(a: AddressKind, b: AddressKind): AddressKind {
  const depth: AddressKind[] = ['special', 'public', 'private', 'loopback']
  return depth.indexOf(a) <= depth.indexOf(b) ? a : b
}

/** `10.0.0.0/8`, or a single address. Undefined for a text that is neither. */
export function parseSubnet(text: string): BlockList | undefined {
  const [address = '', prefix, rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest !== undefined) return undefined
  const bits = prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix)
  if (prefix === '' || !Number.isInteger(bits) || bits < 0 || bits > (family === 6 ? 128 : 32)) return undefined
  return listOf([address, bits, family === 6 ? 'ipv6' : 'ipv4'])
}

/** Whether an address lies in a subnet. */
export function inSubnet(subnet: BlockList, address: string): boolean {
  const plain = unwrapped(address)
  const family = isIP(plain)
  return family !== 0 && subnet.check(plain.replace(/%.*$/, ''), family === 6 ? 'ipv6' : 'ipv4')
}

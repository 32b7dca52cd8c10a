/** Addresses and subnets of IPv4 and IPv6, as numbers. Pure. */
import { isIPv4, isIPv6 } from 'node:net'
import { invalidArgument } from '../errors.js'

export type Family = 4 | 6

export interface Subnet {
  family: Family
  /** The lowest address. */
  base: bigint
  prefix: number
}

export interface Address {
  family: Family
  value: bigint
}

export const bitsOf = (family: Family): number => (family === 4 ? 32 : 128)

/** undefined: it is none. Zones (`%eth0`) are of links, and no part of an address here. */
export function parseAddress(text: unknown): Address | undefined {
  if (typeof text !== 'string') return undefined
  if (isIPv4(text)) return { family: 4, value: fromV4(text) }
  if (!isIPv6(text) || text.includes('%')) return undefined
  let whole = text
  const last = text.slice(text.lastIndexOf(':') + 1)
  if (isIPv4(last)) {
    const value = fromV4(last)
    whole = `${text.slice(0, -last.length)}${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`
  }
  const [head = '', tail] = whole.split('::')
  const words = (part: string) => (part === '' ? [] : part.split(':'))
  const [before, after] = [words(head), words(tail ?? '')]
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const all = [...before, ...Array<string>(zeros).fill('0'), ...after]
  return { family: 6, value: all.reduce((sum, word) => (sum << 16n) | BigInt(`0x${word}`), 0n) }
}

function fromV4(text: string): bigint {
  return text.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n)
}

/** As RFC 5952 writes them. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.')
  const words = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn))
  let best = { at: -1, length: 1 }
  for (let i = 0; i < 8; i++) {
    let length = 0
    while (i + length < 8 && words[i + length] === 0) length++
    if (length > best.length) best = { at: i, length }
  }
  const text = (part: number[]) => part.map((word) => word.toString(16)).join(':')
  if (best.at < 0) return text(words)
  return `${text(words.slice(0, best.at))}::${text(words.slice(best.at + best.length))}`
}

/** `10.1.2.0/24`; bits below the prefix are an error, as they say that something else was meant. */
export function parseSubnet(text: unknown, option: string): Subnet {
  const wanted = 'a subnet such as 10.1.2.0/24'
  if (typeof text !== 'string') throw invalidArgument(option, text, wanted)
  const [, host, length] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? []
  const address = parseAddress(host)
  const prefix = Number(length)
  if (!address || prefix > bitsOf(address.family)) throw invalidArgument(option, text, wanted)
  const subnet = subnetOf(address, prefix)
  if (subnet.base !== address.value)
    throw invalidArgument(option, text, `a subnet (the one of this address is ${formatSubnet(subnet)})`)
  return subnet
}

export function subnetOf({ family, value }: Address, prefix: number): Subnet {
  const rest = BigInt(bitsOf(family) - prefix)
  return { family, prefix, base: (value >> rest) << rest }
}

export function formatSubnet({ family, base, prefix }: Subnet): string {
  return `${formatAddress({ family, value: base })}/${prefix}`
}

/** How many addresses are in it. */
export function sizeOf({ family, prefix }: Subnet): bigint {
  return 1n << BigInt(bitsOf(family) - prefix)
}

export function contains(subnet: Subnet, address: Address): boolean {
  return (
    subnet.family === address.family && address.value >= subnet.base && address.value < subnet.base + sizeOf(subnet)
  )
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.family === b.family && a.base < b.base + sizeOf(b) && b.base < a.base + sizeOf(a)
}

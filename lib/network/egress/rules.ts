/** `allow: [...]`: where a container may connect to, by name or address, and port. Pure. */
import { domainToASCII } from 'node:url'
import { invalidArgument } from '../../errors.js'
import {
  type Address,
  bitsOf,
  contains,
  formatSubnet,
  overlap,
  parseAddress,
  parseSubnet,
  type Subnet,
  subnetOf,
} from '../addresses.js'
import { checkHostName } from '../names.js'
import { NAMES4, NAMES6 } from './names.js'
import { specialRange } from './special.js'

interface Ports {
  first: number
  last: number
}

export interface NameRule extends Ports {
  kind: 'name'
  /** `*`: every name. */
  name: string
  /** Names below it, and not itself. */
  below: boolean
}

export interface AddressRule extends Ports {
  kind: 'address'
  network: Subnet
}

export type EgressRule = NameRule | AddressRule

const WANTED =
  'a host name, *.name, *, an address or a subnet, with a port (:443), ports (:8000-8080) or neither; IPv6 with a port in brackets'

export function parseRules(allow: unknown): EgressRule[] {
  if (allow === undefined) return []
  if (!Array.isArray(allow)) throw invalidArgument('egress.allow', allow, 'an array of strings')
  return allow.map((text, i) => parseRule(text, `egress.allow[${i}]`))
}

function parseRule(text: unknown, option: string): EgressRule {
  if (typeof text !== 'string') throw invalidArgument(option, text, WANTED)
  const { host, port } = splitPort(text)
  const ports = parsePorts(port)
  if (!ports || host === '') throw invalidArgument(option, text, WANTED)
  const network = parseNetwork(host, option)
  if (!network) return { kind: 'name', ...parseName(host, option), ...ports }
  if ([NAMES4, NAMES6].some((names) => overlap(names, network) && names.prefix <= network.prefix))
    throw invalidArgument(option, text, `outside of ${formatSubnet(NAMES4)}, whose addresses stand for names`)
  return { kind: 'address', network, ...ports }
}

/** An IPv6 address with a port is in brackets; without brackets all of it is the address. */
export function splitPort(text: string): { host: string; port?: string } {
  const [, bracketed, behind] = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? []
  if (bracketed !== undefined) return { host: bracketed, port: behind }
  const [head = '', port, ...more] = text.split(':')
  return more.length > 0 ? { host: text } : { host: head, port }
}

function parsePorts(text: string | undefined): Ports | undefined {
  if (text === undefined || text === '*') return { first: 0, last: 65535 }
  const [, from, to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? []
  const first = Number(from)
  const last = to === undefined ? first : Number(to)
  return first >= 1 && first <= last && last <= 65535 ? { first, last } : undefined
}

function parseNetwork(host: string, option: string): Subnet | undefined {
  if (host.includes('/')) return parseSubnet(host, option)
  const address = parseAddress(host)
  return address && subnetOf(address, bitsOf(address.family))
}

function parseName(host: string, option: string): { name: string; below: boolean } {
  if (host === '*') return { name: '*', below: false }
  const below = host.startsWith('*.')
  const plain = (below ? host.slice(2) : host).replace(/\.$/, '')
  // Names are asked for as they stand in messages: in ASCII.
  const ascii = /^[\x21-\x7e]*$/.test(plain) ? plain : domainToASCII(plain)
  const name = checkHostName(ascii, option)
  if (endsInNumber(name)) throw invalidArgument(option, host, WANTED)
  return { name, below }
}

/** What looks like an address in some notation (`127.1`, `0x7f000001`) is no name. */
export function endsInNumber(name: string): boolean {
  return /^(\d+|0x[0-9a-f]*)$/.test(name.slice(name.lastIndexOf('.') + 1))
}

const onPort = ({ first, last }: Ports, port: number | undefined) =>
  port === undefined || (port >= first && port <= last)

/** Without a port: whether any would do. */
export function allowsName(rules: readonly EgressRule[], host: string, port?: number): boolean {
  return rules.some((rule) => {
    if (rule.kind !== 'name' || !onPort(rule, port)) return false
    if (rule.name === '*') return true
    return rule.below ? host.endsWith(`.${rule.name}`) : host === rule.name
  })
}

/**
 * Whether a rule covers an address. One of a special range only by a rule that lies within that range: `0.0.0.0/0` means
 * the internet. One of the host's own only by a rule for that address alone.
 */
export function allowsAddress(rules: readonly EgressRule[], address: Address, port: number, ofHost: boolean): boolean {
  const special = specialRange(address)
  return rules.some((rule) => {
    if (rule.kind !== 'address' || !onPort(rule, port) || !contains(rule.network, address)) return false
    if (ofHost) return rule.network.prefix === bitsOf(address.family)
    return !special || rule.network.prefix >= special.prefix
  })
}

/** All that these rules could ever allow, for the kernel to refuse the rest: networks and ports. */
export function openTo(rules: readonly EgressRule[]): Array<{ network: string; first: number; last: number }> {
  return rules.flatMap((rule) => {
    const { first, last } = rule
    const networks = rule.kind === 'name' ? [NAMES4, NAMES6] : [rule.network]
    return networks.map((network) => ({ network: formatSubnet(network), first, last }))
  })
}

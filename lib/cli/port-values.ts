/** --publish and --expose, read by docker's rules (go-connections nat): [ADDRESS:][HOST:]CONTAINER[/PROTOCOL]; ports may be ranges. */
import { isIP } from 'node:net'
import type { PortMapping } from '../index.js'
import { usageError } from './usage.js'

const HINT = 'Write -p 8080:80, -p 127.0.0.1:8080:80, -p 8000-8010:8000-8010/udp, or -p 80 for a free port.'

interface Range {
  first: number
  last: number
}

/** Without an address all of the host's, of both versions of IP. */
export function parsePublish(text: string): PortMapping[] {
  const wrong = () => usageError(`--publish: ${JSON.stringify(text)} is not a port`, HINT)
  const parts = text.split(':')
  const inside = portsIn(parts.pop() ?? '')
  const host = parts.pop() ?? ''
  // An address of IPv6 has colons of its own, with brackets around it or without.
  const address = parts.join(':').replace(/^\[(.*)\]$/, '$1')
  // 0 is any, as none.
  const from = /^0*$/.test(host) ? undefined : rangeOf(host)
  if (!inside || (!from && !/^0*$/.test(host)) || (address !== '' && isIP(address) === 0)) throw wrong()
  const count = inside.last - inside.first + 1
  const among = from && from.last - from.first + 1
  if (among !== undefined && among !== count && count > 1)
    throw usageError(`--publish: the ranges of ${JSON.stringify(text)} differ in length`, HINT)
  return Array.from({ length: count }, (_, i) => ({
    container: inside.first + i,
    // For a single one any of the host's range.
    ...(from ? { host: among === count ? from.first + i : `${from.first}-${from.last}` } : {}),
    protocol: inside.protocol,
    address: address === '' ? '*' : address,
  }))
}

/** `80`, `53/udp`, `8000-8010/tcp`, as --expose and images say it: published where any port is free. */
export function parseExposed(text: string): PortMapping[] {
  const inside = portsIn(text)
  if (!inside) throw usageError(`--expose: ${JSON.stringify(text)} is not a port`, 'Write 80, 53/udp or 8000-8010.')
  return Array.from({ length: inside.last - inside.first + 1 }, (_, i) => ({
    container: inside.first + i,
    protocol: inside.protocol,
    address: '*',
  }))
}

function portsIn(text: string): (Range & { protocol: 'tcp' | 'udp' }) | undefined {
  const [ports = '', name = '', more] = text.split('/')
  const protocol = name === '' ? 'tcp' : name.toLowerCase()
  const range = rangeOf(ports)
  if (!range || more !== undefined || (protocol !== 'tcp' && protocol !== 'udp')) return undefined
  return { ...range, protocol }
}

function rangeOf(text: string): Range | undefined {
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? []
  const range = { first: Number(first), last: Number(last) }
  return range.first >= 1 && range.last >= range.first && range.last <= 65535 ? range : undefined
}

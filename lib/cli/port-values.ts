/** --publish, read by docker's rules: [ADDRESS:][HOST:]CONTAINER[/PROTOCOL], where ports may be ranges. */
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
  const [, plain = '', protocol = 'tcp'] = /^([^/]+)(?:\/([a-z]+))?$/.exec(text) ?? []
  if (protocol !== 'tcp' && protocol !== 'udp') throw wrong()
  const [, bracketed, rest = plain] = /^\[([^\]]+)\]:(.*)$/.exec(plain) ?? []
  const parts = rest.split(':')
  if (parts.length > (bracketed === undefined ? 3 : 2)) throw wrong()
  const container = rangeOf(parts.pop())
  const host = parts.length > 0 ? parts.pop() : ''
  const address = bracketed ?? parts.pop() ?? '*'
  const from = host === '' ? undefined : rangeOf(host)
  if (!container || (host !== '' && !from)) throw wrong()
  const count = container.last - container.first + 1
  if (from && from.last - from.first + 1 !== count)
    throw usageError(`--publish: the ranges of ${JSON.stringify(text)} differ in length`, HINT)
  return Array.from({ length: count }, (_, i) => ({
    container: container.first + i,
    ...(from ? { host: from.first + i } : {}),
    protocol,
    address: address === '' ? '*' : address,
  }))
}

function rangeOf(text: string | undefined): Range | undefined {
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text ?? '') ?? []
  const range = { first: Number(first), last: Number(last) }
  return range.first >= 1 && range.last >= range.first && range.last <= 65535 ? range : undefined
}

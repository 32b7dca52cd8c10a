/** The ports of EXPOSE. */
import { isIP } from 'node:net'
import { fault } from './source.js'
import { quote } from './text.js'

export interface ExposedPorts {
  /** As `80/tcp`, one for each port of a range. */
  ports: string[]
  /** The protocol was not in lower case. */
  oddCase: boolean
  /** An address or a port of the host was given; they count for nothing. */
  mapped: boolean
}

const HIGHEST = 65535

/**
 * `80`, `53/udp`, `8000-8010`, and for the sake of old files `[address:]hostPort:port`.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE
 */
export function parseExposed(text: string): ExposedPorts {
  const parts = text.split(':')
  const [container = '', host = ''] = [parts.pop(), parts.pop()]
  const address = parts.join(':')
  const [range = '', protocol = ''] = container.split(/\/(.*)/s, 2)
  if (range === '') throw fault(`invalid port: ${quote(text)}: no port specified`, 'Write EXPOSE 80 or 80/udp.')
  if (!['', 'tcp', 'udp', 'sctp'].includes(protocol.toLowerCase()))
    throw fault(`invalid port: ${quote(text)}: invalid proto: ${protocol}`, 'There are tcp, udp and sctp.')
  if (address !== '' && isIP(address.replace(/^\[(.*)\]$/, '$1')) === 0)
    throw fault(`invalid IP address: ${address}`, 'EXPOSE takes no addresses: leave it out.')
  const [first, last] = portRange(range) ?? bad('containerPort', range)
  if (host !== '') {
    const [hostFirst, hostLast] = portRange(host) ?? bad('hostPort', host)
    if (last - first !== hostLast - hostFirst && first !== last)
      throw fault(
        `invalid ranges specified for container and host Ports: ${range} and ${host}`,
        'EXPOSE takes no ports of the host: leave them out.',
      )
  }
  return {
    ports: Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${protocol.toLowerCase() || 'tcp'}`),
    oddCase: protocol !== protocol.toLowerCase(),
    mapped: address !== '' || host !== '',
  }
}

function bad(what: string, text: string): never {
  throw fault(`invalid ${what}: ${text}`, `Give a port from 0 to ${HIGHEST}, or a range such as 8000-8010.`)
}

function portRange(text: string): [first: number, last: number] | undefined {
  const [start = '', end = start] = text.split(/-(.*)/s, 2)
  const [first, last] = [port(start), port(end)]
  return first === undefined || last === undefined || last < first ? undefined : [first, last]
}

function port(text: string): number | undefined {
  const number = /^\+?\d+$/.test(text) ? Number(text) : Number.NaN
  return number <= HIGHEST ? number : undefined
}

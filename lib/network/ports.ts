/** Ports of a container that are published on the host. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../errors.js'
import type { NativeFailure } from '../native/addon.js'
import { errorFromFailure } from '../native/failure.js'
import type { NativePublication, NativePublished } from '../native/network.js'
import type { NetworkUser } from './active.js'
import { formatAddress, parseAddress } from './addresses.js'
import { forwardingDropped } from './forwarding.js'
import { networking, placeBeside } from './place.js'
import { portHolder } from './port-holder.js'

export interface PortMapping {
  /** In the container. */
  container: number
  /** On the host; `8000-8010`: the first of these that is free; default: any that is free. */
  host?: number | string
  protocol?: 'tcp' | 'udp'
  /** Of the host: default its loopback (127.0.0.1 and ::1), `*`: all of both versions, `0.0.0.0`, `::`, or one. */
  address?: string
}

export interface PublishedPort {
  container: number
  protocol: 'tcp' | 'udp'
  /** The first of `addresses`. */
  address: string
  addresses: string[]
  port: number
}

interface CheckedMapping {
  container: number
  /** 0: any. */
  host: number
  /** Of a range the last one. */
  last: number
  protocol: 'tcp' | 'udp'
  addresses: string[]
}

const OPTIONS = { container: true, host: true, protocol: true, address: true } as const
const EVERYWHERE = ['0.0.0.0', '::']
const { EADDRINUSE, EACCES, EADDRNOTAVAIL, EAFNOSUPPORT } = {
  EADDRINUSE: 98,
  EACCES: 13,
  EADDRNOTAVAIL: 99,
  EAFNOSUPPORT: 97,
}

export function checkPorts(ports: unknown): CheckedMapping[] {
  if (ports === undefined) return []
  if (!Array.isArray(ports)) throw invalidArgument('ports', ports, 'an array')
  const checked = ports.map((mapping: PortMapping, i): CheckedMapping => {
    const option = `ports[${i}]`
    if (typeof mapping !== 'object' || mapping === null) throw invalidArgument(option, mapping, 'an object')
    for (const key in mapping)
      if (!Object.hasOwn(OPTIONS, key))
        throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `there is no option ${option}.${key}`, {
          stage: 'options',
          hint: `There are: ${Object.keys(OPTIONS).join(', ')}.`,
        })
    const { container, host, protocol = 'tcp', address } = mapping
    if (!isPort(container)) throw invalidArgument(`${option}.container`, container, 'a port from 1 to 65535')
    const on = hostPorts(host)
    if (!on) throw invalidArgument(`${option}.host`, host, 'a port from 1 to 65535, or a range such as 8000-8010')
    if (protocol !== 'tcp' && protocol !== 'udp') throw invalidArgument(`${option}.protocol`, protocol, 'tcp or udp')
    return { container, ...on, protocol, addresses: addressesOf(address, `${option}.address`) }
  })
  for (const [i, mapping] of checked.entries()) checkDistinct(checked.slice(0, i), mapping, i)
  return checked
}

function hostPorts(host: unknown): Pick<CheckedMapping, 'host' | 'last'> | undefined {
  if (host === undefined || host === 0) return { host: 0, last: 0 }
  const [, from, to] = (typeof host === 'string' && /^(\d{1,5})-(\d{1,5})$/.exec(host)) || []
  const [first, last] = from === undefined ? [host, host] : [Number(from), Number(to)]
  return isPort(first) && isPort(last) && first <= last ? { host: first, last } : undefined
}

/** Two that want the same port would each find the other one in the way. */
function checkDistinct(
  others: readonly CheckedMapping[],
  { host, last, protocol, addresses }: CheckedMapping,
  i: number,
) {
  if (host === 0 || host !== last) return
  const same = others.findIndex(
    (other) =>
      other.host === host && other.last === last && other.protocol === protocol && overlap(other.addresses, addresses),
  )
  if (same >= 0)
    throw new CaissonError(
      'ERR_CAISSON_INVALID_ARGUMENT',
      `ports[${i}]: ${protocol} port ${host} of the host is that of ports[${same}] already`,
      { stage: 'options', hint: 'Give each another port of the host, or leave "host" out.' },
    )
}

function overlap(some: readonly string[], others: readonly string[]): boolean {
  return some.some((one) =>
    others.some((other) => {
      if (one.includes(':') !== other.includes(':')) return false
      return one === other || EVERYWHERE.includes(one) || EVERYWHERE.includes(other)
    }),
  )
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65535
}

function addressesOf(address: unknown, option: string): string[] {
  if (address === undefined || address === 'localhost') return ['127.0.0.1', '::1']
  if (address === '*') return EVERYWHERE
  const parsed = parseAddress(address)
  if (!parsed) throw invalidArgument(option, address, 'an address of the host, or *')
  return [formatAddress(parsed)]
}

/** Where the packets go. */
export interface Target {
  ipv4: string
  ipv6?: string
}

export class Publications {
  readonly ports: PublishedPort[] = []
  readonly #user: NetworkUser
  readonly #sockets: NativePublication[] = []
  readonly #rules: NativePublished[] = []
  readonly #marks: string[] = []

  constructor(user: NetworkUser) {
    this.#user = user
  }

  /** All of them or none. `name`: of the container, for others who want the same port. */
  async open(mappings: readonly CheckedMapping[], target: Target, name: string): Promise<void> {
    if (mappings.length === 0) return
    try {
      const marks = path.join(this.#user.run, 'ports')
      await mkdir(marks, { recursive: true, mode: 0o711 })
      // Sockets serve where packets that are forwarded would be lost.
      const forwarded = !placeBeside() && !(await forwardingDropped())
      const chosen = new Map<CheckedMapping, number>()
      for (const mapping of leastFirst(mappings)) {
        const port = await this.#publish(mapping, target)
        chosen.set(mapping, port)
        const mark = path.join(marks, `${mapping.protocol}-${port}`)
        await writeFile(mark, name)
        this.#marks.push(mark)
      }
      for (const mapping of mappings) {
        const port = chosen.get(mapping) as number
        this.ports.push({
          container: mapping.container,
          protocol: mapping.protocol,
          address: mapping.addresses[0] as string,
          addresses: [...mapping.addresses],
          port,
        })
        if (forwarded) this.#rules.push(...rulesOf(mapping, port, target))
      }
      if (this.#rules.length > 0) await networking().firewall({ published: this.#rules }, true)
    } catch (failure) {
      await this.close()
      throw failure instanceof Error ? failure : errorFromFailure(failure as NativeFailure)
    }
  }

  async #publish(mapping: CheckedMapping, target: Target): Promise<number> {
    const { protocol, host, last, container } = mapping
    let { addresses } = mapping
    const request = { protocol, to: target.ipv4, toPort: container }
    for (let port = host; ; )
      try {
        const made = await networking().publish({ ...request, port, addresses })
        this.#sockets.push(made)
        return made.port
      } catch (failure) {
        const { errno, path: where } = failure as NativeFailure
        if (errno === EADDRINUSE && port < last) {
          port++
          continue
        }
        // A host without IPv6 has no such loopback; whoever names an address wants that one.
        const left = addresses.filter((address) => !address.includes(':'))
        const absent = errno === EADDRNOTAVAIL || errno === EAFNOSUPPORT
        if (!absent || addresses.length < 2 || left.length === 0)
          throw await refused(failure as NativeFailure, mapping, where)
        addresses = left
      }
  }

  async close(): Promise<void> {
    for (const { handle } of this.#sockets.splice(0)) networking().unpublish(handle)
    const published = this.#rules.splice(0)
    if (published.length > 0)
      await networking()
        .firewall({ published }, false)
        .catch(() => undefined)
    for (const mark of this.#marks.splice(0)) await rm(mark, { force: true })
    this.ports.length = 0
  }
}

/** What may be any port must not take the one that another mapping names. */
function leastFirst(mappings: readonly CheckedMapping[]): CheckedMapping[] {
  const choices = ({ host, last }: CheckedMapping) => (host === 0 ? Number.POSITIVE_INFINITY : last - host)
  return [...mappings].sort((a, b) => (choices(a) < choices(b) ? -1 : choices(a) > choices(b) ? 1 : 0))
}

/** Loopback is served by sockets alone. */
function rulesOf({ protocol, container, addresses }: CheckedMapping, port: number, target: Target): NativePublished[] {
  return addresses.flatMap((address): NativePublished[] => {
    const to = address.includes(':') ? target.ipv6 : target.ipv4
    if (to === undefined || address.startsWith('127.') || address === '::1') return []
    const every = EVERYWHERE.includes(address)
    return [{ protocol, port, to, toPort: container, ...(every ? {} : { address }) }]
  })
}

async function refused(
  failure: NativeFailure,
  { protocol, host, last }: CheckedMapping,
  where: string,
): Promise<Error> {
  const error = errorFromFailure(failure)
  if (failure.errno === EADDRINUSE && host !== last)
    return new CaissonError(
      'ERR_CAISSON_PORT_IN_USE',
      `ports: all ${protocol} ports from ${host} to ${last} are taken`,
      {
        stage: 'ports',
        hint: 'Give a wider range, or leave "host" out to get any free port.',
        cause: error.cause,
      },
    )
  if (failure.errno === EADDRINUSE) {
    const holder = host === 0 ? undefined : await portHolder(protocol, host)
    return new CaissonError(
      'ERR_CAISSON_PORT_IN_USE',
      `ports: ${protocol} port ${host || '(a free one)'} is taken${holder ? ` by ${holder}` : ''}`,
      { stage: 'ports', hint: 'Leave "host" out to get a free port, or end the holder.', cause: error.cause },
    )
  }
  if (failure.errno === EADDRNOTAVAIL)
    return new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `ports: ${where} is not an address of this host`, {
      stage: 'ports',
      hint: 'See "ip address" for those it has, or leave "address" out for its loopback.',
      cause: error.cause,
    })
  if (failure.errno === EACCES)
    return new CaissonError('ERR_CAISSON_PERMISSION', `ports: port ${host} is for root`, {
      stage: 'ports',
      hint: 'Choose one from 1024 on, or lower net.ipv4.ip_unprivileged_port_start.',
      cause: error.cause,
    })
  return error
}

/** ExposedPorts and HostConfig.PortBindings, from and to Docker's form: `80/tcp` to places on the host. */
import type { PublishedPort } from '../network/ports.js'
import type { PortMapping } from '../options.js'
import type { Json } from '../spec/json.js'
import { fieldsOf } from './body.js'
import { badRequest } from './failure.js'

export interface Binding {
  HostIp: string
  HostPort: string
}

/** Of one container. Ranges are short in a body, and long here. */
const PORTS_MAX = 65_536

/** Throws 400 for more than there can be, before it has made them all. */
export function bounded<T>(lists: Iterable<readonly T[]>): T[] {
  const all: T[] = []
  for (const list of lists) {
    if (all.length + list.length > PORTS_MAX) throw badRequest('there are too many ports')
    for (const each of list) all.push(each)
  }
  return all
}

/** `80`, `80/tcp` or `8000-8002/udp`. */
export function parseExposed(text: string): Array<Pick<PortMapping, 'container'> & { protocol: 'tcp' | 'udp' }> {
  const [, from, to = from, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w+))?$/.exec(text) ?? []
  const [first, last] = [Number(from), Number(to)]
  if (from === undefined || first < 1 || last > 65_535 || first > last) throw badRequest(`invalid port: ${text}`)
  if (protocol !== 'tcp' && protocol !== 'udp') throw badRequest(`invalid port: ${text}: there are tcp and udp`)
  return Array.from({ length: last - first + 1 }, (_, i) => ({ container: first + i, protocol }))
}

/** A list for each text. */
export function* exposedIn(texts: readonly string[]): Generator<ReturnType<typeof parseExposed>> {
  for (const text of texts) yield parseExposed(text)
}

/** Without an address it is every one of the host, as in Docker; without a port any that is free. */
export function parseBindings(bindings: Json): PortMapping[] {
  return bounded(bindingsIn(bindings))
}

/** A list for each place on the host. */
function* bindingsIn(bindings: Json): Generator<PortMapping[]> {
  for (const exposed of Object.keys(bindings)) {
    const ports = parseExposed(exposed)
    const places = fieldsOf(bindings, 'HostConfig.PortBindings.').objects(exposed) ?? []
    if (places.length === 0) yield ports
    for (const place of places) {
      const fields = fieldsOf(place, `HostConfig.PortBindings[${exposed}].`)
      const [address, host] = [fields.text('HostIp') || '*', fields.text('HostPort') || undefined]
      if (host !== undefined && !/^\d{1,5}(-\d{1,5})?$/.test(host)) throw badRequest(`invalid HostPort: ${host}`)
      const on = host === undefined ? {} : { host: host.includes('-') ? host : Number(host) }
      yield ports.map((port) => ({ ...port, address, ...on }))
    }
  }
}

/** NetworkSettings.Ports, of a container that runs; `exposed` without a place on the host is null. */
export function portsOf(
  published: readonly PublishedPort[],
  exposed: readonly string[] = [],
): Record<string, Binding[] | null> {
  const places = new Map<string, Binding[] | null>(exposed.map((port) => [port, null]))
  for (const { container, protocol, addresses, port } of published) {
    const key = `${container}/${protocol}`
    const list = places.get(key) ?? []
    places.set(key, [...list, ...addresses.map((HostIp) => ({ HostIp, HostPort: String(port) }))])
  }
  return Object.fromEntries(places)
}

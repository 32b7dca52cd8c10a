/** On which networks a container is to be, and how. */
import type { EndpointOptions } from '../network/endpoint.js'
import type { Json } from '../spec/json.js'
import { fieldsOf } from './body.js'
import type { NetworkMode } from './modes.js'

/** By name or id. */
export interface RequestedNetwork extends EndpointOptions {
  network: string
}

const DEFAULT = new Set(['default', 'bridge'])

/** The one of NetworkMode first, then the others of EndpointsConfig. */
export function endpointsOf(mode: NetworkMode, endpoints: Json, mac: string | undefined): RequestedNetwork[] {
  if (typeof mode === 'string' || 'container' in mode) return []
  const nameOf = (name: string) => (DEFAULT.has(name) ? 'bridge' : name)
  const names = new Set([mode.network, ...Object.keys(endpoints).map(nameOf)])
  const given = new Map(Object.entries(endpoints).map(([name, value]) => [nameOf(name), value]))
  return [...names].map((network, i) => {
    const options = endpointOf(given.get(network))
    return { network, ...(i === 0 && mac ? { mac } : {}), ...options }
  })
}

/** One EndpointSettings. */
export function endpointOf(value: unknown): EndpointOptions {
  const fields = fieldsOf({ endpoint: value }).object('endpoint')
  const settings = fieldsOf(fields, 'EndpointSettings.')
  const ipam = fieldsOf(settings.object('IPAMConfig'), 'IPAMConfig.')
  const aliases = settings.texts('Aliases')
  const options: EndpointOptions = {
    ...(aliases?.length ? { aliases } : {}),
    ipv4: ipam.text('IPv4Address') || undefined,
    ipv6: ipam.text('IPv6Address') || undefined,
    mac: settings.text('MacAddress') || undefined,
  }
  return Object.fromEntries(Object.entries(options).filter(([, each]) => each !== undefined))
}

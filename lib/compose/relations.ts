/** What ties services to each other: dependencies and networks. */
import { type ComposeNode, composeError, isNull, type Place } from './node.js'
import { booleanOf, type Context, eachKey, listOf, mapOf, numberOf, oneOf, textOf, textsOf } from './read.js'

const CONDITIONS = ['service_started', 'service_healthy', 'service_completed_successfully'] as const
export type Condition = (typeof CONDITIONS)[number]

export interface Dependency {
  condition: Condition
  /** false: it may be missing, or fail. */
  required: boolean
  /** It is made anew when the other one is. */
  restart: boolean
  place: Place
}

export function dependenciesOf(node: ComposeNode, context: Context): Record<string, Dependency> {
  const plain = { condition: 'service_started', required: true, restart: false } as const
  if (node.kind !== 'map')
    return Object.fromEntries(
      listOf(node).items.map((item) => [textOf(item, context), { ...plain, place: item.place }]),
    )
  // `__proto__` is a name as any other.
  const found: Record<string, Dependency> = Object.create(null)
  for (const [name, { key, value }] of node.entries) {
    const dependency: Dependency = { ...plain, place: key }
    eachKey(value, ['condition', 'required', 'restart'], {}, (field, { value: each }) => {
      if (field === 'condition') dependency.condition = oneOf(each, context, CONDITIONS)
      else dependency[field as 'required'] = booleanOf(each, context)
    })
    found[name] = dependency
  }
  return found
}

/** `links`: another service that is started before. A name of its own for it is for nobody else, so it is not there. */
export function linksOf(node: ComposeNode, context: Context): Record<string, Dependency> {
  return Object.fromEntries(
    listOf(node).items.map((item) => {
      const [service = '', alias] = textOf(item, context).split(':')
      if (alias !== undefined && alias !== service)
        throw composeError(
          item.place,
          'links have no names of their own',
          `Give ${service} an alias on a network.`,
          'ERR_CAISSON_UNSUPPORTED',
        )
      return [service, { condition: 'service_started', required: true, restart: false, place: item.place }]
    }),
  )
}

/** How a service is on a network. */
export interface Membership {
  aliases: string[]
  ipv4?: string
  ipv6?: string
  mac?: string
  /** The highest comes first. */
  priority: number
  place: Place
}

const REFUSED = {
  link_local_ips: 'Give it an ipv4_address or ipv6_address.',
  driver_opts: 'Bridges have no options for members.',
  interface_name: 'Devices are eth0, eth1 and so on.',
  gw_priority: 'Write priority.',
}

export function membershipsOf(node: ComposeNode, context: Context): Record<string, Membership> {
  const plain = { aliases: [], priority: 0 }
  if (node.kind === 'list')
    return Object.fromEntries(node.items.map((item) => [textOf(item, context), { ...plain, place: item.place }]))
  const found: Record<string, Membership> = Object.create(null)
  for (const [name, { key, value }] of mapOf(node).entries) {
    const membership: Membership = { ...plain, place: key }
    if (!isNull(value))
      eachKey(
        value,
        ['aliases', 'ipv4_address', 'ipv6_address', 'mac_address', 'priority'],
        REFUSED,
        (field, { value: each }) => {
          if (field === 'aliases') membership.aliases = textsOf(each, context)
          else if (field === 'priority') membership.priority = numberOf(each, context)
          else membership[field.replace('_address', '') as 'ipv4'] = textOf(each, context)
        },
      )
    found[name] = membership
  }
  return found
}

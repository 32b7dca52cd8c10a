/** What stands beside the services of a file: networks, volumes, secrets and configurations. */
import { keyed, type Read, readFields, single, type Values } from './field.js'
import { type ComposeNode, composeError, isNull, type Place, unsupported } from './node.js'
import { booleanOf, type Context, eachKey, integerOf, listOf, mapOf, oneOf, recordOf, textOf } from './read.js'
import { hostPath } from './short-forms.js'

interface Pool {
  subnet?: string
  gateway?: string
}

function poolsOf(node: ComposeNode, context: Context): Pool[] {
  const pools: Pool[] = []
  eachKey(node, ['driver', 'config'], { options: 'There are none.' }, (key, { value }) => {
    if (key === 'driver') oneOf(value, context, ['default'])
    else
      for (const item of listOf(value).items) {
        const pool: Pool = {}
        const refused = {
          ip_range: 'Addresses are taken from the whole subnet.',
          aux_addresses: 'Give services their ipv4_address instead.',
        }
        eachKey(item, ['subnet', 'gateway'], refused, (name, { value: each }) => {
          pool[name as 'subnet'] = textOf(each, context)
        })
        pools.push(pool)
      }
  })
  return pools
}

function mtuOf(node: ComposeNode, context: Context): { mtu?: number } {
  let mtu: number | undefined
  eachKey(node, ['com.docker.network.driver.mtu'], {}, (_, { value }) => {
    mtu = integerOf(value, context, 576)
  })
  return mtu === undefined ? {} : { mtu }
}

const external = single((node: ComposeNode, context: Context) => {
  if (node.kind !== 'map') return booleanOf(node, context)
  throw composeError(node.place, 'external is true or false', 'Write external: true, and name: beside it.')
})

const NETWORK = {
  attachable: single(booleanOf),
  driver: single((node, context) => oneOf(node, context, ['bridge', 'default'])),
  driver_opts: single(mtuOf),
  enable_ipv6: single(booleanOf),
  external,
  internal: single(booleanOf),
  ipam: single(poolsOf),
  labels: keyed(recordOf),
  name: single(textOf),
}
const VOLUME = {
  driver: single((node, context) => oneOf(node, context, ['local'])),
  external,
  labels: keyed(recordOf),
  name: single(textOf),
}
const FILE = {
  content: single(textOf),
  environment: single(textOf),
  file: single((node, context) => hostPath(textOf(node, context), context)),
  name: single(textOf),
}
const OUTSIDE = 'There is no store for them; write file, environment or content.'
const FILE_REFUSED = {
  driver: OUTSIDE,
  external: OUTSIDE,
  labels: OUTSIDE,
  template_driver: OUTSIDE,
  driver_opts: OUTSIDE,
}

/** The kinds, with their fields and what is refused. docs/compose.md lists them; a test compares. */
export const RESOURCES = {
  networks: { fields: NETWORK, refused: { enable_ipv4: 'A network has IPv4 always.' } },
  volumes: { fields: VOLUME, refused: { driver_opts: 'Mount a directory of the host as a bind instead.' } },
  secrets: { fields: FILE, refused: FILE_REFUSED },
  configs: { fields: FILE, refused: FILE_REFUSED },
} as const

export type ResourceKind = keyof typeof RESOURCES
export type NetworkModel = Values<typeof NETWORK> & { place: Place }
export type VolumeModel = Values<typeof VOLUME> & { place: Place }
export type SourceModel = Values<typeof FILE> & { place: Place }
export type ResourceFragment = Read<typeof NETWORK & typeof VOLUME & typeof FILE> & { place: Place }

export function resourcesOf(kind: ResourceKind, node: ComposeNode, context: Context): Map<string, ResourceFragment> {
  const { fields, refused } = RESOURCES[kind]
  const found = new Map<string, ResourceFragment>()
  for (const [name, { key, value }] of mapOf(node).entries) {
    const read = isNull(value)
      ? { values: {}, replaced: new Set<string>() }
      : readFields(value, context, fields, refused)
    const fragment = { ...read, place: key } as ResourceFragment
    check(kind, fragment)
    found.set(name, fragment)
  }
  return found
}

function check(kind: ResourceKind, { values, place }: ResourceFragment): void {
  if (kind === 'networks') {
    const pools = values.ipam ?? []
    const families = pools.map(({ subnet }) => (subnet?.includes(':') ? 6 : 4))
    if (new Set(families).size !== families.length)
      throw unsupported(place, 'a network has one subnet of each version of IP', 'Leave the others out.')
  } else if (kind !== 'volumes') {
    const given = [values.file, values.environment, values.content].filter((each) => each !== undefined)
    if (given.length !== 1)
      throw composeError(place, 'what it holds is not said, or twice', 'Write one of file, environment and content.')
  }
}

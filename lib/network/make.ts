/** Making a network: checked options, a name that is free, subnets that nobody has. */
import { randomBytes } from 'node:crypto'
import { CaissonError, invalidArgument } from '../errors.js'
import { type Abortable, checkAborted } from '../util/abort.js'
import { newId } from '../util/ids.js'
import { explained, type NetworkUser } from './active.js'
import { parseSubnet } from './addresses.js'
import {
  alone,
  DEFAULT_NETWORK,
  type NetworkDefinition,
  readDefinition,
  readDefinitions,
  sweepDefinitions,
  writeDefinition,
} from './definition.js'
import { networking } from './place.js'
import { chooseIpv4, chooseIpv6, type Occupied, occupiedBy } from './subnets.js'

export interface NetworkOptions extends Abortable {
  /** Without one it ends with this process. */
  name?: string
  driver?: 'bridge'
  /** Of IPv4, as `10.1.2.0/24`; default: a free one. */
  subnet?: string
  /** The host's own address in `subnet`; default: the first. */
  gateway?: string
  /** `true`: a unique local subnet. Default: no IPv6. */
  ipv6?: boolean | string
  /** Nothing but the containers on it: not the world, not the host. */
  internal?: boolean
  /** Bytes, from 576 (IPv6: 1280). */
  mtu?: number
  /**
   * The kernel passes TCP over IPv4 on in pieces of up to 512 kB instead of 64 (BIG TCP, Linux 6.3), which makes streams
   * between containers much faster. A stream to the outside is cut by the processor, not by the card: false
   * is better for servers that send several Gbit/s out of this machine. Default true.
   */
  bigTcp?: boolean
  /** Let containers reach link-local addresses, where clouds keep credentials (169.254.169.254). Default false. */
  metadata?: boolean
  labels?: Record<string, string>
  /** false: it ends with this process, also with a name. */
  lasting?: boolean
}

const OPTIONS: Record<keyof Required<NetworkOptions>, true> = {
  name: true,
  driver: true,
  subnet: true,
  gateway: true,
  ipv6: true,
  internal: true,
  mtu: true,
  bigTcp: true,
  metadata: true,
  labels: true,
  lasting: true,
  signal: true,
}

/** What these names mean as a `network` option. */
const RESERVED = new Set(['none', 'host', 'container', 'default'])

/** `existing`: one of that name is as good. */
export async function defineNetwork(
  options: NetworkOptions,
  user: NetworkUser,
  existing = false,
): Promise<NetworkDefinition> {
  check(options, existing)
  checkAborted(options.signal, 'network')
  const { name } = options
  if (existing && name !== undefined) {
    const there = await readDefinition(name)
    if (there) return there
  }
  return alone(async () => {
    if (existing && name !== undefined) {
      const there = await readDefinition(name)
      if (there) return there
    }
    const passing = name === undefined || options.lasting === false
    // One of that name may be a dead owner's.
    if (passing) await sweepDefinitions()
    const occupied = await occupiedSubnets()
    const id = newId()
    const definition: NetworkDefinition = {
      id,
      name: name ?? `network-${id.slice(0, 12)}`,
      driver: 'bridge',
      bridge: `cnb-${id.slice(0, 8)}`,
      mac: ['02', ...(randomBytes(5).toString('hex').match(/../g) as string[])].join(':'),
      ipv4: chooseIpv4(options.subnet, options.gateway, occupied),
      ipv6: chooseIpv6(options.ipv6, occupied),
      internal: options.internal ?? false,
      mtu: options.mtu,
      bigTcp: options.bigTcp ?? true,
      metadata: options.metadata ?? false,
      labels: { ...options.labels },
      created: new Date().toISOString(),
      owner: passing ? user.id : undefined,
    }
    await writeDefinition(definition)
    return definition
  })
}

async function occupiedSubnets(): Promise<Occupied[]> {
  const networks = (await readDefinitions()).flatMap(({ name, ipv4, ipv6 }) =>
    [ipv4, ...(ipv6 ? [ipv6] : [])].map(
      ({ subnet }): Occupied => ({ subnet: parseSubnet(subnet, 'subnet'), by: `network ${name}` }),
    ),
  )
  const host = (await explained(networking().taken()))
    // Those of our own networks are named above.
    .filter(({ device }) => !device.startsWith('cnb-'))
    .map(({ network, device }) => occupiedBy(network, device === '' ? 'a route of the host' : `the host's ${device}`))
  return [...networks, ...host.filter((each) => each !== undefined)]
}

function check(options: NetworkOptions, existing: boolean): void {
  if (typeof options !== 'object' || options === null) throw invalidArgument('options', options, 'an object')
  for (const key in options)
    if (!Object.hasOwn(OPTIONS, key))
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `there is no option ${key} of networks`, {
        stage: 'options',
        hint: `There are: ${Object.keys(OPTIONS).join(', ')}.`,
      })
  const { name, driver, mtu, labels, ipv6 } = options
  if (name !== undefined && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(String(name)))
    throw invalidArgument(
      'name',
      name,
      'at most 128 letters, digits, "_", "." and "-", beginning with a letter or digit',
    )
  if (name !== undefined && (RESERVED.has(name) || (name === DEFAULT_NETWORK && !existing)))
    throw invalidArgument('name', name, 'a name that means nothing else')
  if (driver !== undefined && driver !== 'bridge') throw invalidArgument('driver', driver, 'bridge')
  if (mtu !== undefined && !(Number.isInteger(mtu) && mtu >= (ipv6 ? 1280 : 576) && mtu <= 65535))
    throw invalidArgument('mtu', mtu, `a number from ${ipv6 ? 1280 : 576} to 65535`)
  for (const key of ['internal', 'bigTcp', 'metadata', 'lasting'] as const)
    if (options[key] !== undefined && typeof options[key] !== 'boolean')
      throw invalidArgument(key, options[key], 'true or false')
  if (labels !== undefined && (typeof labels !== 'object' || labels === null))
    throw invalidArgument('labels', labels, 'an object')
}

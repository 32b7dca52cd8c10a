/** `caisson network`: networks that stay until they are removed. */
import { Network } from '../index.js'
import type { Command } from './command.js'
import { EXITS, FILTER, FORCE, FORMS, filterOf, labelsOf, labelText, printList, type Row } from './listing.js'
import { commandOf, commandsOfKept, noWords, someWords } from './subcommands.js'
import { usageError } from './usage.js'
import { parseNumber } from './values.js'

const create: Command = {
  summary: 'Make a network',
  usage: 'create [FLAGS] NAME',
  description: 'Makes a bridge network, which stays until it is removed.',
  flags: [
    { name: 'driver', short: 'd', kind: 'text', help: 'bridge; there is no other' },
    { name: 'subnet', kind: 'list', value: 'subnet', help: 'As 10.1.2.0/24, and one of IPv6; default: free ones' },
    { name: 'gateway', kind: 'text', value: 'address', help: "The host's own address in it; default: the first" },
    { name: 'ipv6', kind: 'boolean', help: 'With IPv6, too' },
    { name: 'internal', kind: 'boolean', help: 'It leads neither to the world nor to the host' },
    { name: 'label', kind: 'list', value: 'name=value', help: 'A label' },
    { name: 'mtu', kind: 'text', value: 'bytes', help: 'Bytes of a packet' },
  ],
  exits: EXITS,

  async run(flags, rest) {
    const [name, tooMuch] = someWords(rest, 'network create')
    if (tooMuch !== undefined) throw usageError(`network create: ${tooMuch} is too much`, 'Give one name.')
    const driver = flags.text('driver') ?? 'bridge'
    if (driver !== 'bridge') throw usageError(`network create: there is no driver ${driver}`, 'There is: bridge.')
    const subnets = flags.list('subnet') ?? []
    const [six, four] = [subnets.filter((each) => each.includes(':')), subnets.filter((each) => !each.includes(':'))]
    if (six.length > 1 || four.length > 1)
      throw usageError('network create: a network has one subnet of each version of IP', 'Give --subnet once for each.')
    const mtu = flags.text('mtu')
    const network = await Network.create({
      name,
      driver,
      subnet: four[0],
      gateway: flags.text('gateway'),
      ipv6: six[0] ?? flags.boolean('ipv6'),
      internal: flags.boolean('internal'),
      mtu: mtu === undefined ? undefined : parseNumber(mtu, '--mtu', true),
      labels: labelsOf(flags),
    })
    process.stdout.write(`${network.id}\n`)
    return 0
  },
}

const ls: Command = {
  summary: 'List networks',
  usage: 'ls [FLAGS]',
  description: 'Lists the networks that there are.',
  flags: [FILTER, ...FORMS, { name: 'no-trunc', kind: 'boolean', help: 'Print whole ids' }],
  exits: EXITS,

  async run(flags, rest) {
    noWords(rest, 'network ls')
    const rows = (await Network.list(filterOf(flags))).map((network): Row => {
      const { id: whole, name, driver, definition, labels } = network
      const id = flags.boolean('no-trunc') ? whole : whole.slice(0, 12)
      const fields = {
        ID: id,
        Name: name,
        Driver: driver,
        Scope: 'local',
        Internal: String(definition.internal),
        IPv6: String(definition.ipv6 !== undefined),
        CreatedAt: definition.created,
        Labels: labelText(labels),
      }
      return { id, fields, json: fields }
    })
    printList(
      flags,
      [
        ['NETWORK ID', 'ID'],
        ['NAME', 'Name'],
        ['DRIVER', 'Driver'],
        ['SCOPE', 'Scope'],
      ],
      rows,
    )
    return 0
  },
}

const { inspect, rm } = commandsOfKept({
  kind: 'network',
  get: (name) => Network.get(name),
  notFound: 'ERR_CAISSON_NETWORK_NOT_FOUND',
  removal: { summary: 'Remove networks', description: 'Removes networks that no container is on.' },
})

const prune: Command = {
  summary: 'Remove networks that no process uses',
  usage: 'prune [FLAGS]',
  description: 'Removes networks with names that no process uses; the default network stays.',
  flags: [{ ...FILTER, short: undefined }, FORCE],
  exits: EXITS,

  async run(flags, rest) {
    noWords(rest, 'network prune')
    const removed = await Network.prune(filterOf(flags))
    if (removed.length > 0) process.stdout.write(`Deleted Networks:\n${removed.join('\n')}\n`)
    return 0
  },
}

export const networkCommand = commandOf(
  'network',
  'Make, list and remove networks',
  { create, ls, inspect, rm, prune },
  { list: 'ls', remove: 'rm' },
)

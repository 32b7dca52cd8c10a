/** `caisson volume`: data that outlives containers. */
import { Volume } from '../index.js'
import type { Command } from './command.js'
import { EXITS, FILTER, FORCE, FORMS, filterOf, labelOf, labelsOf, labelText, printList, type Row } from './listing.js'
import { bytes } from './progress.js'
import { commandOf, commandsOfKept, noWords } from './subcommands.js'
import { usageError } from './usage.js'

const create: Command = {
  summary: 'Make a volume',
  usage: 'create [FLAGS] [NAME]',
  description: 'Makes a volume; one of that name that is there is as good. Without a name it gets a random one.',
  flags: [
    { name: 'driver', short: 'd', kind: 'text', help: 'local; there is no other' },
    { name: 'label', kind: 'list', value: 'name=value', help: 'A label' },
    { name: 'opt', short: 'o', kind: 'list', value: 'size=1g', help: 'Bytes that it may hold' },
  ],
  exits: EXITS,

  async run(flags, [name, ...more]) {
    noWords(more, 'volume create')
    const driver = flags.text('driver') ?? 'local'
    if (driver !== 'local') throw usageError(`volume create: there is no driver ${driver}`, 'There is: local.')
    const { size, ...unknown } = Object.assign({}, ...(flags.list('opt') ?? []).map((text) => labelOf(text, '--opt')))
    for (const option in unknown)
      throw usageError(
        `volume create: there is no option ${option}`,
        'There is: size=1g. A tmpfs is a mount (--tmpfs).',
      )
    const volume = await Volume.create({ name, labels: labelsOf(flags), size })
    process.stdout.write(`${volume.name}\n`)
    return 0
  },
}

/** Filters that are true or false. */
const YES_OR_NO = ['anonymous', 'dangling']

const ls: Command = {
  summary: 'List volumes',
  usage: 'ls [FLAGS]',
  description: 'Lists the volumes that there are.',
  flags: [FILTER, ...FORMS],
  exits: EXITS,

  async run(flags, rest) {
    noWords(rest, 'volume ls')
    const rows = (await Volume.list(filterOf(flags, YES_OR_NO))).map(({ name, path, labels, created }): Row => {
      const fields = {
        Driver: 'local',
        Name: name,
        Scope: 'local',
        Mountpoint: path,
        CreatedAt: created.toISOString(),
        Labels: labelText(labels),
      }
      return { id: name, fields, json: fields }
    })
    printList(
      flags,
      [
        ['DRIVER', 'Driver'],
        ['VOLUME NAME', 'Name'],
      ],
      rows,
    )
    return 0
  },
}

const { inspect, rm } = commandsOfKept({
  kind: 'volume',
  get: (name) => Volume.get(name),
  notFound: 'ERR_CAISSON_VOLUME_NOT_FOUND',
  removal: {
    summary: 'Remove volumes, with what they hold',
    description: 'Removes volumes that no container has, with what they hold.',
  },
})

const prune: Command = {
  summary: 'Remove volumes that no container has',
  usage: 'prune [FLAGS]',
  description: 'Removes volumes without a name that no container has; with --all, or a filter, those with names, too.',
  flags: [
    { name: 'all', short: 'a', kind: 'boolean', help: 'Those with names, too' },
    { ...FILTER, short: undefined },
    FORCE,
  ],
  exits: EXITS,

  async run(flags, rest) {
    noWords(rest, 'volume prune')
    const filter = filterOf(flags, YES_OR_NO)
    const wanted = flags.boolean('all') ? { labels: {}, ...filter } : filter
    const sizes = new Map<string, number>()
    for (const volume of await Volume.list(wanted)) sizes.set(volume.name, (await volume.usage()).bytes)
    const removed = await Volume.prune(wanted)
    if (removed.length > 0) process.stdout.write(`Deleted Volumes:\n${removed.join('\n')}\n\n`)
    const freed = removed.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0)
    process.stdout.write(`Total reclaimed space: ${bytes(freed)}\n`)
    return 0
  },
}

export const volumeCommand = commandOf(
  'volume',
  'Make, list and remove volumes',
  { create, ls, inspect, rm, prune },
  { list: 'ls', remove: 'rm' },
)

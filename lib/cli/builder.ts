/** `caisson builder prune`, as docker's; `caisson builder build` is `caisson build`. */
import { Image } from '../index.js'
import { buildCommand } from './build.js'
import type { Command } from './command.js'
import { EXITS, FORCE } from './listing.js'
import { bytes } from './progress.js'
import { commandOf, noWords } from './subcommands.js'
import { usageError } from './usage.js'

const prune: Command = {
  summary: 'Remove what builds have kept',
  usage: 'prune [FLAGS]',
  description:
    'Removes results of steps, digests of files and caches of RUN --mount=type=cache, those that were used last last, and\nthe content that nothing needs then.',
  flags: [
    { name: 'all', short: 'a', kind: 'boolean', help: 'As without: all that no command has' },
    { name: 'filter', kind: 'list', value: 'until=24h', help: 'Only what was not used for so long' },
    FORCE,
    {
      name: 'keep-storage',
      kind: 'text',
      value: 'bytes',
      alias: 'max-used-space',
      help: 'Keep as much as this, as 10g',
    },
  ],
  exits: EXITS,

  async run(flags, rest) {
    noWords(rest, 'builder prune')
    const { until, ...others } = Object.fromEntries(
      (flags.list('filter') ?? []).map((text) => text.split(/=(.*)/s, 2) as [string, string]),
    )
    const [unknown] = Object.keys(others)
    if (unknown !== undefined)
      throw usageError(`builder prune: there is no filter ${JSON.stringify(unknown)}`, 'There is: until=24h.')
    const pruned = await Image.pruneBuildCache({ maxBytes: flags.text('keep-storage'), unusedFor: until })
    process.stdout.write(`Total reclaimed space: ${bytes(pruned.bytes)}\n`)
    return 0
  },
}

export const builderCommand = commandOf('builder', 'Remove what builds have kept', { prune, build: buildCommand })

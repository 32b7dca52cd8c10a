/** `caisson df`: what lies on the disk. */
import { storeUsage, Volume } from '../index.js'
import type { Command } from './command.js'
import { boolean } from './flags.js'
import { bytes } from './progress.js'
import { table } from './table.js'
import { usageError } from './usage.js'

export const dfCommand: Command = {
  summary: 'Show what images and volumes take on the disk',
  usage: 'df [FLAGS]',
  description: '"caisson prune" removes what nothing needs of it.',
  flags: [boolean('json', 'Print JSON, with sizes in bytes')],
  exits: 'Exits with 0, or with 1 when it failed.',

  async run(flags, rest) {
    if (rest.length > 0) throw usageError(`df: ${rest[0]} is too much`, 'See caisson df --help.')
    const { images, blobs, layers, downloads, cacheMounts } = await storeUsage()
    const volumes = await volumesUsage()
    if (flags.boolean('json')) {
      process.stdout.write(`${JSON.stringify({ images, blobs, layers, downloads, cacheMounts, volumes })}\n`)
      return 0
    }
    const rows: Array<[string, number, number]> = [
      ['Images, as they came', images, blobs.bytes],
      ['Layers, unpacked', layers.count, layers.bytes],
      ['Downloads, interrupted', downloads.count, downloads.bytes],
      ['Caches of builds', cacheMounts.count, cacheMounts.bytes],
      ['Volumes', volumes.count, volumes.bytes],
    ]
    process.stdout.write(
      table(
        ['TYPE', 'TOTAL', 'SIZE'],
        rows.map(([type, count, size]) => [type, `${count}`, bytes(size)]),
      ),
    )
    return 0
  },
}

async function volumesUsage(): Promise<{ count: number; bytes: number }> {
  const all = await Volume.list()
  // One may be removed meanwhile.
  const sizes = await Promise.all(
    all.map((volume) =>
      volume.usage().then(
        ({ bytes }) => bytes,
        () => 0,
      ),
    ),
  )
  return { count: all.length, bytes: sizes.reduce((sum, size) => sum + size, 0) }
}

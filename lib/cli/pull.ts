/** `caisson pull` and `caisson push`. */
import { Image } from '../index.js'
import type { Command } from './command.js'
import type { Flag } from './flags.js'
import { showProgress } from './progress.js'
import { usageError } from './usage.js'

const QUIET: Flag = { name: 'quiet', short: 'q', kind: 'boolean', help: 'Print no progress' }
const EXITS = 'Exits with 0, or with 1 when it failed.'

export const pullCommand: Command = {
  summary: 'Fetch an image from a registry',
  usage: 'pull [FLAGS] NAME[:TAG|@DIGEST]',
  description: `Fetches an image, unpacks it, and prints its name. "alpine" is docker.io/library/alpine:latest. Credentials are those
that docker login or podman login has kept.`,
  flags: [
    { name: 'all-tags', short: 'a', kind: 'boolean', help: 'Fetch all images of the repository; the name has no tag' },
    QUIET,
    { name: 'platform', kind: 'text', help: 'Platform of the image, as linux/arm64' },
  ],
  exits: EXITS,

  async run(flags, rest) {
    const name = onlyOne(rest, 'pull')
    const progress = showProgress(process.stderr, flags.boolean('quiet') ?? false)
    try {
      const options = { platform: flags.text('platform'), onProgress: progress.tell }
      const images = flags.boolean('all-tags') ? await Image.pullAll(name, options) : [await Image.pull(name, options)]
      progress.end()
      for (const image of images) process.stdout.write(`${image.tags[0] ?? image.digest}\n`)
    } catch (error) {
      progress.end()
      throw error
    }
    return 0
  },
}

export const pushCommand: Command = {
  summary: 'Send an image to a registry',
  usage: 'push [FLAGS] NAME[:TAG]',
  description:
    'Sends an image to the registry in its name, and prints the digest it has there. What the registry has is not sent.',
  flags: [QUIET],
  exits: EXITS,

  async run(flags, rest) {
    const image = await Image.get(onlyOne(rest, 'push'))
    const progress = showProgress(process.stderr, flags.boolean('quiet') ?? false)
    try {
      const { digest } = await image.push(undefined, { onProgress: progress.tell })
      progress.end()
      process.stdout.write(`${digest}\n`)
    } catch (error) {
      progress.end()
      throw error
    }
    return 0
  },
}

export function onlyOne(rest: readonly string[], command: string): string {
  const [name, more] = rest
  if (name === undefined) throw usageError(`${command}: there is no image`, `See caisson ${command} --help.`)
  if (more !== undefined) throw usageError(`${command}: ${more} is too much`, `See caisson ${command} --help.`)
  return name
}

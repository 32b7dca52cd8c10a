/** `caisson history` and `caisson inspect`: what is known of images and other things. */
import { CaissonError, Container, Image, Network, Volume } from '../index.js'
import type { Command } from './command.js'
import { harmless, harmlessJson } from './harmless.js'
import { bytes } from './progress.js'
import { onlyOne } from './pull.js'
import { table } from './table.js'
import { fillTemplate } from './template.js'
import { usageError } from './usage.js'

const COLUMN = 60

export const historyCommand: Command = {
  summary: 'List the steps that an image was made by',
  usage: 'history [FLAGS] IMAGE',
  description: 'Lists the steps that an image was made by, the latest first.',
  flags: [
    { name: 'json', kind: 'boolean', help: 'Print JSON' },
    { name: 'no-trunc', kind: 'boolean', help: 'Print whole commands' },
  ],
  exits: 'Exits with 0, or with 1 when it failed.',

  async run(flags, rest) {
    const steps = await (await Image.get(onlyOne(rest, 'history'))).history()
    if (flags.boolean('json')) {
      process.stdout.write(`${harmlessJson(steps, 2)}\n`)
      return 0
    }
    const whole = flags.boolean('no-trunc') ?? false
    const rows = steps.map(({ created, createdBy, size, comment }) => [
      created?.toISOString().slice(0, 19).replace('T', ' ') ?? '',
      inLine(createdBy, whole),
      bytes(size),
      inLine(comment, whole),
    ])
    process.stdout.write(table(['CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], rows))
    return 0
  },
}

/** Images are made by others: nothing of them may act on the terminal. */
function inLine(text: string, whole: boolean): string {
  const line = harmless(text.replace(/\s+/g, ' ')).trim()
  return whole || line.length <= COLUMN ? line : `${line.slice(0, COLUMN - 3)}...`
}

type Kind = 'container' | 'image' | 'network' | 'volume'

/** In the order in which they are looked for, as docker. */
const KINDS: Record<Kind, (name: string) => Promise<object>> = {
  container: async (name) => (await Container.get(name)).inspect(),
  image: async (name) => (await Image.get(name)).inspect(),
  network: async (name) => (await Network.get(name)).inspect(),
  volume: async (name) => (await Volume.get(name)).inspect(),
}

export const inspectCommand: Command = {
  summary: 'Print all that is known of images, containers, networks and volumes',
  usage: 'inspect [FLAGS] NAME...',
  description: 'Prints a JSON array with what is known of each.',
  flags: [
    {
      name: 'format',
      short: 'f',
      kind: 'text',
      help: 'json, or a text with {{.config.Env}}, {{json .layers}} and so on, filled in for each',
    },
    { name: 'type', kind: 'text', help: 'container, image, network or volume; default: the first that there is' },
  ],
  exits: 'Exits with 0, or with 1 when one was not found.',

  async run(flags, rest) {
    if (rest.length === 0) throw usageError('inspect: there is no name', 'See caisson inspect --help.')
    const type = flags.text('type')
    if (type !== undefined && !Object.hasOwn(KINDS, type))
      throw usageError(`inspect: there is no type ${type}`, `There are: ${Object.keys(KINDS).join(', ')}.`)
    const kinds = type === undefined ? (Object.keys(KINDS) as Kind[]) : [type as Kind]
    const found: object[] = []
    let missing = false
    for (const name of rest) {
      const one = await inspectFirst(name, kinds)
      if (one) found.push(one)
      else {
        missing = true
        process.stderr.write(`caisson: there is no ${type ?? 'such thing'}: ${name}\n`)
      }
    }
    const format = flags.text('format')
    if (format === undefined) process.stdout.write(`${harmlessJson(found, 2)}\n`)
    else for (const one of found) process.stdout.write(`${formatted(one, format)}\n`)
    return missing ? 1 : 0
  },
}

/** Of images and programs of others: a terminal obeys nothing of it. */
function formatted(one: object, format: string): string {
  const plain = JSON.parse(JSON.stringify(one)) as object
  return harmless(fillTemplate(format === 'json' ? '{{json .}}' : format, plain))
}

/** Names that one kind cannot have may be those of another. */
async function inspectFirst(name: string, kinds: readonly Kind[]): Promise<object | undefined> {
  for (const kind of kinds)
    try {
      return await KINDS[kind](name)
    } catch (error) {
      const { code = '' } = error instanceof CaissonError ? error : {}
      if (!/_NOT_FOUND$|_INVALID_ARGUMENT$/.test(code)) throw error
    }
  return undefined
}

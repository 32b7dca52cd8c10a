/** `caisson images`, `tag`, `rmi`, `save`, `load`: what is in the store. */
import { Image } from '../index.js'
import type { Command } from './command.js'
import { bytes } from './progress.js'
import { onlyOne } from './pull.js'
import { table } from './table.js'
import { usageError } from './usage.js'

const EXITS = 'Exits with 0, or with 1 when it failed.'

export const imagesCommand: Command = {
  summary: 'List images',
  usage: 'images [FLAGS] [PATTERN]',
  description: 'Lists the images in the store, by a pattern as "alpine:3.*" or all.',
  flags: [
    { name: 'json', kind: 'boolean', help: 'Print a line of JSON for each image' },
    { name: 'quiet', short: 'q', kind: 'boolean', help: 'Print ids alone' },
    { name: 'no-trunc', kind: 'boolean', help: 'Print whole ids' },
  ],
  exits: EXITS,

  async run(flags, rest) {
    if (rest.length > 1) throw usageError(`images: ${rest[1]} is too much`, 'See caisson images --help.')
    const images = await Image.list(rest[0] === undefined ? {} : { reference: rest[0] })
    const id = (image: Image) => (flags.boolean('no-trunc') ? image.id : image.id.replace('sha256:', '').slice(0, 12))
    if (flags.boolean('quiet')) for (const image of images) process.stdout.write(`${id(image)}\n`)
    else if (flags.boolean('json'))
      for (const image of images) process.stdout.write(`${JSON.stringify(await image.inspect())}\n`)
    else process.stdout.write(await imageTable(images, id))
    return 0
  },
}

async function imageTable(images: Image[], id: (image: Image) => string): Promise<string> {
  const rows = [['NAME', 'IMAGE ID', 'CREATED', 'SIZE']]
  for (const image of images) {
    const { created } = await image.inspect()
    const more = [id(image), created?.toISOString().slice(0, 10) ?? '', bytes(image.size ?? 0)]
    for (const name of image.tags.length > 0 ? image.tags : ['<none>']) rows.push([name, ...more])
  }
  return table(rows[0] as string[], rows.slice(1))
}

export const tagCommand: Command = {
  summary: 'Give an image another name',
  usage: 'tag IMAGE NAME[:TAG]',
  description: 'Gives an image another name, which another one may have had.',
  flags: [],
  exits: EXITS,

  async run(_flags, rest) {
    const [image, name] = rest
    if (image === undefined || name === undefined || rest.length > 2)
      throw usageError('tag: an image and a name are needed', 'Write caisson tag IMAGE NAME[:TAG].')
    await (await Image.get(image)).tag(name)
    return 0
  },
}

export const rmiCommand: Command = {
  summary: 'Remove images',
  usage: 'rmi [FLAGS] IMAGE...',
  description: 'Removes images by name or id. With its last name the content of an image goes, too.',
  flags: [{ name: 'force', short: 'f', kind: 'boolean', help: 'Also with several names, and while containers use it' }],
  exits: EXITS,

  async run(flags, rest) {
    if (rest.length === 0) throw usageError('rmi: there is no image', 'See caisson rmi --help.')
    for (const name of rest) {
      await Image.remove(name, { force: flags.boolean('force') })
      process.stdout.write(`${name}\n`)
    }
    return 0
  },
}

export const saveCommand: Command = {
  summary: 'Write an image to an archive',
  usage: 'save [FLAGS] IMAGE',
  description: 'Writes an archive that docker load and podman load read, to a file or to the standard output.',
  flags: [
    { name: 'output', short: 'o', kind: 'text', value: 'file', help: 'Write to a file' },
    { name: 'format', kind: 'text', help: 'docker (default) or oci' },
  ],
  exits: EXITS,

  async run(flags, rest) {
    const image = await Image.get(onlyOne(rest, 'save'))
    const output = flags.text('output')
    if (output === undefined && process.stdout.isTTY)
      throw usageError('save: an archive is nothing for a terminal', 'Write it to a file with -o, or into a pipe.')
    const format = (flags.text('format') ?? 'docker') as 'docker' | 'oci'
    await image.save(output ?? process.stdout, { format })
    return 0
  },
}

export const loadCommand: Command = {
  summary: 'Read images from an archive',
  usage: 'load [FLAGS]',
  description: 'Reads what docker save, podman save or skopeo wrote, from a file, a directory or the standard input.',
  flags: [{ name: 'input', short: 'i', kind: 'text', value: 'file', help: 'Read a file or directory' }],
  exits: EXITS,

  async run(flags, rest) {
    if (rest.length > 0) throw usageError(`load: ${rest[0]} is too much`, 'Write caisson load -i FILE.')
    const input = flags.text('input')
    if (input === undefined && process.stdin.isTTY)
      throw usageError('load: there is no archive', 'Name it with -i, or write it into the standard input.')
    for (const image of await Image.loadAll(input ?? process.stdin))
      process.stdout.write(`${image.tags[0] ?? image.id}\n`)
    return 0
  },
}

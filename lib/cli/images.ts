/** `caisson images`, `tag`, `rmi`, `save`, `load`, `prune`: what is in the store. */
import { CaissonError, Image, type ImageFilter } from '../index.js'
import { ago } from '../util/ago.js'
import type { Command } from './command.js'
import { type Flags, parseBoolean } from './flags.js'
import { harmless, harmlessJson } from './harmless.js'
import { EXITS, FILTER } from './listing.js'
import { bytes } from './progress.js'
import { table } from './table.js'
import { fillTemplate } from './template.js'
import { usageError } from './usage.js'

export const imagesCommand: Command = {
  summary: 'List images',
  usage: 'images [FLAGS] [PATTERN]',
  description: 'Lists the images in the store, by a pattern as "alpine:3.*" or all.',
  flags: [
    {
      name: 'all',
      short: 'a',
      kind: 'boolean',
      help: 'As without: images that are parts of others have no names here',
    },
    { name: 'digests', kind: 'boolean', help: 'Print digests of manifests' },
    FILTER,
    {
      name: 'format',
      kind: 'text',
      help: 'json, or a text with {{.Repository}}, {{.Tag}} and so on, also behind "table"; as docker',
    },
    { name: 'json', kind: 'boolean', help: 'Print a line of JSON for each image, with all that is known of it' },
    { name: 'quiet', short: 'q', kind: 'boolean', help: 'Print ids alone' },
    { name: 'no-trunc', kind: 'boolean', help: 'Print whole ids' },
  ],
  exits: EXITS,

  async run(flags, rest) {
    if (rest.length > 1) throw usageError(`images: ${rest[1]} is too much`, 'See caisson images --help.')
    const filter = filterOf(flags)
    const images = await Image.list(rest[0] === undefined ? filter : { ...filter, reference: rest[0] })
    const format = flags.text('format')
    const id = (image: Image) => (flags.boolean('no-trunc') ? image.id : image.id.replace('sha256:', '').slice(0, 12))
    if (flags.boolean('quiet')) for (const image of images) process.stdout.write(`${id(image)}\n`)
    else if (format === 'json')
      for (const image of images)
        for (const name of image.tags.length > 0 ? image.tags : ['<none>:<none>'])
          process.stdout.write(`${harmlessJson(await fieldsOf(image, name, id(image)))}\n`)
    else if (flags.boolean('json'))
      for (const image of images) process.stdout.write(`${harmlessJson(await image.inspect())}\n`)
    else if (format !== undefined) process.stdout.write(await formatted(images, id, format))
    else process.stdout.write(await imageTable(images, id, flags.boolean('digests') ?? false))
    return 0
  },
}

async function imageTable(images: Image[], id: (image: Image) => string, digests: boolean): Promise<string> {
  const rows = [['NAME', ...(digests ? ['DIGEST'] : []), 'IMAGE ID', 'CREATED', 'SIZE']]
  for (const image of images) {
    const { created } = await image.inspect()
    const more = [id(image), created?.toISOString().slice(0, 10) ?? '', bytes(image.size ?? 0)]
    if (digests) more.unshift(image.digest ?? '<none>')
    for (const name of image.tags.length > 0 ? image.tags : ['<none>']) rows.push([name, ...more])
  }
  return table(rows[0] as string[], rows.slice(1))
}

/** A line for each name. Of docker's templates the fields alone; `table` in front puts a heading above. */
async function formatted(images: Image[], id: (image: Image) => string, format: string): Promise<string> {
  const [, heading, template = format] = /^(table)\s+(.*)$/s.exec(format) ?? []
  const rows: string[][] = []
  for (const image of images)
    for (const name of image.tags.length > 0 ? image.tags : ['<none>:<none>']) {
      const fields = await fieldsOf(image, name, id(image))
      rows.push(fillTemplate(template, fields).split('\\t'))
    }
  if (heading) return table(fillTemplate(template, HEADINGS).split('\\t'), rows)
  return rows.map((row) => `${row.join('\t')}\n`).join('')
}

const HEADINGS: Record<string, string> = {
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  ID: 'IMAGE ID',
  Digest: 'DIGEST',
  CreatedAt: 'CREATED AT',
  CreatedSince: 'CREATED',
  Size: 'SIZE',
}

/** As docker calls them. */
async function fieldsOf(image: Image, name: string, id: string): Promise<Record<string, string>> {
  const { created } = await image.inspect()
  const colon = name.lastIndexOf(':')
  return {
    Repository: name.slice(0, colon),
    Tag: name.slice(colon + 1),
    ID: id,
    Digest: image.digest ?? '<none>',
    CreatedAt: created?.toISOString() ?? '',
    CreatedSince: created ? `${ago(created)} ago` : '',
    Size: bytes(image.size ?? 0),
  }
}

/** `--filter dangling=true --filter label=a=b`, as docker's. */
function filterOf(flags: Flags): ImageFilter {
  const filter: Record<string, unknown> = {}
  for (const text of flags.list('filter') ?? []) {
    const equals = text.indexOf('=')
    if (equals < 1) throw usageError(`--filter ${text}: it has no value`, 'Write --filter NAME=VALUE.')
    const [name, value] = [text.slice(0, equals), text.slice(equals + 1)]
    if (name === 'dangling') filter.dangling = parseBoolean(value, '--filter dangling')
    else if (name === 'label' || name === 'reference') filter[name] = [...((filter[name] as string[]) ?? []), value]
    else filter[name] = value
  }
  return filter
}

export const pruneCommand: Command = {
  summary: 'Remove images without a name, and what nothing needs',
  usage: 'prune [FLAGS]',
  description:
    'Removes images that have lost their names, and content that nothing needs. Containers keep what they use.',
  flags: [
    { name: 'all', short: 'a', kind: 'boolean', help: 'Also images with names, unless a container uses them' },
    { name: 'build-cache', kind: 'boolean', help: 'Also what builds have kept' },
    { ...FILTER, short: undefined },
    { name: 'force', short: 'f', kind: 'boolean', help: 'As without: nothing is asked' },
  ],
  exits: EXITS,

  async run(flags, rest) {
    if (rest.length > 0) throw usageError(`prune: ${rest[0]} is too much`, 'See caisson prune --help.')
    const cache = flags.boolean('build-cache') ? await Image.pruneBuildCache() : undefined
    const { images, bytes: count } = await Image.prune({ ...filterOf(flags), all: flags.boolean('all') })
    for (const image of images) process.stdout.write(`${image}\n`)
    process.stdout.write(`Total reclaimed space: ${bytes(count + (cache?.bytes ?? 0))}\n`)
    return 0
  },
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
    const force = flags.boolean('force')
    let failed = false
    for (const name of rest) {
      try {
        await Image.remove(name, { force })
        process.stdout.write(`${name}\n`)
      } catch (error) {
        // As docker: the others go all the same, and by force one that is not there is none that stays.
        if (!(error instanceof CaissonError)) throw error
        failed ||= !force || error.code !== 'ERR_CAISSON_IMAGE_NOT_FOUND'
        process.stderr.write(harmless(`caisson: ${error.message}\n`))
      }
    }
    return failed ? 1 : 0
  },
}

export const saveCommand: Command = {
  summary: 'Write images to an archive',
  usage: 'save [FLAGS] IMAGE...',
  description: 'Writes an archive that docker load and podman load read, to a file or to the standard output.',
  flags: [
    { name: 'output', short: 'o', kind: 'text', value: 'file', help: 'Write to a file' },
    { name: 'format', kind: 'text', help: 'docker (default) or oci' },
  ],
  exits: EXITS,

  async run(flags, rest) {
    if (rest.length === 0) throw usageError('save: there is no image', 'See caisson save --help.')
    const images = await Promise.all(rest.map((name) => Image.get(name)))
    const output = flags.text('output')
    if (output === undefined && process.stdout.isTTY)
      throw usageError('save: an archive is nothing for a terminal', 'Write it to a file with -o, or into a pipe.')
    const format = (flags.text('format') ?? 'docker') as 'docker' | 'oci'
    await Image.saveAll(images, output ?? process.stdout, { format })
    return 0
  },
}

export const loadCommand: Command = {
  summary: 'Read images from an archive',
  usage: 'load [FLAGS]',
  description: 'Reads what docker save, podman save or skopeo wrote, from a file, a directory or the standard input.',
  flags: [
    { name: 'input', short: 'i', kind: 'text', value: 'file', help: 'Read a file or directory' },
    { name: 'quiet', short: 'q', kind: 'boolean', help: 'As without: only names are printed' },
  ],
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

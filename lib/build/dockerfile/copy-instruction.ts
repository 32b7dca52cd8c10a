/** COPY and ADD. */
import { readFlags } from './flags.js'
import { type HeredocWord, heredocContent, parseHeredoc } from './heredoc.js'
import type { Add, Copy, InlineFile } from './instruction.js'
import type { Place } from './place.js'
import { fault } from './source.js'
import type { Token } from './words.js'

const COMMON = { chown: 'text', chmod: 'text', link: 'boolean', exclude: 'list' } as const

export function readCopy(place: Place): Copy {
  atLeastTwo(place, 'COPY')
  const { from, chown, chmod, link, parents, exclude } = readFlags(place, {
    ...COMMON,
    from: 'text',
    parents: 'boolean',
  })
  const transfer = sourcesAndDestination(place, 'COPY')
  return {
    name: 'COPY',
    place,
    ...transfer,
    from: from?.text === '' ? undefined : from,
    chown,
    chmod,
    link: link ?? false,
    parents: parents ?? false,
    excludes: exclude,
  }
}

export function readAdd(place: Place): Add {
  atLeastTwo(place, 'ADD')
  const flags = readFlags(place, { ...COMMON, 'keep-git-dir': 'boolean', checksum: 'text', unpack: 'boolean' })
  const { chown, chmod, link, exclude, checksum, unpack } = flags
  return {
    name: 'ADD',
    place,
    ...sourcesAndDestination(place, 'ADD'),
    chown,
    chmod,
    link: link ?? false,
    excludes: exclude,
    checksum,
    keepGitDir: flags['keep-git-dir'],
    unpack,
  }
}

function atLeastTwo({ node }: Place, name: string): void {
  if (node.args.length < 2)
    throw fault(
      `${name} requires at least two arguments, but only one was provided. Destination could not be determined`,
      `Write ${name} source destination.`,
    )
}

function sourcesAndDestination(
  place: Place,
  name: string,
): { sources: Token[]; files: InlineFile[]; destination: Token } {
  const { args, heredocs } = place.node
  const destination = args.at(-1) as Token
  if (heredocIn(destination.text))
    throw place.fault(destination, `${name} cannot accept a heredoc as a destination`, 'End with a path.')
  const sources: Token[] = []
  const files: InlineFile[] = []
  for (const arg of args.slice(0, -1)) {
    const word = heredocIn(arg.text)
    if (!word) {
      sources.push(arg)
      continue
    }
    // As in BuildKit, of several with the same name the last counts.
    const heredoc = heredocs.findLast((each) => each.name === word.name)
    files.push({ name: word.name, content: heredoc ? heredocContent(heredoc) : '', expand: word.expand })
  }
  return { sources, files, destination }
}

function heredocIn(word: string): HeredocWord | undefined {
  try {
    return parseHeredoc(word)
  } catch {
    return undefined
  }
}

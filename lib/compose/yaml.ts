/** From YAML, or an object of JavaScript, to a tree with places. */
import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type Scalar,
} from 'yaml'
import { CaissonError } from '../errors.js'
import { SourceFile, type Span } from '../util/source-file.js'
import { below, type ComposeNode, composeError, type Entry, type MapNode, type Place } from './node.js'

/** Bytes of a file; a large project has some thousands. */
const LARGEST = 4 * 1024 * 1024
/** Of mappings in mappings; the format itself needs seven. */
const DEEPEST = 64
/** Of values, those that aliases repeat counted each time: some lines can stand for more than any memory holds. */
const MOST = 1_000_000

/** @throws CaissonError ERR_CAISSON_COMPOSE with file, line and column. */
export function parseYaml(text: string, name: string): ComposeNode {
  const source = new SourceFile(text, name)
  const top: Place = { path: '', source, span: { start: { line: 1, column: 1 }, end: { line: 1, column: 2 } } }
  if (text.length > LARGEST) throw composeError(top, 'the file is too large', 'At most 4 MiB are read.')
  const lines = new LineCounter()
  const document = parsed(source.text, lines, top)
  return new Builder(source, lines).build(document.contents, '', 0)
}

/** Custom tags that change how files are merged; what they hold is read as without them. */
const TAGS = ['!override', '!reset']

function parsed(text: string, lineCounter: LineCounter, top: Place) {
  const bare = { resolve: (value: unknown) => value as never }
  try {
    const document = parseDocument(text, {
      version: '1.2',
      prettyErrors: false,
      logLevel: 'silent',
      lineCounter,
      // `<<` may be there twice.
      uniqueKeys: false,
      customTags: (tags) => [
        ...tags,
        ...TAGS.flatMap((tag) => [
          { tag, collection: 'map' as const, ...bare },
          { tag, collection: 'seq' as const, ...bare },
          { tag, resolve: (value: string) => value },
        ]),
      ],
    })
    const problem = document.errors[0] ?? document.warnings[0]
    if (!problem) return document
    const span = spanOf(lineCounter, problem.pos[0], problem.pos[1])
    throw composeError(
      { ...top, span },
      problem.message,
      'See https://yaml.org for the language; check the indentation.',
    )
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw composeError(top, 'the file is nested too deeply', `At most ${DEEPEST} levels are read.`)
  }
}

function spanOf(lines: LineCounter, from: number, to: number): Span {
  const position = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  return { start: position(from), end: position(Math.max(to, from + 1)) }
}

class Builder {
  readonly #source: SourceFile
  readonly #lines: LineCounter
  /** In the order of the text; null: it is being read, and holds itself. */
  readonly #anchors = new Map<string, { node: ComposeNode; size: number } | null>()
  #nodes = 0

  constructor(source: SourceFile, lines: LineCounter) {
    this.#source = source
    this.#lines = lines
  }

  build(node: ParsedNode | null, path: string, depth: number): ComposeNode {
    const place = this.#place(node, path)
    if (depth > DEEPEST) throw composeError(place, 'this is nested too deeply', `At most ${DEEPEST} levels are read.`)
    const before = this.#nodes++
    if (node === null) return { kind: 'scalar', place, value: null, text: '' }
    if (isAlias(node)) return this.#aliased(node, place)
    const { anchor } = node
    if (anchor) this.#anchors.set(anchor, null)
    const made = { ...this.#content(node, place, depth), ...tagOf(node, place) }
    if (anchor) this.#anchors.set(anchor, { node: made, size: this.#nodes - before })
    return made
  }

  #content(node: Exclude<ParsedNode, Alias.Parsed>, place: Place, depth: number): ComposeNode {
    if (isSeq(node)) {
      const items = node.items.map((item, i) => this.build(item as ParsedNode, `${place.path}[${i}]`, depth + 1))
      return { kind: 'list', place, items }
    }
    if (isMap(node)) return this.#mapping(node.items as Pairs, place, depth)
    if (isScalar(node)) return scalar(node as Scalar, place)
    throw composeError(place, 'this is not understood', 'Write a text, a list or a mapping.')
  }

  #mapping(pairs: Pairs, place: Place, depth: number): MapNode {
    const own = new Map<string, Entry>()
    const merged: MapNode[] = []
    for (const { key, value } of pairs) {
      const at = this.#place(key, place.path)
      const name = this.#keyOf(key, at)
      const path = below(place.path, name)
      if (name === '<<' && isScalar(key) && key.type === 'PLAIN') {
        merged.push(...mappingsOf(this.build(value, path, depth + 1)))
        continue
      }
      if (own.has(name)) throw composeError(at, `${JSON.stringify(name)} is there twice`, 'Leave one of them out.')
      own.set(name, { key: { ...at, path }, value: this.build(value, path, depth + 1) })
    }
    if (merged.length === 0) return { kind: 'map', place, entries: own }
    // What is written here comes before what is merged, and of those the first.
    const entries = new Map<string, Entry>()
    for (const each of merged)
      for (const [name, entry] of each.entries) if (!entries.has(name)) entries.set(name, entry)
    for (const [name, entry] of own) entries.set(name, entry)
    return { kind: 'map', place, entries }
  }

  #keyOf(key: ParsedNode | null, place: Place): string {
    if (isScalar(key)) return scalar(key as Scalar, place).text
    throw composeError(place, 'a key is no text', 'Write `key: value`.')
  }

  #aliased(node: Alias.Parsed, place: Place): ComposeNode {
    const target = this.#anchors.get(node.source)
    if (target) {
      this.#nodes += target.size
      if (this.#nodes <= MOST) return target.node
      throw composeError(place, 'aliases repeat too much', `At most ${MOST} values are read.`)
    }
    const why = target === null ? 'holds itself' : 'is not there'
    throw composeError(
      place,
      `the anchor ${node.source} ${why}`,
      'An anchor (&name) stands before its aliases (*name).',
    )
  }

  #place(node: ParsedNode | null, path: string): Place {
    const range = node?.range
    if (!range) return { path, source: this.#source, span: spanOf(this.#lines, 0, 0) }
    return { path, source: this.#source, span: spanOf(this.#lines, range[0], range[1]) }
  }
}

type Pairs = Array<{ key: ParsedNode | null; value: ParsedNode | null }>

function scalar(node: Scalar, place: Place): ComposeNode & { kind: 'scalar' } {
  const { value } = node
  const plain = value === null || ['string', 'number', 'boolean'].includes(typeof value)
  if (!plain) throw composeError(place, 'this is no text or number', 'Write it in quotes.')
  const text = typeof value === 'string' ? value : (node.source ?? String(value ?? ''))
  return { kind: 'scalar', place, value: value as string | number | boolean | null, text: value === null ? '' : text }
}

function tagOf(node: Exclude<ParsedNode, Alias.Parsed>, place: Place): { tag?: 'override' | 'reset' } {
  const { tag } = node
  if (tag === undefined || tag === '' || tag.startsWith('tag:yaml.org,2002:')) return {}
  if (tag === '!override') return { tag: 'override' }
  if (tag === '!reset') return { tag: 'reset' }
  throw composeError(place, `there is no tag ${tag}`, 'There are !override and !reset.')
}

function mappingsOf(node: ComposeNode): MapNode[] {
  if (node.kind === 'map') return [node]
  if (node.kind === 'list' && node.items.every((each) => each.kind === 'map')) return node.items as MapNode[]
  throw composeError(node.place, '<< is followed by no mapping', 'Write `<<: *name`, or a list of such.')
}

/** The same of an object, which has no lines. */
export function fromObject(value: unknown, path = '', depth = 0): ComposeNode {
  const place: Place = { path }
  if (depth > DEEPEST) throw composeError(place, 'this is nested too deeply', `At most ${DEEPEST} levels are read.`)
  if (value === null || value === undefined) return { kind: 'scalar', place, value: null, text: '' }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return { kind: 'scalar', place, value, text: String(value) }
  if (Array.isArray(value))
    return { kind: 'list', place, items: value.map((each, i) => fromObject(each, `${path}[${i}]`, depth + 1)) }
  if (typeof value !== 'object')
    throw new CaissonError('ERR_CAISSON_COMPOSE', `${path}: a ${typeof value} has no place in a compose file`, {
      stage: 'compose',
      hint: 'Give texts, numbers, lists and objects.',
    })
  const given = Object.entries(value).filter(([, each]) => each !== undefined)
  const entries = given.map(([key, each]): [string, Entry] => {
    const at = below(path, key)
    return [key, { key: { path: at }, value: fromObject(each, at, depth + 1) }]
  })
  return { kind: 'map', place, entries: new Map(entries) }
}

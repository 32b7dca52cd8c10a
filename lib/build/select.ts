/** What COPY and ADD take of a tree, and where it comes to lie. */
import { CaissonError } from '../errors.js'
import { didYouMean, nearest } from '../util/suggest.js'
import { hasWildcard } from './dockerfile/evaluate-copy.js'
import { type Glob, matchGlob, parseGlob } from './dockerfile/glob.js'
import { IgnoreMatcher, type MatchState } from './dockerfile/ignore.js'
import type { CopySource } from './dockerfile/plan-types.js'
import { baseName, joinPath, parentPath, quote } from './dockerfile/text.js'
import type { ListedNode, Listing } from './listing.js'

export interface SelectedItem {
  /** Relative to the root of the tree; links on the way are followed. */
  from: string
  /** Absolute. */
  to: string
  type: ListedNode['type']
  /** The source itself is this directory: what is at the destination already keeps its owner and mode. */
  top: boolean
  /** A file that a source names, and that is not only in a directory that one does. */
  named?: true
  /** This stands for all that is below it too. */
  whole?: true
}

export interface Destination {
  /** Absolute; a slash at the end says that it is a directory. */
  path: string
  /** What is there already. */
  existing?: 'directory' | 'other'
}

type PathSource = CopySource & { kind: 'path' }

/**
 * Everything that the sources of one instruction select, in the order in which it is copied. With `whole`, a directory
 * of which all is taken is one item.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE when a source is missing, or when several files would come to lie on the
 * same path.
 */
export function selectSources(
  listing: Listing,
  sources: readonly PathSource[],
  excludes: readonly string[],
  destination: Destination,
  { whole = false }: { whole?: boolean } = {},
): SelectedItem[] {
  const ignore = excludes.length > 0 ? new IgnoreMatcher(excludes) : undefined
  const items: SelectedItem[] = []
  const target = new Target(destination)
  for (const source of sources) {
    const matches = matchesOf(listing, source)
    for (const match of matches) {
      if (source.below !== undefined) takeParents(listing, source, match, ignore, target, items)
      else takeMatch(match, ignore, target, items, whole && !ignore)
    }
  }
  return items
}

/** A path that was asked for, and what is there. */
interface Match {
  path: string
  node: ListedNode
}

function matchesOf(listing: Listing, source: PathSource): Match[] {
  if (!hasWildcard(source.path)) {
    const node = listing.resolve(source.path)
    if (!node) throw notFound(listing, source.path)
    return [{ path: source.path, node }]
  }
  const parts = source.path.split('/').filter((part) => part !== '')
  const first = parts.findIndex(hasWildcard)
  const base = listing.resolve(parts.slice(0, first).map(withoutEscapes).join('/'))
  if (!base) return []
  const matches: Match[] = []
  // Component by component: no wildcard matches a slash.
  find(
    listing,
    base,
    parts.slice(first).map((part) => parseGlob(part)),
    matches,
  )
  return matches
}

function find(listing: Listing, node: ListedNode, globs: Glob[], matches: Match[]): void {
  const [glob, ...others] = globs
  if (!glob) return
  for (const child of node.entries) {
    if (!matchGlob(glob, child.name)) continue
    if (others.length > 0) {
      // Links are not followed on the way of a wildcard.
      if (child.type === 'directory') find(listing, child, others, matches)
      continue
    }
    const found = child.type === 'symlink' ? listing.resolve(child.path) : child
    if (found) matches.push({ path: child.path, node: found })
  }
}

/** A path without its escapes. */
const withoutEscapes = (part: string) => part.replace(/\\(.)/g, '$1')

function takeMatch(
  { path, node }: Match,
  ignore: IgnoreMatcher | undefined,
  target: Target,
  items: SelectedItem[],
  whole: boolean,
): void {
  if (node.type !== 'directory') {
    const name = baseName(path)
    if (ignore?.matches(name)) return
    items.push({ from: node.path, to: target.forFile(name), type: node.type, top: false, named: true })
    return
  }
  const to = target.forDirectory()
  items.push({ from: node.path, to, type: 'directory', top: true, ...(whole ? { whole } : {}) })
  if (!whole) takeTree(node, to, { ignore }, items)
}

/** With --parents: what matches below a directory, and the directories on the way there. */
function takeParents(
  listing: Listing,
  source: PathSource,
  { path, node }: Match,
  ignore: IgnoreMatcher | undefined,
  target: Target,
  items: SelectedItem[],
): void {
  const below = source.below ?? ''
  if (node.type !== 'directory') throw notFound(listing, joinPath(path, below))
  if (source.required && !listing.resolve(joinPath('/', node.path, withoutEscapes(below))))
    throw notFound(listing, joinPath(path, below))
  const to = target.forDirectory()
  const include = below === '' ? undefined : new IgnoreMatcher([below])
  takeTree(node, to, { ignore, include }, items)
}

interface Filters {
  ignore?: IgnoreMatcher
  /** Only what matches is taken; directories that do not are made when something in them is. */
  include?: IgnoreMatcher
}

interface Level {
  node: ListedNode
  /** Relative to the source. */
  path: string
  ignored?: MatchState
  included?: MatchState
  /** Directories above that are made as soon as something in them is. */
  waiting: SelectedItem[]
}

function takeTree(top: ListedNode, to: string, { ignore, include }: Filters, items: SelectedItem[]): void {
  const levels: Level[] = [{ node: top, path: '', waiting: [] }]
  const made = new Set<SelectedItem>()
  for (let level = levels.pop(); level; level = levels.pop()) {
    const { node, path } = level
    let waiting = level.waiting
    let ignored: ReturnType<IgnoreMatcher['walk']> | undefined
    let included: ReturnType<IgnoreMatcher['walk']> | undefined
    if (path !== '') {
      ignored = ignore?.walk(path, level.ignored)
      included = include?.walk(path, level.included)
      const isTaken = !ignored?.matches && (included?.matches ?? true)
      if (!isTaken && node.type !== 'directory') continue
      if (ignored?.matches && !ignore?.mayHoldException(path)) continue
      const item = { from: node.path, to: joinPath(to, path), type: node.type, top: false }
      if (!isTaken) waiting = [...waiting, item]
      else for (const each of [...waiting, item]) if (!made.has(each)) made.add(each) && items.push(each)
    }
    for (const child of node.entries.toReversed())
      levels.push({
        node: child,
        path: path === '' ? child.name : `${path}/${child.name}`,
        ignored: ignored?.state,
        included: included?.state,
        waiting,
      })
  }
}

/** Where sources come to lie, which depends on what came before them. */
class Target {
  private readonly path: string
  private isDirectory: boolean
  private readonly isFile: boolean
  private filled?: string

  constructor({ path, existing }: Destination) {
    this.path = joinPath(path)
    this.isDirectory = path.endsWith('/') || path.endsWith('/.') || existing === 'directory'
    this.isFile = existing === 'other'
    if (this.isDirectory && this.isFile) throw this.notDirectory()
  }

  forDirectory(): string {
    if (this.isFile || this.filled !== undefined) throw this.notDirectory()
    this.isDirectory = true
    return this.path
  }

  forFile(name: string): string {
    if (this.isDirectory) return joinPath(this.path, name)
    if (this.filled !== undefined)
      throw failure(
        `${quote(this.filled)} and ${quote(name)} would both become ${this.path}`,
        `When several files are copied, the destination must be a directory: write ${this.path}/.`,
      )
    this.filled = name
    return this.path
  }

  private notDirectory(): CaissonError {
    return failure(`${this.path} is not a directory`, 'A directory can be copied only to a directory.')
  }
}

function notFound(listing: Listing, path: string): CaissonError {
  const siblings = listing.resolve(parentPath(path))?.entries.map(({ name }) => name) ?? []
  const meant = nearest(baseName(path), siblings)
  return failure(
    `${quote(joinPath('/', path))}: not found${didYouMean(meant)}`,
    'Paths are relative to the context or stage that they are copied from; .dockerignore may leave out some.',
  )
}

const failure = (message: string, hint: string) =>
  new CaissonError('ERR_CAISSON_DOCKERFILE', message, { stage: 'copy', hint })

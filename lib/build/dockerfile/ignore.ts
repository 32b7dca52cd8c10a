/** .dockerignore, and what else leaves paths out by the same patterns: COPY --exclude, and what --parents takes. */
import { type Glob, globProgram, matchGlob, parseGlob } from './glob.js'
import { fault } from './source.js'
import { cleanPath, parentPath, trimSpace } from './text.js'

/** For each pattern, whether a directory or one above it matched. */
export type MatchState = Uint8Array

/** The patterns of a file, one on a line: comments and empty lines left out, paths relative and cleaned. */
export function readIgnoreFile(text: string): string[] {
  const patterns: string[] = []
  const body = text.startsWith('\ufeff') ? text.slice(1) : text
  for (const line of body.split('\n')) {
    if (line.startsWith('#')) continue
    const trimmed = trimSpace(line)
    if (trimmed === '') continue
    const exception = trimmed.startsWith('!')
    const pattern = exception ? trimSpace(trimmed.slice(1)) : trimmed
    const clean = pattern === '' ? '' : cleanPath(pattern)
    patterns.push((exception ? '!' : '') + (clean.length > 1 && clean.startsWith('/') ? clean.slice(1) : clean))
  }
  return patterns
}

export class IgnoreMatcher {
  /** Cleaned, without the `!` of exceptions. */
  readonly patterns: readonly string[]
  readonly hasExceptions: boolean
  private readonly matchers: Matcher[]

  /**
   * @param patterns the last one that matches decides; `!` takes out again.
   * @throws CaissonError ERR_CAISSON_DOCKERFILE for a bad pattern.
   */
  constructor(patterns: readonly string[]) {
    this.matchers = patterns
      .map(trimSpace)
      .filter((pattern) => pattern !== '')
      .map(compile)
    this.patterns = this.matchers.map(({ text }) => text)
    this.hasExceptions = this.matchers.some(({ exception }) => exception)
  }

  /** The same for who matches elsewhere (addon/core/inventory/patterns.h). */
  program(): IgnoreProgram[] {
    return this.matchers.map(({ exception, stem, text, glob }) => {
      const { kind, part } = formOf(text)
      return { exception, stem, kind, text: part, parts: kind === 'glob' ? globProgram(glob) : [] }
    })
  }

  /** Whether the path, or a directory that it is in, is left out. */
  matches(path: string): boolean {
    const parents = parentsOf(path)
    let left = false
    for (const { exception, match } of this.matchers)
      if (exception === left && (match(path) || parents.some(match))) left = !exception
    return left
  }

  /**
   * The same for who walks a tree from the top.
   * @param parent what came out for the directory that the path is in; none at the root.
   */
  walk(path: string, parent?: MatchState): { matches: boolean; state: MatchState } {
    const state = new Uint8Array(this.matchers.length)
    let left = false
    this.matchers.forEach(({ exception, match }, i) => {
      if (parent?.[i] !== 1 && (exception !== left || !match(path))) return
      state[i] = 1
      left = !exception
    })
    return { matches: left, state }
  }

  /**
   * Whether something below a directory that is left out may be in after all. Without exceptions nothing may, and with
   * them it depends on how they begin.
   */
  mayHoldException(directory: string): boolean {
    const below = `${directory}/`
    return this.matchers.some(({ exception, stem }) => exception && (stem.startsWith(below) || below.startsWith(stem)))
  }
}

/** A pattern in plain data. */
export interface IgnoreProgram {
  exception: boolean
  stem: string
  kind: Form['kind']
  text: string
  parts: number[]
}

interface Matcher {
  text: string
  glob: Glob
  exception: boolean
  /** What every path that matches begins with. */
  stem: string
  match: (path: string) => boolean
}

function compile(pattern: string): Matcher {
  const clean = cleanPath(pattern)
  const exception = clean.startsWith('!')
  const text = exception ? clean.slice(1) : clean
  if (exception && text === '') throw fault('illegal exclusion pattern: "!"', 'Write a path behind the !.')
  const glob = parseGlob(text, true)
  return { text, glob, exception, stem: stemOf(glob), match: matcherOf(formOf(text), glob) }
}

interface Form {
  kind: 'exact' | 'suffix' | 'prefix' | 'glob'
  /** What is compared as text. */
  part: string
}

/**
 * What has no other wildcard than `**` at one end is compared as text. That is not only faster: `**x` matches any path
 * that ends in x, also where x is but the end of a name.
 */
function formOf(text: string): Form {
  const plain = (part: string) => !/[*?[\]\\]/.test(part)
  if (plain(text)) return { kind: 'exact', part: text }
  if (text.startsWith('**') && plain(text.slice(2))) return { kind: 'suffix', part: text.slice(2) }
  if (text.endsWith('**') && plain(text.slice(0, -2))) return { kind: 'prefix', part: text.slice(0, -2) }
  return { kind: 'glob', part: '' }
}

function matcherOf({ kind, part }: Form, glob: Glob): (path: string) => boolean {
  if (kind === 'exact') return (path) => path === part
  if (kind === 'suffix') return (path) => path.endsWith(part) || (part.startsWith('/') && path === part.slice(1))
  if (kind === 'prefix') return (path) => path.startsWith(part)
  return (path) => matchGlob(glob, path)
}

function stemOf(glob: Glob): string {
  let stem = ''
  for (const part of glob) {
    if (part.kind !== 'character') break
    stem += part.character
  }
  return stem
}

/** The directories that a path is in, from the top. */
function parentsOf(path: string): string[] {
  const parent = parentPath(path)
  if (parent === '.') return []
  const parents: string[] = []
  for (let at = parent.indexOf('/'); at >= 0; at = parent.indexOf('/', at + 1)) parents.push(parent.slice(0, at))
  return [...parents, parent]
}

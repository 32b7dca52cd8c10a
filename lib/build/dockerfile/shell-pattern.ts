/**
 * The patterns of `${name#pattern}`, `%` and `/`: `*` and `?`, no brackets. Found without regular expressions, which in
 * JavaScript may take exponential time on them.
 *
 * A pattern is pieces with any text between them. What is matched earliest leaves most room for what follows, so a
 * piece never has to be tried at two places; only the last one decides between the shortest and the longest match.
 */
import { fault } from './source.js'
import { quote } from './text.js'

/** Characters to match; null is any one. */
type Piece = ReadonlyArray<string | null>

/** Steps that one match may take: the length of the value times that of the pattern. */
const MOST_STEPS = 1 << 24

export function trimPrefix(value: string, pattern: string, longest: boolean): string {
  return trimmed([...value], parse(pattern), longest).join('')
}

export function trimSuffix(value: string, pattern: string, longest: boolean): string {
  const pieces = parse(pattern)
    .map((piece) => piece.toReversed())
    .toReversed()
  return trimmed([...value].toReversed(), pieces, longest)
    .toReversed()
    .join('')
}

/** With the first match replaced, or all. `room` is the number of units that the result may have. */
export function replacePattern(
  value: string,
  pattern: string,
  replacement: string,
  all: boolean,
  room: number,
): string {
  const pieces = parse(pattern)
  const text = [...value]
  bound(text, pieces)
  const parts: string[] = []
  let length = 0
  let copied = 0
  let matched = -1
  let from = 0
  while (from <= text.length) {
    const match = search(text, pieces, from)
    if (!match) break
    const [start, end] = match
    // As in Go, a match of nothing does not count right behind another match.
    if (start < end || start !== matched) {
      parts.push(text.slice(copied, start).join(''), replacement)
      length += start - copied + replacement.length
      if (length > room) throw fault('variables make this longer than 1 MiB', 'Put what is that long into a file.')
      copied = end
      matched = end
    }
    if (!all) break
    from = end > start ? end : end + 1
  }
  return parts.join('') + text.slice(copied).join('')
}

function trimmed(text: string[], pieces: Piece[], longest: boolean): string[] {
  bound(text, pieces)
  const end = matchAt(text, pieces, 0, longest)
  return end === undefined ? text : text.slice(end)
}

/** Pieces between the stars. An escape takes the meaning from `*`, `?` and itself. */
function parse(pattern: string): Piece[] {
  const pieces: Array<Array<string | null>> = [[]]
  const characters = [...pattern]
  for (let i = 0; i < characters.length; i++) {
    let character = characters[i] as string
    if (character === '*') {
      pieces.push([])
      continue
    }
    if (character === '?') {
      ;(pieces.at(-1) as Array<string | null>).push(null)
      continue
    }
    if (character === '\\') {
      character = characters[++i] ?? ''
      // } and / are escaped for the sake of ${} alone.
      if (!'*?\\}/'.includes(character) || character === '')
        throw fault(`invalid pattern (${pattern}) in substitution: invalid escape ${quote(`\\${character}`)}`)
    }
    ;(pieces.at(-1) as Array<string | null>).push(character)
  }
  return pieces
}

function bound(text: string[], pieces: Piece[]): void {
  const longest = pieces.reduce((most, piece) => Math.max(most, piece.length), pieces.length)
  if (text.length * longest > MOST_STEPS) throw fault('the value and the pattern are too long to be matched')
}

/** The first match from `from` on: the earliest start, and from there the longest. */
function search(text: string[], pieces: Piece[], from: number): [start: number, end: number] | undefined {
  const start = find(text, pieces[0] as Piece, from)
  if (start === undefined) return undefined
  const end = matchAt(text, pieces, start, true)
  return end === undefined ? undefined : [start, end]
}

/** Where a match that begins at `start` ends. */
function matchAt(text: string[], pieces: Piece[], start: number, longest: boolean): number | undefined {
  const [first, ...others] = pieces as [Piece, ...Piece[]]
  if (!fits(text, first, start)) return undefined
  let at = start + first.length
  const last = others.pop()
  for (const piece of others) {
    const found = find(text, piece, at)
    if (found === undefined) return undefined
    at = found + piece.length
  }
  if (last === undefined) return at
  const found = longest ? findLast(text, last, at) : find(text, last, at)
  return found === undefined ? undefined : found + last.length
}

function find(text: string[], piece: Piece, from: number): number | undefined {
  for (let at = from; at + piece.length <= text.length; at++) if (fits(text, piece, at)) return at
  return undefined
}

function findLast(text: string[], piece: Piece, from: number): number | undefined {
  for (let at = text.length - piece.length; at >= from; at--) if (fits(text, piece, at)) return at
  return undefined
}

function fits(text: string[], piece: Piece, at: number): boolean {
  return at + piece.length <= text.length && piece.every((wanted, i) => wanted === null || wanted === text[at + i])
}

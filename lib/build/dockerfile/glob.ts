/**
 * Patterns of paths: those of Go's filepath.Match, and those of .dockerignore, which have `**` too. Matched by keeping all
 * places in the pattern where one may be at once, so that no pattern takes more than its length times the path's.
 */
import { fault } from './source.js'
import { quote } from './text.js'

type Part =
  | { kind: 'character'; character: string }
  | { kind: 'class'; negated: boolean; ranges: Array<[low: number, high: number]> }
  /** `?`: any one but a slash. */
  | { kind: 'any' }
  /** `*`: any number of anything but slashes. */
  | { kind: 'star' }
  /** `**` at the end: anything. */
  | { kind: 'rest' }
  /** `**` before something: nothing, or anything that ends in a slash. */
  | { kind: 'directories' }

export type Glob = readonly Part[]

/**
 * @param deep whether `**` means more than `*`, as in .dockerignore; there a range that is upside down is an error too.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE
 */
export function parseGlob(pattern: string, deep = false): Glob {
  const characters = [...pattern]
  const parts: Part[] = []
  let at = 0
  while (at < characters.length) {
    const character = characters[at++] as string
    if (character === '*' && deep && characters[at] === '*') {
      at++
      if (characters[at] === '/') at++
      parts.push({ kind: at < characters.length ? 'directories' : 'rest' })
    } else if (character === '*') parts.push({ kind: 'star' })
    else if (character === '?') parts.push({ kind: 'any' })
    else if (character === '[') {
      const [part, next] = parseClass(characters, at, pattern, deep)
      parts.push(part)
      at = next
    } else if (character !== '\\') parts.push({ kind: 'character', character })
    else if (at === characters.length) throw badPattern(pattern)
    else parts.push({ kind: 'character', character: characters[at++] as string })
  }
  return parts
}

function parseClass(
  characters: string[],
  start: number,
  pattern: string,
  ordered: boolean,
): [part: Part, next: number] {
  let at = start
  const negated = characters[at] === '^'
  if (negated) at++
  const ranges: Array<[number, number]> = []
  const take = (): number => {
    if (characters[at] === '\\') at++
    else if (characters[at] === '-' || characters[at] === ']') throw badPattern(pattern)
    // After a member there must be more: at least the bracket.
    if (at + 1 >= characters.length) throw badPattern(pattern)
    return (characters[at++] as string).codePointAt(0) as number
  }
  while (ranges.length === 0 || characters[at] !== ']') {
    const low = take()
    let high = low
    if (characters[at] === '-') {
      at++
      high = take()
    }
    if (ordered && high < low) throw badPattern(pattern)
    ranges.push([low, high])
  }
  return [{ kind: 'class', negated, ranges }, at + 1]
}

const badPattern = (pattern: string) =>
  fault(`syntax error in pattern ${quote(pattern)}`, 'Close brackets, and write \\ before *, ?, [ and \\ themselves.')

const CODES: Record<Part['kind'], number> = { character: 0, class: 1, any: 2, star: 3, rest: 4, directories: 5 }

/** A pattern as numbers, for who matches elsewhere (addon/binding/inventory.cc). */
export function globProgram(glob: Glob): number[] {
  return glob.flatMap((part) => {
    const code = CODES[part.kind]
    if (part.kind === 'character') return [code, part.character.codePointAt(0) as number]
    if (part.kind === 'class') return [code, Number(part.negated), part.ranges.length, ...part.ranges.flat()]
    return [code]
  })
}

/** Whether the whole path matches. */
export function matchGlob(glob: Glob, path: string): boolean {
  let current = new Places(glob)
  let next = new Places(glob)
  current.enter(0)
  for (const character of path) {
    if (current.count === 0) return false
    next.clear()
    for (let i = 0; i < current.count; i++) step(glob, current.places[i] as number, character, next)
    ;[current, next] = [next, current]
  }
  return current.has(glob.length)
}

function step(glob: Glob, place: number, character: string, next: Places): void {
  const part = glob[place]
  switch (part?.kind) {
    case 'character':
      if (part.character === character) next.enter(place + 1)
      break
    case 'any':
      if (character !== '/') next.enter(place + 1)
      break
    case 'class':
      if (inClass(part.ranges, character) !== part.negated) next.enter(place + 1)
      break
    case 'star':
      if (character !== '/') next.enter(place)
      break
    case 'rest':
      next.enter(place)
      break
    case 'directories':
      next.add(place)
      if (character === '/') next.enter(place + 1)
      break
  }
}

function inClass(ranges: Array<[number, number]>, character: string): boolean {
  const code = character.codePointAt(0) as number
  return ranges.some(([low, high]) => low <= code && code <= high)
}

/** A set of places in a pattern, each before a part or at the end. */
class Places {
  readonly places: Uint32Array
  count = 0
  private readonly marks: Uint32Array
  private round = 1
  private readonly glob: Glob

  constructor(glob: Glob) {
    this.glob = glob
    this.places = new Uint32Array(glob.length + 1)
    this.marks = new Uint32Array(glob.length + 1)
  }

  clear(): void {
    this.count = 0
    this.round++
  }

  has(place: number): boolean {
    return this.marks[place] === this.round
  }

  add(place: number): void {
    if (this.has(place)) return
    this.marks[place] = this.round
    this.places[this.count++] = place
  }

  /** Comes to a place anew: what may match nothing may also be passed over. */
  enter(place: number): void {
    for (let at = place; ; at++) {
      this.add(at)
      const kind = this.glob[at]?.kind
      if (kind !== 'star' && kind !== 'rest' && kind !== 'directories') return
    }
  }
}

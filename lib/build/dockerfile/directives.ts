/**
 * Parser directives: comments such as `# escape=` at the very top of a file. The first line that is none ends them, also
 * a comment or an empty line.
 */
import { fault } from './source.js'
import { isSpace, skipSpace } from './text.js'

export type DirectiveName = 'syntax' | 'escape' | 'check'
export interface Directive {
  name: DirectiveName
  value: string
  line: number
}

const NAMES: ReadonlySet<string> = new Set<DirectiveName>(['syntax', 'escape', 'check'])
/** White space of Go's regular expressions, by which a directive is recognised. */
const BLANK = /[\t\n\f\r ]/

export class DirectiveParser {
  private readonly seen = new Set<string>()
  private readonly marker: string
  private done = false

  constructor(marker = '#') {
    this.marker = marker
  }

  /**
   * The directive on a line, if directives are still possible and it is one.
   * @throws CaissonError ERR_CAISSON_DOCKERFILE when the same one was there before.
   */
  parse(text: string, line: number): Directive | undefined {
    if (this.done) return undefined
    const found = text.startsWith(this.marker) ? assignment(text, skipSpace(text, this.marker.length)) : undefined
    if (!found || !NAMES.has(found.name)) {
      this.done = true
      return undefined
    }
    if (this.seen.has(found.name))
      throw fault(`only one ${found.name} parser directive can be used`, 'Remove all but one of them.')
    this.seen.add(found.name)
    return { name: found.name as DirectiveName, value: found.value, line }
  }
}

/** `name = value` from `start` on. Written out, since as a regular expression it takes quadratic time on white space. */
function assignment(text: string, start: number): { name: string; value: string } | undefined {
  const name = /^[a-zA-Z][a-zA-Z0-9]*/.exec(text.slice(start, start + 64))?.[0]
  if (name === undefined) return undefined
  let at = skipBlank(text, start + name.length)
  if (text[at] !== '=') return undefined
  const behind = at + 1
  at = skipBlank(text, behind)
  let end = text.length
  while (end > at && BLANK.test(text.charAt(end - 1))) end--
  // A value of nothing but blanks is its last one.
  if (end === at) return behind < text.length ? { name: name.toLowerCase(), value: text.slice(-1) } : undefined
  return { name: name.toLowerCase(), value: text.slice(at, end) }
}

function skipBlank(text: string, from: number): number {
  let at = from
  while (at < text.length && BLANK.test(text.charAt(at))) at++
  return at
}

/** The first word of a value, which is all that counts for `syntax` and `check`. */
export const firstWord = (value: string) => value.split(' ', 1)[0] as string

/**
 * A directive of a whole file, after an optional `#!` line. `line` counts from 1. One that is there twice counts once.
 */
export function findDirective(text: string, name: DirectiveName, marker = '#'): Directive | undefined {
  const body = text.startsWith('\ufeff') ? text.slice(1) : text
  const parser = new DirectiveParser(marker)
  let start = 0
  for (let line = 1; start < body.length; line++) {
    const newline = body.indexOf('\n', start)
    const end = newline < 0 ? body.length : newline
    const content = body.slice(start, end).replace(/\r$/, '')
    start = end + 1
    if (line === 1 && content.startsWith('#!')) continue
    let directive: Directive | undefined
    try {
      directive = parser.parse(content, line)
    } catch {
      return undefined
    }
    if (!directive || directive.name === name) return directive
  }
  return undefined
}

/**
 * The image that a file names for reading itself: `# syntax=`, `// syntax=`, or the same as a member of a JSON object.
 * caisson reads every file itself; this is for telling what was asked for.
 */
export function detectSyntax(text: string): string | undefined {
  const directive = findDirective(text, 'syntax') ?? findDirective(text, 'syntax', '//')
  if (directive) return firstWord(directive.value)
  const start = skipSpace(text, 0)
  if (text[start] !== '{' || isSpace(text.charAt(start))) return undefined
  try {
    const { syntax } = JSON.parse(text) as { syntax?: unknown }
    return typeof syntax === 'string' ? syntax : undefined
  } catch {
    return undefined
  }
}

/** The file as it was given, places in it, and errors that point at them. */
import { CaissonError, type SourceLocation } from '../errors.js'

/** Lines and columns count from 1; a column is a UTF-16 unit, as in editors and in JavaScript. */
export interface Position {
  line: number
  column: number
}

/** From the first character to behind the last. */
export interface Span {
  start: Position
  end: Position
}

/** How much of a line an excerpt shows. */
const WIDTH = 100

export class SourceFile {
  readonly name: string
  readonly text: string

  constructor(text: string, name: string) {
    this.name = name
    this.text = text.startsWith('\ufeff') ? text.slice(1) : text
  }

  /** The error with file, line, column and an excerpt; one that has a location keeps it. */
  locate(error: CaissonError, span: Span): CaissonError {
    if (error.location) return error
    const location: SourceLocation = { file: this.name, ...span.start, excerpt: this.excerpt(span) }
    const { line, column, excerpt } = location
    return new CaissonError(error.code, `${this.name}:${line}:${column}: ${error.message}\n${excerpt}`, {
      stage: error.stage,
      hint: error.hint,
      cause: error.cause,
      location,
    })
  }

  /** Runs work whose errors are about this place. */
  at<T>(span: Span, work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw error instanceof CaissonError ? this.locate(error, span) : error
    }
  }

  /** The first line of the span with carets below it. Of a long line, the part around the carets. */
  excerpt({ start, end }: Span): string {
    const line = this.line(start.line)
    const first = start.column - 1
    const last = Math.max(first + 1, end.line === start.line ? end.column - 1 : line.length)
    const from = line.length <= WIDTH ? 0 : Math.max(0, Math.min(first - 20, line.length - WIDTH))
    const shown = line.slice(from, from + WIDTH)
    const carets = '^'.repeat(Math.max(1, Math.min(last, from + WIDTH) - first))
    const number = String(start.line)
    const margin = ' '.repeat(number.length)
    return ` ${number} | ${printable(shown)}\n ${margin} | ${' '.repeat(first - from)}${carets}`
  }

  private line(number: number): string {
    let start = 0
    for (let line = 1; line < number; line++) {
      const end = this.text.indexOf('\n', start)
      if (end < 0) return ''
      start = end + 1
    }
    const end = this.text.indexOf('\n', start)
    return this.text.slice(start, end < 0 ? undefined : end).replace(/\r$/, '')
  }
}

/** Messages repeat what was written; a terminal must not obey it, nor drown in it. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => (character === '\t' ? ' ' : '\ufffd'))
}

/**
 * From the lines of a file to the lines of the language: comments and empty lines left out, continued lines joined, and
 * of every character still known where it was written.
 */
import { type Directive, DirectiveParser } from './directives.js'
import { fault, type Position, type SourceFile, type Span } from './source.js'
import { skipSpace, trimSpace } from './text.js'

export type Escape = '\\' | '`'

/** Bytes of one line of the file, as BuildKit has it. */
const LONGEST_LINE = 65535

/** A stretch of a joined line that lies on one line of the file. */
interface Piece {
  offset: number
  position: Position
}

export class LogicalLine {
  readonly text: string
  readonly startLine: number
  readonly endLine: number
  /** The comments just above, without `#`. */
  readonly comments: readonly string[]
  /** Where an empty line lies between continued ones, the last line of the instruction. */
  readonly emptyContinuation: boolean
  private readonly pieces: readonly Piece[]

  constructor(fields: {
    text: string
    pieces: Piece[]
    endLine: number
    comments: string[]
    emptyContinuation: boolean
  }) {
    this.text = fields.text
    this.pieces = fields.pieces
    this.startLine = (fields.pieces[0] as Piece).position.line
    this.endLine = fields.endLine
    this.comments = fields.comments
    this.emptyContinuation = fields.emptyContinuation
  }

  /** Where the character at an offset of `text` was written. */
  position(offset: number): Position {
    let low = 0
    let high = this.pieces.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.pieces[middle] as Piece).offset <= offset) low = middle
      else high = middle - 1
    }
    const { offset: start, position } = this.pieces[low] as Piece
    return { line: position.line, column: position.column + offset - start }
  }

  span(offset: number, length: number): Span {
    const start = this.position(offset)
    if (length === 0) return { start, end: start }
    const last = this.position(offset + length - 1)
    return { start, end: { line: last.line, column: last.column + 1 } }
  }
}

export class LineReader {
  /** The escape character, known once the first line that is no directive was read. */
  escape: Escape = '\\'
  /** The number of lines taken so far. */
  line = 0
  private readonly source: SourceFile
  private readonly directives = new DirectiveParser()
  private offset = 0

  constructor(source: SourceFile) {
    this.source = source
  }

  /**
   * The text of the next instruction; undefined at the end.
   * @throws CaissonError ERR_CAISSON_DOCKERFILE for a line that is too long and for a bad directive.
   */
  next(): LogicalLine | undefined {
    let comments: string[] = []
    for (let raw = this.raw(); raw !== undefined; raw = this.raw()) {
      const content = withoutNewline(raw)
      const start = skipSpace(content, 0)
      if (content[start] === '#') {
        if (this.directive(content.slice(start))) continue
        const comment = trimSpace(content.slice(1))
        // An empty comment parts what is above from the instruction below.
        if (comment === '') comments = []
        else comments.push(comment)
        continue
      }
      this.directives.parse(content.slice(start), this.line)
      const first = this.continued(content.slice(start))
      if (!first.goesOn && first.text === '') continue
      return this.join(first, start, comments)
    }
    return undefined
  }

  /** The next line of the file with its ending, as here-documents take it. */
  raw(): string | undefined {
    const { text } = this.source
    if (this.offset >= text.length) return undefined
    const newline = text.indexOf('\n', this.offset)
    const end = newline < 0 ? text.length : newline + 1
    const raw = text.slice(this.offset, end)
    this.offset = end
    this.line++
    const content = raw.length - (newline < 0 ? 0 : 1)
    if (content * 3 > LONGEST_LINE && Buffer.byteLength(raw) - (raw.length - content) > LONGEST_LINE)
      throw this.source.locate(
        fault(`dockerfile line greater than max allowed size of ${LONGEST_LINE}`, 'Break it by continuations.'),
        { start: { line: this.line, column: 1 }, end: { line: this.line, column: 1 } },
      )
    return raw
  }

  private join(first: Continued, start: number, comments: string[]): LogicalLine {
    const pieces: Piece[] = [{ offset: 0, position: { line: this.line, column: start + 1 } }]
    const texts = [first.text]
    let length = first.text.length
    let emptyContinuation = false
    let goesOn = first.goesOn
    while (goesOn) {
      const raw = this.raw()
      if (raw === undefined) break
      const content = withoutNewline(raw)
      const begin = skipSpace(content, 0)
      if (content[begin] === '#') continue
      if (begin === content.length) {
        emptyContinuation = true
        continue
      }
      const next = this.continued(content)
      pieces.push({ offset: length, position: { line: this.line, column: 1 } })
      texts.push(next.text)
      length += next.text.length
      goesOn = next.goesOn
    }
    return new LogicalLine({ text: texts.join(''), pieces, endLine: this.line, comments, emptyContinuation })
  }

  private directive(text: string): Directive | undefined {
    const at = { line: this.line, column: 1 }
    return this.source.at({ start: at, end: { line: this.line, column: text.length + 1 } }, () => {
      const directive = this.directives.parse(text, this.line)
      if (directive?.name === 'escape') {
        const { value } = directive
        if (value !== '\\' && value !== '`')
          throw fault(`invalid escape token '${value}' does not match \` or \\`, 'Give \\ or `.')
        this.escape = value
      }
      return directive
    })
  }

  /** A line goes on when its last character is the escape, and not an escaped one. */
  private continued(text: string): Continued {
    let end = text.length
    while (end > 0 && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--
    const goesOn = text[end - 1] === this.escape && text[end - 2] !== this.escape
    return goesOn ? { text: text.slice(0, end - 1), goesOn } : { text, goesOn }
  }
}

interface Continued {
  text: string
  goesOn: boolean
}

function withoutNewline(line: string): string {
  let end = line.length
  while (end > 0 && (line[end - 1] === '\n' || line[end - 1] === '\r')) end--
  return line.slice(0, end)
}

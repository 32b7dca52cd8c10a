/** An instruction and its file together: what errors and warnings about its parts need. */
import type { CaissonError } from '../../errors.js'
import { type ParsedInstruction, spanOf } from './parser.js'
import { fault, type SourceFile, type Span } from './source.js'
import type { Token } from './words.js'

export class Place {
  readonly source: SourceFile
  readonly node: ParsedInstruction
  private readonly fixed?: Span

  /** @param fixed where all its parts are said to be: for what does not stand in the file itself. */
  constructor(source: SourceFile, node: ParsedInstruction, fixed?: Span) {
    this.source = source
    this.node = node
    this.fixed = fixed
  }

  get span(): Span {
    return this.fixed ?? spanOf(this.node)
  }

  spanOf({ offset, length }: Token): Span {
    return this.fixed ?? this.node.line.span(offset, length)
  }

  /** Runs work whose errors are about this part, or about the whole instruction. */
  at<T>(part: Token | undefined, work: () => T): T {
    return this.source.at(part ? this.spanOf(part) : this.span, work)
  }

  /** An error about a part, or about the whole instruction. */
  fault(part: Token | undefined, message: string, hint?: string): CaissonError {
    return this.source.locate(fault(message, hint), part ? this.spanOf(part) : this.span)
  }
}

/**
 * Word expansion: quotes, escapes, `$name` and `${name}` with its modifiers, in one pass; what a variable brings in is
 * not looked at again. Close to a POSIX shell's, and to BuildKit's to the letter.
 */
import { CaissonError } from '../../errors.js'
import type { Escape } from './lines.js'
import { replacePattern, trimPrefix, trimSuffix } from './shell-pattern.js'
import { fault } from './source.js'
import { isSpace, quote } from './text.js'

/** What names are looked up in. */
export interface Variables {
  get(name: string): string | undefined
}

export const NO_VARIABLES: Variables = { get: () => undefined }

export interface ExpansionOptions {
  escape?: Escape
  /** Quotes stay in the result. */
  rawQuotes?: boolean
  /** Escapes stay in the result. */
  rawEscapes?: boolean
  /** Quotes are characters like any other: so here-documents are expanded. */
  plainQuotes?: boolean
  /** A variable that is not set stays as it was written. */
  keepUnset?: boolean
}

export interface Expansion {
  text: string
  /** The result parted at white space that is neither quoted nor escaped; also at what variables brought in. */
  words: string[]
  /** Names that were looked up and found, and that were not. */
  matched: Set<string>
  unmatched: Set<string>
}

/** Levels of `${a:-${b:-...}}`; the stack is finite. */
const DEEPEST = 256
/** Units by which variables may lengthen a word: `ENV A=$A$A` doubles with every line. */
const MOST_GROWTH = 1024 * 1024

/** @throws CaissonError ERR_CAISSON_DOCKERFILE, without a place. */
export function expand(word: string, variables: Variables, options: ExpansionOptions = {}): Expansion {
  return new Expander(word, variables, options).run()
}

const SPECIAL = new Set('@*#?-$!0')
const MODIFIERS = new Set('+-?#%')

class Expander {
  private readonly matched = new Set<string>()
  private readonly unmatched = new Set<string>()
  private readonly words = new Words()
  private readonly input: string
  private readonly variables: Variables
  private readonly options: ExpansionOptions
  private readonly escape: string
  private rawEscapes: boolean
  private at = 0
  private depth = 0
  private room = MOST_GROWTH

  constructor(input: string, variables: Variables, options: ExpansionOptions) {
    this.input = input
    this.variables = variables
    this.options = options
    this.escape = options.escape ?? '\\'
    this.rawEscapes = options.rawEscapes ?? false
  }

  run(): Expansion {
    try {
      const text = this.until('', this.rawEscapes)
      return { text, words: this.words.end(), matched: this.matched, unmatched: this.unmatched }
    } catch (error) {
      if (!(error instanceof CaissonError)) throw error
      throw fault(`failed to process ${quote(this.input.slice(0, 200))}: ${error.message}`, error.hint)
    }
  }

  private get atEnd(): boolean {
    return this.at >= this.input.length
  }

  private peek(): string {
    const code = this.input.codePointAt(this.at)
    return code === undefined ? '' : String.fromCodePoint(code)
  }

  private take(): string {
    const character = this.peek()
    this.at += character.length
    return character
  }

  /** Up to an unescaped `stop`, which is taken; at the outermost level up to the end, where words are parted too. */
  private until(stop: string, rawEscapes: boolean): string {
    const outer = this.rawEscapes
    this.rawEscapes = rawEscapes
    let text = ''
    const words = stop === '' ? this.words : undefined
    while (!this.atEnd) {
      const character = this.peek()
      if (character === stop) {
        this.take()
        this.rawEscapes = outer
        return text
      }
      if (character === '$') {
        const value = this.dollar()
        text += value
        words?.add(value)
      } else if (character === '<' || (!this.options.plainQuotes && (character === "'" || character === '"'))) {
        const value = this.opaque(character)
        text += value
        words?.addRaw(value)
      } else if (character === this.escape) {
        this.take()
        const escaped = this.take()
        const kept = (this.rawEscapes ? character : '') + escaped
        text += kept
        if (escaped !== '' || this.rawEscapes) words?.addRaw(kept)
      } else {
        this.take()
        text += character
        words?.add(character)
      }
    }
    if (stop !== '') throw fault(`unexpected end of statement while looking for matching ${stop}`, 'Close it.')
    this.rawEscapes = outer
    return text
  }

  private opaque(character: string): string {
    if (character === "'") return this.singleQuoted()
    return character === '"' ? this.doubleQuoted() : this.lessThan()
  }

  /** `<<` or `<<-` and blanks after it are one word with what follows: a here-document's name. */
  private lessThan(): string {
    this.take()
    if (this.peek() !== '<') return '<'
    const start = this.at++
    const isBlank = (at: number) => /[\t\r ]/.test(this.input.charAt(at))
    if (this.peek() === '-' && isBlank(this.at + 1)) this.at++
    while (isBlank(this.at)) this.at++
    return `<${this.input.slice(start, this.at)}`
  }

  private singleQuoted(): string {
    const end = this.input.indexOf("'", this.at + 1)
    if (end < 0)
      throw fault(
        'unexpected end of statement while looking for matching single-quote',
        "Close the quote, or write \\' for the character itself.",
      )
    const text = this.options.rawQuotes ? this.input.slice(this.at, end + 1) : this.input.slice(this.at + 1, end)
    this.at = end + 1
    return text
  }

  private doubleQuoted(): string {
    const mark = this.options.rawQuotes ? '"' : ''
    let text = mark
    this.take()
    while (!this.atEnd) {
      const character = this.peek()
      if (character === '$') {
        text += this.dollar()
        continue
      }
      this.take()
      if (character === '"') return text + mark
      if (character !== this.escape) {
        text += character
        continue
      }
      const next = this.peek()
      if (this.rawEscapes) text += character
      if (next === '') continue
      text += next === '"' || next === '$' || next === this.escape ? this.take() : character
    }
    throw fault(
      'unexpected end of statement while looking for matching double-quote',
      'Close the quote, or write \\" for the character itself.',
    )
  }

  private dollar(): string {
    this.take()
    if (this.peek() !== '{') {
      const name = this.name()
      if (name === '') return '$'
      return this.lookUp(name) ?? (this.options.keepUnset ? `$${name}` : '')
    }
    this.take()
    if (this.atEnd) throw missingBrace()
    if ('{}:'.includes(this.peek())) throw fault('syntax error: bad substitution', 'Write ${NAME}, or \\$ for a $.')
    const name = this.name()
    if (this.atEnd) throw missingBrace()
    const character = this.take()
    if (character === '}') return this.lookUp(name) ?? (this.options.keepUnset ? `\${${name}}` : '')
    if (++this.depth > DEEPEST) throw fault(`substitutions are nested more than ${DEEPEST} deep`, 'Use fewer levels.')
    const value = character === '/' ? this.replaced(name) : this.modified(name, character)
    this.depth--
    return value
  }

  /** `${name:-word}` and its like. */
  private modified(name: string, first: string): string {
    const nullIsUnset = first === ':'
    const operator = nullIsUnset ? this.take() : first
    const modifier = nullIsUnset ? `:${operator}` : operator
    const isPattern = operator === '#' || operator === '%'
    if (!(nullIsUnset || MODIFIERS.has(operator)) || (nullIsUnset && isPattern)) throw unsupported(modifier)
    const word = this.braced('}', isPattern)
    const value = this.lookUp(name)
    if (value === undefined && this.options.keepUnset) return `\${${name}${modifier}${word}}`
    const absent = value === undefined || (nullIsUnset && value === '')
    switch (operator) {
      case '-':
        return absent ? word : value
      case '+':
        return absent ? '' : word
      case '?':
        if (!absent) return value
        throw fault(
          `${name}: ${word || `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`}`,
          `Set ${name}.`,
        )
      case '#':
      case '%': {
        // Twice the character: the longest match instead of the shortest.
        const longest = word.startsWith(operator)
        const pattern = longest ? word.slice(1) : word
        return (operator === '#' ? trimPrefix : trimSuffix)(value ?? '', pattern, longest)
      }
      default:
        throw unsupported(modifier)
    }
  }

  /** `${name/pattern/replacement}`, or with `//` for every match. */
  private replaced(name: string): string {
    const all = this.peek() === '/'
    if (all) this.take()
    const pattern = this.braced('/', true)
    const replacement = this.braced('}', true)
    const value = this.lookUp(name)
    if (value === undefined && this.options.keepUnset) return `\${${name}/${pattern}/${replacement}}`
    return this.grown(replacePattern(value ?? '', pattern, replacement, all, this.room))
  }

  private braced(stop: '/' | '}', rawEscapes: boolean): string {
    try {
      return this.until(stop, rawEscapes)
    } catch (error) {
      if (!this.atEnd) throw error
      throw stop === '}'
        ? missingBrace()
        : fault("syntax error: missing '/' in ${}", 'Write ${NAME/pattern/replacement}.')
    }
  }

  /** A name, a number, or one special character. */
  private name(): string {
    const start = this.at
    const first = this.peek()
    if (/\p{Nd}/u.test(first)) {
      while (/\p{Nd}/u.test(this.peek())) this.take()
    } else if (SPECIAL.has(first)) this.take()
    else while (/[\p{L}\p{Nd}_]/u.test(this.peek())) this.take()
    return this.input.slice(start, this.at)
  }

  private lookUp(name: string): string | undefined {
    const value = this.variables.get(name)
    ;(value === undefined ? this.unmatched : this.matched).add(name)
    return value === undefined ? undefined : this.grown(value)
  }

  private grown(value: string): string {
    this.room -= value.length
    if (this.room < 0) throw fault('variables make this longer than 1 MiB', 'Put what is that long into a file.')
    return value
  }
}

const missingBrace = () => fault("syntax error: missing '}'", 'Close ${ with }.')
const unsupported = (modifier: string) =>
  fault(`unsupported modifier (${modifier}) in substitution`, 'There are :- - :+ + :? ? # ## % %% / and //.')

/** Collects words. White space parts them, unless it was quoted or escaped. */
class Words {
  private readonly words: string[] = []
  private word = ''
  private inWord = false

  add(text: string): void {
    for (const character of text) {
      if (!isSpace(character)) this.addRaw(character)
      else if (this.inWord && this.word !== '') this.push()
    }
  }

  addRaw(text: string): void {
    this.word += text
    this.inWord = true
  }

  end(): string[] {
    if (this.word !== '') this.push()
    return this.words
  }

  private push(): void {
    this.words.push(this.word)
    this.word = ''
    this.inWord = false
  }
}

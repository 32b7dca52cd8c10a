/** Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"`, several in one instruction. */

import { expand, NO_VARIABLES } from './shell.js'
import { fault } from './source.js'

export interface HeredocWord {
  /** The word that ends it, without quotes; also the name of the file it makes. */
  name: string
  /** Whether variables are expanded in it: not when any part of the word was quoted. */
  expand: boolean
  /** `<<-`: leading tabs are taken away. */
  chomp: boolean
}

export interface Heredoc extends HeredocWord {
  /** As written, with line endings and leading tabs. */
  content: string
}

/** A here-document has a number of a descriptor or nothing before it, and one word behind. */
const WORD = /^\d*<<(-?)([^<]*)$/

/**
 * What a word such as `<<-EOF` asks for; undefined when it is none.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE for quotes that are not closed.
 */
export function parseHeredoc(word: string): HeredocWord | undefined {
  const match = WORD.exec(word)
  const rest = match?.[2]?.replace(/^[\t\n\f\r ]+/, '')
  if (!match || !rest) return undefined
  const plain = expand(rest, NO_VARIABLES, { keepUnset: true }).words
  const [name] = plain
  if (plain.length !== 1 || name === undefined) return undefined
  const [raw = ''] = expand(rest, NO_VARIABLES, { keepUnset: true, rawQuotes: true }).words
  return { name, expand: quotes(name) === quotes(raw), chomp: match[1] === '-' }
}

const quotes = (text: string) => text.replace(/[^'"]/g, '').length

/** The here-documents that the text of an instruction begins, in order. Text that is no shell begins none. */
export function heredocsOf(line: string): HeredocWord[] {
  if (!line.includes('<<')) return []
  let words: string[]
  try {
    words = expand(line, NO_VARIABLES, { rawQuotes: true, rawEscapes: true, keepUnset: true }).words
  } catch {
    return []
  }
  return words.map(parseHeredoc).filter((heredoc) => heredoc !== undefined)
}

/**
 * Reads the content of a here-document.
 * @param next the next line of the file, with its ending.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE when the file ends first.
 */
export function readHeredoc(word: HeredocWord, next: () => string | undefined): Heredoc {
  const lines: string[] = []
  for (let line = next(); line !== undefined; line = next()) {
    const bare = line.replace(/[\r\n]+$/, '')
    if ((word.chomp ? bare.replace(/^\t+/, '') : bare) === word.name) return { ...word, content: lines.join('') }
    lines.push(line)
  }
  throw fault('unterminated heredoc', `End it by a line that is ${word.name} alone.`)
}

/** The content as it is used: of `<<-` without leading tabs. */
export function heredocContent({ content, chomp }: Heredoc): string {
  return chomp ? content.replace(/^\t+/gm, '') : content
}

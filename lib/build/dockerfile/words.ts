/** Splitting the text of an instruction, with the place of every part. */
import type { Escape } from './lines.js'
import { endOfText, isSpace, skipSpace } from './text.js'

/** A part of an instruction. `text` may be shorter than what was written, where quotes or escapes were taken away. */
export interface Token {
  text: string
  /** In the text of the logical line. */
  offset: number
  length: number
}

export const token = (line: string, start: number, end: number): Token => ({
  text: line.slice(start, end),
  offset: start,
  length: end - start,
})

/** Blanks between arguments. They are fewer than what counts as space elsewhere. */
const isBlank = (character: string) => /[\t\v\f\r ]/.test(character)

/** By blanks, from `start` on; `limit` parts at most, the last of which keeps its blanks. */
export function splitBlanks(line: string, start: number, limit = Number.POSITIVE_INFINITY): Token[] {
  const tokens: Token[] = []
  let at = start
  while (at < line.length) {
    let end = at
    if (tokens.length + 1 >= limit) end = line.length
    else while (end < line.length && !isBlank(line.charAt(end))) end++
    tokens.push(token(line, at, end))
    at = end
    while (at < line.length && isBlank(line.charAt(at))) at++
  }
  return tokens
}

/**
 * Words as ENV, LABEL and ARG have them: blanks in quotes and behind the escape do not part, and both stay in the word
 * for the expansion to take away.
 */
export function splitWords(line: string, start: number, escaper: Escape): Token[] {
  const words: Token[] = []
  let at = skipSpace(line, start)
  while (at < line.length) {
    const begin = at
    let quoted = ''
    // An escape at the very end escapes nothing and is dropped.
    let end = -1
    while (at < line.length) {
      const character = line.charAt(at)
      if (quoted === '' && isSpace(character)) break
      if (character === escaper && quoted !== "'") {
        if (at + 1 === line.length) {
          end = at++
          break
        }
        at += 2
        continue
      }
      if (quoted === character) quoted = ''
      else if (quoted === '' && (character === '"' || character === "'")) quoted = character
      at++
    }
    const word = token(line, begin, end < 0 ? at : end)
    if (word.text !== '') words.push(word)
    at = skipSpace(line, at)
  }
  return words
}

/** The `--flags` in front of the arguments, with quotes and escapes taken away, and where the arguments begin. */
export function takeFlags(line: string, start: number, escaper: Escape): { flags: Token[]; rest: number } {
  const flags: Token[] = []
  let at = start
  for (;;) {
    at = skipSpace(line, at)
    if (at === line.length || !line.startsWith('--', at)) return { flags, rest: at }
    const begin = at
    let text = ''
    let quoted = ''
    for (; at < line.length; at++) {
      const character = line.charAt(at)
      if (quoted === '' && isSpace(character)) break
      if (character === quoted) quoted = ''
      else if (quoted === '' && (character === '"' || character === "'")) quoted = character
      else if (character !== escaper) text += character
      else if (at + 1 < line.length) text += line.charAt(++at)
    }
    // A bare -- ends the flags.
    if (text === '--') return { flags, rest: skipSpace(line, at) }
    flags.push({ text, offset: begin, length: at - begin })
  }
}

/** The first word from `from` on, and where the rest begins and ends: white space around both does not count. */
export function splitKeyword(line: string, from: number): { keyword: Token; start: number; end: number } {
  const begin = skipSpace(line, from)
  const end = endOfText(line, begin)
  let at = begin
  while (at < end && !isBlank(line.charAt(at))) at++
  const keyword = token(line, begin, at)
  while (at < end && isBlank(line.charAt(at))) at++
  return { keyword, start: at, end }
}

/** Files of variables: .env, and those of env_file. */

import { SourceFile } from '../util/source-file.js'
import { composeError } from './node.js'
import { interpolate, VariableFault } from './variables.js'

const NAME = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?:[=:]|$)/
const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', '\\': '\\', '"': '"', $: '$$' }

/**
 * Lines `NAME=value`. In single quotes a value is taken as it is; in double quotes with \n and variables; without quotes
 * with variables, up to ` #`. Quoted ones may go over lines. A bare `NAME` has the value that it has in `lookup`.
 *
 * @param lookup variables that values may use, before those of lines further up.
 * @throws CaissonError ERR_CAISSON_COMPOSE with file and line.
 */
export function parseDotenv(
  text: string,
  file: string,
  lookup: (name: string) => string | undefined,
): Map<string, string | undefined> {
  const source = new SourceFile(text, file)
  const lines = source.text.split(/\r?\n/)
  const found = new Map<string, string | undefined>()
  const known = (name: string) => lookup(name) ?? found.get(name)
  for (let i = 0; i < lines.length; i++) {
    const line = (lines[i] as string).trimStart()
    if (line === '' || line.startsWith('#')) continue
    const fail = (message: string, hint: string) => {
      const start = { line: i + 1, column: 1 }
      return composeError(
        { path: '', source, span: { start, end: { ...start, column: line.length + 1 } } },
        message,
        hint,
      )
    }
    const match = NAME.exec(line)
    if (!match) throw fail('this is no variable', 'Write NAME=value.')
    const [head, name = ''] = match
    const rest = line.slice(head.length).trimStart()
    if (!/[=:]$/.test(head)) {
      found.set(name, lookup(name))
      continue
    }
    const quote = rest[0]
    let value: string
    if (quote === "'" || quote === '"') {
      const quoted = readQuoted(lines, i, rest)
      if (!quoted) throw fail(`the quote of ${name} does not end`, `Put ${quote} behind the value.`)
      value = quoted.text
      i = quoted.line
    } else value = rest.slice(0, /(?:^|[ \t])#/.exec(rest)?.index).trimEnd()
    try {
      found.set(name, quote === "'" ? value : interpolate(quote === '"' ? unescaped(value) : value, { lookup: known }))
    } catch (error) {
      if (!(error instanceof VariableFault)) throw error
      throw fail(error.message, error.hint)
    }
  }
  return found
}

/**
 * What is between the quotes, and the line that it ends in; nothing may follow but a comment. Each line is looked at once,
 * however many there are before the end.
 */
function readQuoted(lines: readonly string[], first: number, rest: string): { text: string; line: number } | undefined {
  const quote = rest[0] as string
  const parts: string[] = []
  for (let line = first; line < lines.length; line++) {
    const text = line === first ? rest.slice(1) : (lines[line] as string)
    const end = quoteIn(text, quote)
    if (end < 0) {
      parts.push(text)
      continue
    }
    if (!/^[ \t]*(?:#.*)?$/s.test(text.slice(end + 1))) return undefined
    return { text: [...parts, text.slice(0, end)].join('\n'), line }
  }
  return undefined
}

/** Where it is, -1: nowhere. A `\` before it takes its meaning in double quotes. */
function quoteIn(text: string, quote: string): number {
  if (quote === "'") return text.indexOf(quote)
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === quote) return at
  }
  return -1
}

/** A `$` that was escaped is doubled, as it means itself. */
function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, (whole, character: string) => ESCAPES[character] ?? whole)
}

/** `format: raw`: everything behind the first `=`. */
export function parseRawEnv(text: string): Map<string, string | undefined> {
  const found = new Map<string, string | undefined>()
  for (const line of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    const equals = line.indexOf('=')
    if (equals > 0 && !line.trimStart().startsWith('#')) found.set(line.slice(0, equals).trim(), line.slice(equals + 1))
  }
  return found
}

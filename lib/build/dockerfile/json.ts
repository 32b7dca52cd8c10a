/** The JSON form of arguments: an array of strings. */
import { fault } from './source.js'
import { skipSpace } from './text.js'
import type { Token } from './words.js'

const STRINGS_ONLY = 'when using JSON array syntax, arrays must be comprised of strings only'

/**
 * The strings of a JSON array that is all there is between `start` and `end`; undefined when that is no JSON, which is
 * no error: `RUN [ -f file ]` is a command.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE when it is an array with something else in it.
 */
export function jsonStrings(line: string, start: number, end: number): Token[] | undefined {
  const begin = skipSpace(line, start)
  if (line[begin] !== '[') return undefined
  const text = line.slice(begin, end)
  let items: unknown
  try {
    items = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(items)) return undefined
  if (!items.every((item): item is string => typeof item === 'string'))
    throw fault(STRINGS_ONLY, 'Quote what it holds.')
  let at = 0
  return items.map((item) => {
    at = text.indexOf('"', at)
    const from = at++
    while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
    at++
    return { text: item, offset: begin + from, length: at - from }
  })
}

/**
 * White space and quoting as Go takes them: the language is defined by programs written in Go, and their ideas of white
 * space, of quoting and of cleaning a path differ from JavaScript's.
 */

const SPACE = /[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/

/** White space by Unicode's property: with U+0085, without the byte order mark. */
export function isSpace(character: string): boolean {
  return SPACE.test(character)
}

/** The index of the first character from `from` on that is no white space; the length when there is none. */
export function skipSpace(text: string, from: number): number {
  let at = from
  while (at < text.length && isSpace(text.charAt(at))) at++
  return at
}

/** The index behind the last character that is no white space, but not below `from`. */
export function endOfText(text: string, from: number): number {
  let end = text.length
  while (end > from && isSpace(text.charAt(end - 1))) end--
  return end
}

export function trimSpace(text: string): string {
  const start = skipSpace(text, 0)
  return text.slice(start, endOfText(text, start))
}

const ESCAPES: Record<string, string> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}
/** Nearly all characters are of these, and a class of all of Unicode takes longer to make than most files to read. */
const PLAIN = /[ -~]/
const printable = (character: string) => PLAIN.test(character) || /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character)

/** In double quotes, with Go's escapes: the history of an image writes commands so. */
export function quote(text: string): string {
  let quoted = ''
  for (const character of text) quoted += ESCAPES[character] ?? (printable(character) ? character : coded(character))
  return `"${quoted}"`
}

function coded(character: string): string {
  const code = character.codePointAt(0) as number
  if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, '0')}`
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
}

/** A list as Go prints it: `[a b]`, or with quotes, `["a" "b"]`. */
export const listed = (items: readonly string[]) => `[${items.join(' ')}]`
export const quotedList = (items: readonly string[]) => listed(items.map(quote))

/** The shortest path that means the same, by its text alone: `a/../b/` is `b`, and nothing at all is `.`. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith('/')
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.length > 0 && parts.at(-1) !== '..') parts.pop()
    else if (!rooted) parts.push(part)
  }
  return (rooted ? '/' : '') + parts.join('/') || '.'
}

/** Joined and cleaned; empty parts do not count, and of nothing but these the path is empty. */
export function joinPath(...parts: string[]): string {
  const joined = parts.filter((part) => part !== '').join('/')
  return joined === '' ? '' : cleanPath(joined)
}

/** All but the last part, cleaned. */
export function parentPath(path: string): string {
  return cleanPath(path.slice(0, path.lastIndexOf('/') + 1))
}

/** The last part: `/` of slashes alone, `.` of nothing. */
export function baseName(path: string): string {
  if (path === '') return '.'
  let end = path.length
  while (end > 0 && path[end - 1] === '/') end--
  return end === 0 ? '/' : path.slice(path.lastIndexOf('/', end - 1) + 1, end)
}

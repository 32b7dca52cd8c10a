/**
 * Of Go's templates, in which docker takes formats, what people write every day: `{{.Name}}`, `{{json .Config}}`,
 * `{{index .Labels "key"}}`, `{{len .}}`, `{{join .Tags ", "}}`, `{{println .}}`, `{{range}}`, `{{if}}`, `{{else}}`,
 * `{{end}}`. Names are found in any case: docker begins them with a capital.
 */
import { usageError } from './usage.js'

type Part =
  | { kind: 'text'; text: string }
  | { kind: 'value'; words: string[] }
  | { kind: 'range' | 'if'; words: string[]; body: Part[]; otherwise: Part[] }

const TAG = /\{\{(-\s)?\s*((?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^"`])*?)\s*(\s-)?\}\}/g
/** Quoted texts, or what has no blanks. */
const WORD = /"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\S+)/g

/** Throws a usage error for what is not understood, and for names that are not there. */
export function fillTemplate(format: string, value: unknown): string {
  return fill(parse(format), value, value)
}

function parse(format: string): Part[] {
  const top: Part[] = []
  /** Lists that parts are added to; the innermost last. */
  const open: Array<{ block?: Part & { kind: 'range' | 'if' }; parts: Part[] }> = [{ parts: top }]
  const innermost = () => open.at(-1) as (typeof open)[number]
  let at = 0
  let trims = false
  const addText = (end: number, trimEnd: boolean) => {
    let text = format.slice(at, end)
    if (trims) text = text.trimStart()
    if (trimEnd) text = text.trimEnd()
    if (text !== '') innermost().parts.push({ kind: 'text', text })
  }
  for (const match of format.matchAll(TAG)) {
    addText(match.index, match[1] !== undefined)
    at = match.index + match[0].length
    trims = match[3] !== undefined
    const [keyword = '', ...words] = wordsOf(match[2] as string)
    if (keyword === 'range' || keyword === 'if') {
      const block = { kind: keyword, words, body: [], otherwise: [] } as Part & { kind: 'range' | 'if' }
      innermost().parts.push(block)
      open.push({ block, parts: block.body })
    } else if (keyword === 'else' && words.length === 0 && innermost().block)
      innermost().parts = (innermost().block as { otherwise: Part[] }).otherwise
    else if (keyword === 'end' && words.length === 0 && innermost().block) open.pop()
    else if (['else', 'end', ''].includes(keyword)) throw wrong(match[0])
    else innermost().parts.push({ kind: 'value', words: [keyword, ...words] })
  }
  addText(format.length, false)
  if (open.length > 1) throw usageError('--format: {{end}} is missing', 'Write {{range .List}}{{.}}{{end}}.')
  return top
}

function wordsOf(action: string): string[] {
  const words: string[] = []
  for (const [text, quoted, raw, plain] of action.matchAll(WORD)) {
    // A text stays quoted, so that it is no field.
    const isGood = plain !== undefined || raw !== undefined || /^(?:[^\\]|\\["\\nt])*$/.test(quoted as string)
    if (!isGood) throw wrong(text)
    words.push(plain ?? (raw === undefined ? text : JSON.stringify(raw)))
  }
  return words
}

const wrong = (tag: string) =>
  usageError(
    `--format: ${tag} is not understood`,
    'There are fields, json, index, len, join, println, range, if, else and end.',
  )

function fill(parts: readonly Part[], dot: unknown, root: unknown): string {
  return parts
    .map((part) => {
      if (part.kind === 'text') return part.text
      if (part.kind === 'value') return textOf(evaluated(part.words, dot, root))
      const value = evaluated(part.words, dot, root)
      if (part.kind === 'if') return fill(isEmpty(value) ? part.otherwise : part.body, dot, root)
      const each = typeof value === 'object' && value !== null ? Object.values(value) : []
      return each.length === 0
        ? fill(part.otherwise, dot, root)
        : each.map((one) => fill(part.body, one, root)).join('')
    })
    .join('')
}

const FUNCTIONS: Record<string, (values: unknown[]) => unknown> = {
  json: ([value]) => JSON.stringify(value ?? null),
  len: ([value]) => (typeof value === 'string' ? value.length : Object.keys((value as object | null) ?? {}).length),
  index: ([value, ...keys]) => keys.reduce((inner, key) => memberAt(inner, key), value) ?? '',
  join: ([list, between]) => (Array.isArray(list) ? list.map(textOf).join(String(between ?? '')) : ''),
  println: (values) => `${values.map(textOf).join(' ')}\n`,
  upper: ([value]) => textOf(value).toUpperCase(),
  lower: ([value]) => textOf(value).toLowerCase(),
}

/** Of a list by its number, of an object by its name. */
function memberAt(value: unknown, key: unknown): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, String(key))) return undefined
  return (value as Record<string, unknown>)[String(key)]
}

function evaluated(words: readonly string[], dot: unknown, root: unknown): unknown {
  const [first = '', ...rest] = words
  const call = Object.hasOwn(FUNCTIONS, first) ? FUNCTIONS[first] : undefined
  if (call) return call(rest.map((word) => operand(word, dot, root)))
  if (rest.length > 0) throw wrong(`{{${words.join(' ')}}}`)
  return operand(first, dot, root)
}

function operand(word: string, dot: unknown, root: unknown): unknown {
  if (/^".*"$/s.test(word)) return JSON.parse(word.replaceAll('\n', '\\n'))
  if (/^\d+$/.test(word)) return Number(word)
  if (word === '.' || word === '$') return word === '.' ? dot : root
  // Fields of a list may be written without a dot.
  const path = /^(\$)?\.?((?:[\w-]+\.)*[\w-]+)$/.exec(word)
  if (!path) throw wrong(`{{${word}}}`)
  return (path[2] as string).split('.').reduce(member, path[1] ? root : dot)
}

/** What is there and is nothing has no members; a name that is not there at all is misspelt. */
function member(value: unknown, name: string): unknown {
  if (value === undefined || value === null) return undefined
  const keys = typeof value === 'object' ? Object.keys(value) : []
  const found = keys.find((key) => key === name) ?? keys.find((key) => key.toLowerCase() === name.toLowerCase())
  if (found === undefined) throw usageError(`--format has no {{.${name}}}`, `There are: ${keys.join(', ') || 'none'}.`)
  return (value as Record<string, unknown>)[found]
}

function isEmpty(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return value === undefined || value === null || value === '' || value === false || value === 0
}

/** As a person would want it: objects as JSON, where Go prints its own form. */
function textOf(value: unknown): string {
  if (value === undefined || value === null) return '<no value>'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

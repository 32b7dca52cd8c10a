/**
 * JSON documents of strangers. Two programs must not read the same bytes differently, or what one of them verified is
 * not what the other runs: duplicate keys are refused, also those that differ only in case from a name that is known
 * (Go's decoder takes them for the same), and what is not UTF-8.
 */
import { isUtf8 } from 'node:buffer'
import { CaissonError } from '../errors.js'

export type Json = Record<string, unknown>

export interface JsonBounds {
  /** Bytes of the document. */
  bytes: number
  /** How deep objects and arrays may lie in each other. */
  depth: number
}

/** What all programs accept: containers/image and registries have the same bound. */
export const DOCUMENT_BOUNDS: JsonBounds = { bytes: 4 * 1024 * 1024, depth: 64 }

export function documentError(what: string, message: string, hint = ''): CaissonError {
  return new CaissonError('ERR_CAISSON_MANIFEST', `${what}: ${message}`, {
    stage: what,
    hint: hint || 'The document is damaged or made to mislead: do not use this image, or get it from another place.',
  })
}

/** The object that a document is; `what` names it in errors. Throws ERR_CAISSON_MANIFEST. */
export function parseDocument(bytes: Uint8Array, what: string, bounds: JsonBounds = DOCUMENT_BOUNDS): Json {
  if (bytes.length > bounds.bytes)
    throw documentError(what, `${bytes.length} bytes are more than the ${bounds.bytes} that are allowed`)
  if (!isUtf8(bytes)) throw documentError(what, 'it is not UTF-8')
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
  checkStructure(text, what, bounds.depth)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw documentError(what, 'it is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw documentError(what, 'it is not a JSON object')
  return value as Json
}

/** Depth and keys; what is not JSON at all is left to the parser. */
function checkStructure(text: string, what: string, depth: number): void {
  /** Of each object that is open, its keys so far; undefined for an array. */
  const open: Array<Set<string> | undefined> = []
  let wantsKey = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '"') {
      const end = stringEnd(text, at)
      const keys = wantsKey ? open.at(-1) : undefined
      if (keys) {
        const key = unquote(text.slice(at, end))
        if (keys.has(key)) throw documentError(what, `the key ${JSON.stringify(key.slice(0, 100))} is there twice`)
        keys.add(key)
      }
      wantsKey = false
      at = end - 1
    } else if (character === '{' || character === '[') {
      if (open.length === depth) throw documentError(what, `objects lie more than ${depth} deep in each other`)
      open.push(character === '{' ? new Set() : undefined)
      wantsKey = character === '{'
    } else if (character === '}' || character === ']') {
      open.pop()
      wantsKey = false
    } else if (character === ',') wantsKey = open.at(-1) !== undefined
  }
}

/** Behind the closing quote of the string that begins at `at`. */
function stringEnd(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === '\\') end++
    else if (text[end] === '"') return end + 1
  }
  return text.length
}

function unquote(token: string): string {
  if (!token.includes('\\')) return token.slice(1, -1)
  try {
    return JSON.parse(token)
  } catch {
    return token
  }
}

/** One form for all that Go's decoder takes for the same name. */
function folded(name: string): string {
  return name.toUpperCase().toLowerCase()
}
const foldedNames = new WeakMap<readonly string[], Map<string, string>>()

/** A key that a decoder which does not look at case would take for one of `names`, and that name. */
export function lookalike(object: object, names: readonly string[]): [key: string, name: string] | undefined {
  let known = foldedNames.get(names)
  if (!known) {
    known = new Map(names.map((name) => [folded(name), name]))
    foldedNames.set(names, known)
  }
  for (const key of Object.keys(object)) {
    const name = known.get(folded(key))
    if (name !== undefined && name !== key) return [key, name]
  }
  return undefined
}

/** Refuses such keys. */
export function checkNames(object: Json, names: readonly string[], what: string): void {
  const [key, name] = lookalike(object, names) ?? []
  if (key !== undefined)
    throw documentError(what, `the key ${JSON.stringify(key.slice(0, 100))} could be taken for ${name}`)
}

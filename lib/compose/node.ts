/** A compose file as a tree: values with the places that they were written at. Nothing in it changes any more. */
import { CaissonError, type ErrorCode } from '../errors.js'
import { printable, type SourceFile, type Span } from '../util/source-file.js'

export interface Place {
  /** As `services.web.ports[0]`; empty at the top. */
  path: string
  /** None: it was given as an object. */
  source?: SourceFile
  span?: Span
}

/** Of a value in a model, by its key: what somebody has called `place` is none. */
export const isPlace = (key: string, value: unknown): value is Place =>
  key === 'place' && typeof (value as Partial<Place> | null | undefined)?.path === 'string'

interface Base {
  place: Place
  /** `!override`: replaces what would be merged; `!reset`: takes it away. */
  tag?: 'override' | 'reset'
}

export interface ScalarNode extends Base {
  kind: 'scalar'
  value: string | number | boolean | null
  /** As it was written, without quotes. */
  text: string
}

export interface ListNode extends Base {
  kind: 'list'
  items: readonly ComposeNode[]
}

export interface Entry {
  key: Place
  value: ComposeNode
}

export interface MapNode extends Base {
  kind: 'map'
  entries: ReadonlyMap<string, Entry>
}

export type ComposeNode = ScalarNode | ListNode | MapNode

/** How much of a message is what somebody wrote. */
const LONGEST = 1000

/** An error that says where: file, line and column, and the field. */
export function composeError(
  place: Place,
  message: string,
  hint: string,
  code: ErrorCode = 'ERR_CAISSON_COMPOSE',
): CaissonError {
  const what = place.path === '' ? message : `${place.path}: ${message}`
  const error = new CaissonError(code, printable(what.slice(0, LONGEST)), { stage: 'compose', hint })
  return place.source && place.span ? place.source.locate(error, place.span) : error
}

/** The same for what is known and cannot be had. */
export function unsupported(place: Place, message: string, hint: string): CaissonError {
  return composeError(place, message, hint, 'ERR_CAISSON_UNSUPPORTED')
}

export const kindOf = (node: ComposeNode): string => {
  if (node.kind === 'list') return 'a list'
  if (node.kind === 'map') return 'a mapping'
  return node.value === null ? 'empty' : typeof node.value === 'string' ? 'a text' : `a ${typeof node.value}`
}

export const isNull = (node: ComposeNode): boolean => node.kind === 'scalar' && node.value === null

/** `path.key`, with brackets where a key has more than letters in it. */
export const below = (path: string, key: string): string => {
  if (path === '') return key
  return /^[\w-]+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`
}

/** Values of nodes, with variables filled in, as the types that fields have. */
import { CaissonError } from '../errors.js'
import { didYouMean, nearest } from '../util/suggest.js'
import { parseDuration, parseSize } from '../util/units.js'
import {
  type ComposeNode,
  composeError,
  type Entry,
  isNull,
  kindOf,
  type ListNode,
  type MapNode,
  type Place,
} from './node.js'
import { interpolate, VariableFault } from './variables.js'
import { splitCommand } from './words.js'

/** What the reading of a file needs to know. */
export interface Context {
  /** Variables for values, and of services that pass one on. */
  lookup(name: string): string | undefined
  /** Told once for each. */
  warn(message: string): void
  /** An absolute path: that of the file's directory. */
  directory: string
  /** Of the user, for `~`. */
  home: string
  /** How many the files of the project may still name. */
  ports: { left: number }
}

export function textOf(node: ComposeNode, context: Context): string {
  if (node.kind !== 'scalar' || node.value === null)
    throw composeError(node.place, `${kindOf(node)} is no text`, 'Write a text.')
  if (typeof node.value !== 'string') return node.text
  return filled(node.text, node.place, context)
}

function filled(text: string, place: Place, context: Context): string {
  try {
    const missing = (name: string) => context.warn(`the variable ${name} is not set; it is taken as empty`)
    return interpolate(text, { lookup: context.lookup, missing })
  } catch (error) {
    if (error instanceof VariableFault) throw composeError(place, error.message, error.hint)
    throw error
  }
}

const TRUE = new Set(['true', 'yes', 'on', 'y', '1'])
const FALSE = new Set(['false', 'no', 'off', 'n', '0', ''])

export function booleanOf(node: ComposeNode, context: Context): boolean {
  if (node.kind === 'scalar' && typeof node.value === 'boolean') return node.value
  const text = node.kind === 'scalar' && typeof node.value === 'string' ? textOf(node, context).toLowerCase() : '?'
  if (TRUE.has(text)) return true
  if (FALSE.has(text)) return false
  throw composeError(node.place, `${shown(node)} is neither true nor false`, 'Write true or false.')
}

export function numberOf(node: ComposeNode, context: Context): number {
  const number = Number(textOf(node, context).trim() || 'empty')
  if (Number.isFinite(number)) return number
  throw composeError(node.place, `${shown(node)} is no number`, 'Write a number.')
}

export function integerOf(node: ComposeNode, context: Context, least = 0): number {
  const number = numberOf(node, context)
  if (Number.isSafeInteger(number) && number >= least) return number
  throw composeError(node.place, `${shown(node)} is no whole number from ${least} on`, 'Write one.')
}

/** As YAML of old and of today writes it: 0440, 0o440, or in quotes. */
export function modeOf(node: ComposeNode, context: Context): number {
  const text = textOf(node, context)
  const [, digits] = /^0?o?([0-7]{1,4})$/.exec(text) ?? []
  if (digits !== undefined && (text.startsWith('0') || node.kind !== 'scalar' || typeof node.value === 'string'))
    return Number.parseInt(digits, 8)
  throw composeError(node.place, `${shown(node)} is no mode`, 'Write an octal number as 0440.')
}

/** Bytes. */
export function sizeOf(node: ComposeNode, context: Context): number {
  return placed(node.place, 'Write a number of bytes, or 64m.', () => parseSize(textOf(node, context), 'size'))
}

/** Milliseconds. */
export function durationOf(node: ComposeNode, context: Context): number {
  const text = textOf(node, context)
  const hint = 'Write 30s, 1m30s or 500ms.'
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) !== 0)
    throw composeError(node.place, `${shown(node)} has no unit`, hint)
  return placed(node.place, hint, () => parseDuration(text, 'duration'))
}

/** Of errors that know no place. */
export function placed<T>(place: Place, hint: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof CaissonError) || error.location || error.stage === 'compose') throw error
    throw composeError(place, error.message.replace(/^\w+: /, ''), hint)
  }
}

export function oneOf<const T extends string>(node: ComposeNode, context: Context, words: readonly T[]): T {
  const text = textOf(node, context)
  if ((words as readonly string[]).includes(text)) return text as T
  const meant = didYouMean(nearest(text, words))
  throw composeError(node.place, `${shown(node)} is not known${meant}`, `There are ${words.join(', ')}.`)
}

export function listOf(node: ComposeNode): ListNode {
  if (node.kind === 'list') return node
  if (isNull(node)) return { kind: 'list', place: node.place, items: [] }
  throw composeError(node.place, `${kindOf(node)} is no list`, 'Write a list: lines that begin with "- ".')
}

export function mapOf(node: ComposeNode): MapNode {
  if (node.kind === 'map') return node
  if (isNull(node)) return { kind: 'map', place: node.place, entries: new Map() }
  throw composeError(node.place, `${kindOf(node)} is no mapping`, 'Write `key: value`, indented.')
}

export const textsOf = (node: ComposeNode, context: Context): string[] =>
  listOf(node).items.map((item) => textOf(item, context))

/** One text, or a list of them. */
export const oneOrMore = (node: ComposeNode, context: Context): string[] =>
  node.kind === 'list' ? textsOf(node, context) : isNull(node) ? [] : [textOf(node, context)]

/** A command line, or its words. null: that of the image. */
export function commandOf(node: ComposeNode, context: Context): string[] | null {
  if (isNull(node)) return null
  if (node.kind === 'list') return textsOf(node, context)
  const words = splitCommand(textOf(node, context))
  if (words) return words
  throw composeError(node.place, 'a quote does not end', 'Close it, or write the words as a list.')
}

/** `KEY: value` or `- KEY=value`. undefined: a key without a value. */
export function pairsOf(node: ComposeNode, context: Context): Map<string, string | undefined> {
  if (node.kind !== 'list') {
    const entries = [...mapOf(node).entries]
    return new Map(entries.map(([key, { value }]) => [key, isNull(value) ? undefined : textOf(value, context)]))
  }
  return new Map(
    node.items.map((item): [string, string | undefined] => {
      const text = textOf(item, context)
      const equals = text.indexOf('=')
      if (equals === 0 || text === '') throw composeError(item.place, `${shown(item)} has no name`, 'Write NAME=value.')
      return equals < 0 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)]
    }),
  )
}

/** Labels and the like: without a value they are empty. */
export const recordOf = (node: ComposeNode, context: Context): Record<string, string> =>
  Object.fromEntries([...pairsOf(node, context)].map(([key, value]) => [key, value ?? '']))

export const shown = (node: ComposeNode): string => (node.kind === 'scalar' ? JSON.stringify(node.text) : kindOf(node))

/** What to do with each key of a mapping; `x-` ones are everybody's own. Others are errors. */
export function eachKey(
  node: ComposeNode,
  known: readonly string[],
  refused: Readonly<Record<string, string>>,
  visit: (key: string, entry: Entry) => void,
): void {
  for (const [key, entry] of mapOf(node).entries) {
    if (key.startsWith('x-') && !known.includes(key)) continue
    if (known.includes(key)) visit(key, entry)
    else if (Object.hasOwn(refused, key))
      throw composeError(entry.key, 'this is not there', refused[key] as string, 'ERR_CAISSON_UNSUPPORTED')
    else {
      const meant = didYouMean(nearest(key, known))
      throw composeError(
        entry.key,
        `there is no field ${JSON.stringify(key)}${meant}`,
        `There are ${known.join(', ')}.`,
      )
    }
  }
}

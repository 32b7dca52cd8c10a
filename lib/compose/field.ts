/** Tables of fields: how each is read, and how one file's goes over another's. */
import { printable } from '../util/source-file.js'
import { didYouMean, nearest } from '../util/suggest.js'
import { type ComposeNode, isNull, isPlace } from './node.js'
import { type Context, eachKey } from './read.js'

export interface Field<T> {
  read(node: ComposeNode, context: Context): T
  /** What both files say becomes one; without it the later one counts. */
  merge?(base: T, over: T): T
}

// biome-ignore lint/suspicious/noExplicitAny: a table of fields of whatever types; `Values` has them
export type Fields = Record<string, Field<any>>
export type Values<F extends Fields> = { [K in keyof F]?: F[K] extends Field<infer T> ? T : never }

/** With what `!override` and `!reset` were written at. */
export type Read<F extends Fields> = { values: Values<F>; replaced: ReadonlySet<string> }

export function readFields<F extends Fields>(
  node: ComposeNode,
  context: Context,
  fields: F,
  refused: Readonly<Record<string, string>> = {},
): Read<F> {
  const values: Record<string, unknown> = {}
  const replaced = new Set<string>()
  warnOfNear(node, context, Object.keys(fields))
  eachKey(node, Object.keys(fields), refused, (key, { value }) => {
    if (value.tag) replaced.add(key)
    if (value.tag === 'reset') return
    // A key with nothing behind it says nothing, but to fields that know what it means.
    const read = fields[key]?.read(value, context)
    if (read !== undefined) values[key] = read
  })
  return { values: values as Values<F>, replaced }
}

/** `x-` fields are everybody's own, but one that is almost one of ours may be meant to be that. */
function warnOfNear(node: ComposeNode, { warn }: Context, known: readonly string[]): void {
  const ours = known.filter((key) => key.startsWith('x-'))
  if (ours.length === 0 || node.kind !== 'map') return
  for (const [key, { key: place }] of node.entries) {
    const meant = key.startsWith('x-') ? nearest(key, ours) : undefined
    if (meant !== undefined) warn(printable(`${place.path} says nothing${didYouMean(meant)}`))
  }
}

export function mergeFields<F extends Fields>(base: Values<F>, over: Read<F>, fields: F): Values<F> {
  const merged: Record<string, unknown> = { ...base }
  for (const key of over.replaced) delete merged[key]
  for (const [key, value] of Object.entries(over.values)) {
    const merge = fields[key]?.merge
    merged[key] = merge && Object.hasOwn(merged, key) ? merge(merged[key], value) : value
  }
  return merged as Values<F>
}

type Reader<T> = (node: ComposeNode, context: Context) => T

/** The later one counts; a key without a value is as if it were not there. */
export const single = <T>(read: Reader<T>): Field<T> => ({
  read: (node, context) => (isNull(node) ? (undefined as T) : read(node, context)),
})

/** The later one counts, without a value too. */
export const last = <T>(read: Reader<T>): Field<T> => ({ read })

/** Those of both, each once. */
export const both = <T>(read: Reader<T[]>): Field<T[]> => ({
  read,
  merge: (base, over) => {
    const there = new Set(base.map(canonical))
    return [...base, ...over.filter((each) => !there.has(canonical(each)))]
  },
})

/** Of the same key the later one counts. */
export const keyed = <T>(read: Reader<Record<string, T>>): Field<Record<string, T>> => ({
  read,
  merge: (base, over) => ({ ...base, ...over }),
})

/** A list whose entries are known by something; of the same the later one counts. */
export const listed = <T>(read: Reader<T[]>, keyOf: (each: T) => string): Field<T[]> => ({
  read,
  merge: (base, over) => [...new Map([...base, ...over].map((each) => [keyOf(each), each])).values()],
})

/** A mapping with fields of its own. */
export const nested = <F extends Fields>(
  fields: F,
  refused: Readonly<Record<string, string>> = {},
): Field<Values<F>> => ({
  read: (node, context) => readFields(node, context, fields, refused).values,
  merge: (base, over) => mergeFields(base, { values: over, replaced: new Set() }, fields),
})

/** As text, with keys in order. Places are no part of what is said. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (key, each) => {
    if (isPlace(key, each)) return undefined
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}

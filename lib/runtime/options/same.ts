/** Options as data: kept to be compared with later ones. What is not data alone (an object of ours, a function) is not. */

export type Plain = string | number | boolean | null | undefined | Plain[] | { [name: string]: Plain }

/** A copy without the names in `apart`; undefined when there is more than data in it. */
export function copyOptions(options: object, apart: ReadonlySet<string>): { [name: string]: Plain } | undefined {
  const entries = Object.entries(options).filter(([name, value]) => value !== undefined && !apart.has(name))
  try {
    return copy(Object.fromEntries(entries)) as { [name: string]: Plain }
  } catch (error) {
    if (error instanceof NotPlain) return undefined
    throw error
  }
}

/** Whether `options` say the same as those that were kept. */
export function sameOptions(kept: { [name: string]: Plain }, options: object, apart: ReadonlySet<string>): boolean {
  let left = Object.keys(kept).length
  for (const name in options) {
    const value = options[name as keyof typeof options] as unknown
    if (value === undefined || apart.has(name)) continue
    if (!Object.hasOwn(kept, name) || !same(kept[name], value)) return false
    left--
  }
  return left === 0
}

class NotPlain extends Error {}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function copy(value: unknown): Plain {
  if (typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint') throw new NotPlain()
  if (typeof value !== 'object' || value === null) return value as Plain
  if (Array.isArray(value)) return value.map(copy)
  if (!isPlain(value)) throw new NotPlain()
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, copy(each)]))
}

function same(a: Plain, b: unknown): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b)
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((each, i) => same(each, (b as unknown[])[i]))
  if (Array.isArray(b) || !isPlain(b)) return false
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && same(a[name], (b as Record<string, unknown>)[name]))
  )
}

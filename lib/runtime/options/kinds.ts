/** What kind of value an option takes: tables name one for each option, and what is not of it is an error that names the option. */
import { invalidArgument } from '../../errors.js'
import { parseDuration, parseSize } from '../../util/units.js'

/** Throws with the option's path when the value is not of the kind. Never asked about undefined. */
export type Kind = (value: unknown, option: string) => void

function kind(wanted: string, is: (value: unknown) => boolean): Kind {
  return (value, option) => {
    if (!is(value)) throw invalidArgument(option, value, wanted)
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0')

export const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText)

/** Looked at by whoever uses it. */
export const elsewhere: Kind = () => undefined
export const flag = kind('true or false', (value) => typeof value === 'boolean')
export const text = kind('a string without NUL', isText)
export const anyText = kind('a string', (value) => typeof value === 'string')
export const number = kind('a number', (value) => typeof value === 'number')
export const object = kind('an object', isObject)
export const list = kind('an array', Array.isArray)
export const texts = kind('an array of strings without NUL', isTexts)
export const size: Kind = (value, option) => void parseSize(value as string, option)
export const duration: Kind = (value, option) => void parseDuration(value as string, option)
export const textOrNumber = kind('a string or a number', (value) => isText(value) || typeof value === 'number')

export const oneOf = (...names: string[]): Kind =>
  kind(names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${names.at(-1)}` : String(names[0]), (value) =>
    names.includes(value as string),
  )

export const either = (wanted: string, ...kinds: Array<(value: unknown) => boolean>): Kind =>
  kind(wanted, (value) => kinds.some((is) => is(value)))

/** An object whose values are all of one kind. */
export const objectOf =
  (each: Kind): Kind =>
  (value, option) => {
    object(value, option)
    for (const [name, one] of Object.entries(value as object))
      if (one !== undefined) each(one, `${option}[${JSON.stringify(name)}]`)
  }

/** A variable's name is looked at where it is used; an object's values too, since numbers count as their text. */
export const environment = either('an object of variables, or an array of NAME=value', isObject, Array.isArray)

export const terminal = either(
  'true, false or { columns, rows } from 0 to 65535',
  (value) => typeof value === 'boolean',
  (value) => isObject(value) && [value.columns, value.rows].every(isExtent),
)

/** 0: nobody knows, as a terminal says that was given no size. */
const isExtent = (value: unknown) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff

export const input = either(
  'a string, bytes or a Readable',
  (value) => typeof value === 'string' || value instanceof Uint8Array,
  (value) => isObject(value) && (typeof value.pipe === 'function' || Symbol.asyncIterator in value),
)

export const abortSignal = either(
  'an AbortSignal',
  (value) => isObject(value) && typeof value.aborted === 'boolean' && typeof value.addEventListener === 'function',
)

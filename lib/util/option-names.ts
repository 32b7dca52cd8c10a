/** Names of options: one that nobody knows is misspelt, and what it asks for must not silently be missing. */
import { CaissonError, invalidArgument } from '../errors.js'

/** Names of a type's properties; the compiler says when one is missing. */
export type Names<T> = Record<keyof Required<T>, true>

/** Throws ERR_CAISSON_INVALID_ARGUMENT with what there is. `prefix` goes before the names, as `limits.`. */
export function checkNames(given: object | undefined, known: Readonly<Record<string, unknown>>, prefix: string): void {
  if (given === undefined) return
  if (typeof given !== 'object' || given === null)
    throw invalidArgument(prefix.slice(0, -1) || 'options', given, 'an object')
  for (const name in given) {
    if (Object.hasOwn(known, name)) continue
    const close = Object.keys(known).find((each) => plain(each) === plain(name))
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `there is no option ${prefix}${name}`, {
      stage: 'options',
      hint: close ? `It is written ${prefix}${close}.` : `There are: ${Object.keys(known).join(', ')}.`,
    })
  }
}

const plain = (name: string) => name.toLowerCase().replace(/[_-]|s$/g, '')

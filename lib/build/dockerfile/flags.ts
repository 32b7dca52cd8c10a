/** The `--flags` of an instruction. */

import { didYouMean, nearest } from '../../util/suggest.js'
import type { Place } from './place.js'
import type { Token } from './words.js'

type Kind = 'boolean' | 'text' | 'list'
type Kinds = Record<string, Kind>

/** A flag's value; its place is that of the whole flag. */
export type FlagValues<K extends Kinds> = {
  [Name in keyof K]: K[Name] extends 'boolean'
    ? boolean | undefined
    : K[Name] extends 'text'
      ? Token | undefined
      : Token[]
}

/** @throws CaissonError ERR_CAISSON_DOCKERFILE for a flag that is not known, is there twice, or has a bad value. */
export function readFlags<K extends Kinds>(place: Place, kinds: K): FlagValues<K> {
  const values: Record<string, boolean | Token | Token[] | undefined> = {}
  for (const [name, kind] of Object.entries(kinds)) values[name] = kind === 'list' ? [] : undefined
  for (const flag of place.node.flags) {
    const [option, value] = cut(flag.text)
    const name = option.slice(2)
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined
    if (kind === undefined) {
      const meant = nearest(name, Object.keys(kinds))
      throw place.fault(flag, `unknown flag: ${option}${didYouMean(meant)}`, known(kinds, meant))
    }
    const seen = values[name]
    if (kind === 'list' && value !== undefined) (seen as Token[]).push({ ...flag, text: value })
    else if (kind !== 'list' && seen !== undefined)
      throw place.fault(flag, `duplicate flag specified: ${option}`, 'Give it once.')
    else if (kind === 'boolean') values[name] = switchValue(place, flag, option, value)
    else if (value === undefined)
      throw place.fault(flag, `missing a value on flag: ${option}`, `Write ${option}=VALUE.`)
    else values[name] = { ...flag, text: value }
  }
  return values as FlagValues<K>
}

function known(kinds: Kinds, meant: string | undefined): string {
  if (meant !== undefined) return `Write --${meant}.`
  const names = Object.keys(kinds).map((name) => `--${name}`)
  return names.length > 0 ? `There are ${names.join(', ')}.` : 'This instruction has no flags.'
}

function cut(text: string): [option: string, value: string | undefined] {
  const equals = text.indexOf('=')
  return equals < 0 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)]
}

function switchValue(place: Place, flag: Token, option: string, value: string | undefined): boolean {
  if (value === undefined) return true
  if (value === '') throw place.fault(flag, `missing a value on flag: ${option}`, `Write ${option} alone, or =true.`)
  const lower = value.toLowerCase()
  if (lower !== 'true' && lower !== 'false')
    throw place.fault(flag, `expecting boolean value for flag ${option}, not: ${value}`, 'Give true or false.')
  return lower === 'true'
}

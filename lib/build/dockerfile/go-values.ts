/** Durations, numbers and booleans as Go reads and prints them. */
import { fault } from './source.js'
import { quote } from './text.js'

/** Nanoseconds. */
const UNITS: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }
const LONGEST = 2 ** 63

/** Nanoseconds of a duration such as `1m30s` or `-1.5h`. */
export function parseGoDuration(text: string): number {
  const wanted = 'Write a duration such as 30s or 1m30s.'
  const sign = text.startsWith('-') ? -1 : 1
  let rest = text.replace(/^[-+]/, '')
  if (rest === '0') return 0
  if (rest === '') throw fault(`time: invalid duration ${quote(text)}`, wanted)
  let total = 0
  while (rest !== '') {
    const number = /^(?:\d+\.?\d*|\.\d+)/.exec(rest)?.[0]
    if (number === undefined) throw fault(`time: invalid duration ${quote(text)}`, wanted)
    rest = rest.slice(number.length)
    const unit = /^[^\d.]*/.exec(rest)?.[0] as string
    if (unit === '') throw fault(`time: missing unit in duration ${quote(text)}`, wanted)
    const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined
    if (factor === undefined) throw fault(`time: unknown unit ${quote(unit)} in duration ${quote(text)}`, wanted)
    rest = rest.slice(unit.length)
    total += Number(number) * factor
    if (total >= LONGEST) throw fault(`time: invalid duration ${quote(text)}`, wanted)
  }
  return sign * Math.trunc(total)
}

/** `1m30s`, `1.5s`, `250ms`, `0s`: the greatest unit below a second, else hours, minutes and seconds. */
export function formatGoDuration(nanoseconds: number): string {
  if (nanoseconds < 0) return `-${formatGoDuration(-nanoseconds)}`
  if (nanoseconds === 0) return '0s'
  if (nanoseconds < 1e3) return `${nanoseconds}ns`
  if (nanoseconds < 1e6) return `${nanoseconds / 1e3}µs`
  if (nanoseconds < 1e9) return `${nanoseconds / 1e6}ms`
  const whole = Math.floor(nanoseconds / 1e9)
  const fraction = nanoseconds % 1e9
  const decimals = fraction === 0 ? '' : `.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor(whole / 60) % 60
  return `${hours > 0 ? `${hours}h` : ''}${whole >= 60 ? `${minutes}m` : ''}${whole % 60}${decimals}s`
}

/** A decimal number of 32 bits with a sign. */
export function parseGoInteger(text: string): number {
  const number = /^[-+]?\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(number))
    throw fault(`strconv.ParseInt: parsing ${quote(text)}: invalid syntax`, 'Give a whole number.')
  if (Math.abs(number) > 2 ** 31 - 1)
    throw fault(`strconv.ParseInt: parsing ${quote(text)}: value out of range`, 'Give a smaller number.')
  return number
}

/** A number without a sign of at most 32 bits, in octal or decimal digits; undefined when it is none. */
export function parseUnsigned(text: string, base: 8 | 10): number | undefined {
  if (!(base === 8 ? /^[0-7]+$/ : /^\d+$/).test(text)) return undefined
  const number = Number.parseInt(text, base)
  return number < 2 ** 32 ? number : undefined
}

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True'])
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False'])

/** Undefined when it is neither. */
export function parseGoBoolean(text: string): boolean | undefined {
  if (TRUE.has(text)) return true
  return FALSE.has(text) ? false : undefined
}

/** Sizes and durations as people write them. */
import { invalidArgument } from '../errors.js'

/** Bytes, or a Docker string: `512`, `64m`, `1.5g`, `10MB`, `2GiB`; binary units. */
export type Size = number | string

/** Milliseconds, or `250ms`, `1.5s`, `2m`, `1h`. */
export type Duration = number | string

const SIZE = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i
const POWERS = ['', 'k', 'm', 'g', 't', 'p']

/** Bytes, as an integer; throws with the option's name. */
export function parseSize(value: Size, option: string): number {
  const wanted = 'a number of bytes or a size such as 64m'
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) throw invalidArgument(option, value, wanted)
    return value
  }
  const match = typeof value === 'string' ? SIZE.exec(value.trim()) : null
  if (!match) throw invalidArgument(option, value, wanted)
  const bytes = Math.floor(Number(match[1]) * 1024 ** POWERS.indexOf((match[2] as string).toLowerCase()))
  if (!Number.isSafeInteger(bytes)) throw invalidArgument(option, value, 'a size below 8 PiB')
  return bytes
}

/** Milliseconds that a timer can count; one for longer rings at once. */
export const TIMER_MAX = 2 ** 31 - 1

const DURATION = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/
const PART = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g
const MILLISECONDS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds; throws with the option's name. A bare number in a string counts as milliseconds too. */
export function parseDuration(value: Duration, option: string): number {
  const wanted = 'a number of milliseconds or a duration such as 1.5s'
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || value < 0) throw invalidArgument(option, value, wanted)
    return value
  }
  if (typeof value !== 'string') throw invalidArgument(option, value, wanted)
  const text = value.trim()
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text)
  if (!DURATION.test(text)) throw invalidArgument(option, value, wanted)
  let total = 0
  for (const [, number, unit] of text.matchAll(PART)) total += Number(number) * (MILLISECONDS[unit as string] as number)
  return total
}

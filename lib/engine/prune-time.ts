/** The filter `until` of prunes: a time, or how long ago. */
import { parseDuration } from '../util/units.js'
import { badRequest } from './failure.js'
import type { Filters } from './filters.js'

/** Milliseconds since 1970, before which something must have been made; Infinity: whenever. */
export function pruneTime(filters: Filters): number {
  const [text, more] = filters.get('until')
  if (more !== undefined) throw badRequest("invalid filter 'until': it is given more than once")
  return text === undefined ? Number.POSITIVE_INFINITY : momentOf(text, 'until')
}

/** Seconds since 1970 (also with nanoseconds behind a point), a time as RFC 3339 writes it, or how long ago. */
export function momentOf(text: string, name: string): number {
  if (/^\d{1,12}(\.\d{1,9})?$/.test(text)) return Number(text) * 1000
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(time)) return time
  if (/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) return Date.now() - parseDuration(text, name)
  throw badRequest(`invalid ${name}: ${text.slice(0, 100)}`)
}

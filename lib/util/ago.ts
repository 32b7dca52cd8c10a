/** How long ago something was, as `docker ps` says it (docker/go-units, duration.go). */

/** Upper bounds in seconds, and the unit that times below them are told in. */
const UNITS: Array<[below: number, seconds: number, name: string]> = [
  [60, 1, 'second'],
  [60 * 60, 60, 'minute'],
  [47.5 * 60 * 60, 60 * 60, 'hour'],
  [14 * 86_400, 86_400, 'day'],
  [60 * 86_400, 7 * 86_400, 'week'],
  [730 * 86_400, 30 * 86_400, 'month'],
  [Number.POSITIVE_INFINITY, 365 * 86_400, 'year'],
]

/** In docker's words. */
export function ago(time: Date, now = Date.now()): string {
  const seconds = Math.floor((now - time.getTime()) / 1000)
  if (seconds < 1) return 'Less than a second'
  const [, unit, name] = UNITS.find(([below]) => seconds < below) as [number, number, string]
  // Hours alone are rounded.
  const count = Math.floor(seconds / unit + (name === 'hour' ? 0.5 : 0))
  if (count === 1 && name === 'minute') return 'About a minute'
  if (count === 1 && name === 'hour') return 'About an hour'
  return `${count} ${name}${count === 1 ? '' : 's'}`
}

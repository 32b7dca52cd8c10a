/** --health-cmd and its like, read by docker's rules. */
import type { HealthcheckOptions } from '../index.js'
import { parseDuration } from '../util/units.js'
import type { Flags } from './flags.js'
import { usageError } from './usage.js'
import { defined, numberOf } from './values.js'

const FLAGS = ['cmd', 'interval', 'retries', 'start-interval', 'start-period', 'timeout'].map(
  (name) => `health-${name}`,
)

export function healthOf(flags: Flags): HealthcheckOptions | undefined {
  const given = FLAGS.find((name) => flags.text(name) !== undefined)
  if (flags.boolean('no-healthcheck') && given !== undefined)
    throw usageError(`--no-healthcheck says the opposite of --${given}`, 'Give the one or the other.')
  const retries = numberOf(flags, 'health-retries', true)
  if (retries !== undefined && retries < 0)
    throw usageError(`--health-retries: ${retries} is negative`, 'Give 1 or more; 0 is the usual number, 3.')
  const times = defined({
    interval: time(flags, 'health-interval'),
    timeout: time(flags, 'health-timeout'),
    startPeriod: time(flags, 'health-start-period'),
    startInterval: time(flags, 'health-start-interval'),
    retries: retries || undefined,
  })
  const test = flags.text('health-cmd')
  if (test) return { test, ...times }
  if (!times) return undefined
  throw usageError(`--${given} needs --health-cmd`, 'The check of an image is not made here; give it as --health-cmd.')
}

/** With a unit, as Go has it; 0 is the usual time. */
function time(flags: Flags, name: string): string | undefined {
  const given = flags.text(name)
  if (given === undefined || given === '0') return undefined
  if (/^\d+(\.\d+)?$/.test(given)) throw usageError(`--${name}: ${given} has no unit`, `Write --${name} ${given}s.`)
  return parseDuration(given, `--${name}`) === 0 ? undefined : given
}

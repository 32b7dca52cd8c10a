/** HEALTHCHECK: none, or a command and how often it runs. */
import type { HealthConfig } from '../../spec/image.js'
import { readFlags } from './flags.js'
import { parseGoDuration, parseGoInteger } from './go-values.js'
import type { Healthcheck } from './instruction.js'
import type { Place } from './place.js'
import { fault } from './source.js'
import { quote } from './text.js'
import type { Token } from './words.js'

const MILLISECOND = 1e6

export function readHealthcheck(place: Place): Healthcheck {
  const { args, json } = place.node
  const [first, ...command] = args
  if (!first) throw fault('HEALTHCHECK requires at least one argument', 'Write HEALTHCHECK CMD command, or NONE.')
  const type = first.text.toUpperCase()
  if (type === 'NONE') {
    if (command.length > 0) throw fault('HEALTHCHECK NONE takes no arguments', 'Leave them out.')
    return { name: 'HEALTHCHECK', place, health: { Test: ['NONE'] } }
  }
  const flags = readFlags(place, {
    interval: 'text',
    timeout: 'text',
    'start-period': 'text',
    'start-interval': 'text',
    retries: 'text',
  })
  if (type !== 'CMD')
    throw place.fault(first, `Unknown type ${quote(type)} in HEALTHCHECK (try CMD)`, 'Write HEALTHCHECK CMD command.')
  if (command.length === 0) throw fault('Missing command after HEALTHCHECK CMD', 'Write HEALTHCHECK CMD command.')
  const health: HealthConfig = { Test: [json ? 'CMD' : 'CMD-SHELL', ...command.map(({ text }) => text)] }
  const times = {
    Interval: interval(place, 'interval', flags.interval),
    Timeout: interval(place, 'timeout', flags.timeout),
    StartPeriod: interval(place, 'start-period', flags['start-period']),
    StartInterval: interval(place, 'start-interval', flags['start-interval']),
    Retries: retries(place, flags.retries),
  }
  for (const [field, value] of Object.entries(times)) if (value !== 0) health[field as keyof typeof times] = value
  return { name: 'HEALTHCHECK', place, health }
}

/** Nanoseconds; 0 stands for the default. */
function interval(place: Place, name: string, flag: Token | undefined): number {
  if (!flag || flag.text === '') return 0
  const duration = place.at(flag, () => parseGoDuration(flag.text))
  if (duration !== 0 && duration < MILLISECOND)
    throw place.fault(
      flag,
      `Interval ${quote(name)} cannot be less than 1ms`,
      'Give a longer one, or 0 for the default.',
    )
  return duration
}

function retries(place: Place, flag: Token | undefined): number {
  if (!flag || flag.text === '') return 0
  const number = place.at(flag, () => parseGoInteger(flag.text))
  if (number < 0)
    throw place.fault(flag, `--retries cannot be negative (${number})`, 'Give 0 for the default, or more.')
  return number
}

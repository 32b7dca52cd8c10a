/** EXPOSE and HEALTHCHECK: what they put into the configuration. */
import type { HealthConfig } from '../../spec/image.js'
import { type EvaluationContext, once } from './evaluation.js'
import { parseExposed } from './expose.js'
import { formatGoDuration } from './go-values.js'
import type { Healthcheck, Several } from './instruction.js'
import { fault } from './source.js'
import { setOwn } from './stage-state.js'
import { listed, quote } from './text.js'

/** Every port there is, in every protocol; a line of ranges can ask for far more. */
const MOST_PORTS = 3 * 65536

export function evaluateExpose(context: EvaluationContext, { place, values }: Several<'EXPOSE'>): void {
  const { state, linter } = context
  const exposed: string[] = []
  for (const value of values) {
    for (const text of context.expandWords(place, value)) {
      const { ports, oddCase, mapped } = place.at(value, () => parseExposed(text))
      const span = place.spanOf(value)
      if (oddCase) linter.warn('ExposeProtoCasing', place, `Write the protocol of ${quote(text)} in lower case`, span)
      if (mapped)
        linter.warn(
          'ExposeInvalidFormat',
          place,
          `${quote(text)}: EXPOSE takes neither addresses nor ports of the host`,
          span,
        )
      for (const port of ports) exposed.push(port)
      if (exposed.length > MOST_PORTS) throw fault('EXPOSE names more ports than there are', 'Name each once.')
    }
  }
  state.config.ExposedPorts ??= {}
  for (const port of exposed) setOwn(state.config.ExposedPorts, port, {})
  state.commit(`EXPOSE ${listed(exposed)}`)
}

export function evaluateHealthcheck(context: EvaluationContext, { place, health }: Healthcheck): void {
  once(context, 'HEALTHCHECK', place)
  context.state.config.Healthcheck = structuredClone(health)
  context.state.commit(`HEALTHCHECK ${printed(health)}`)
}

function printed({ Test = [], Interval, Timeout, StartPeriod, StartInterval, Retries = 0 }: HealthConfig): string {
  const times = Object.entries({ Interval, Timeout, StartPeriod, StartInterval }).map(
    ([name, time = 0]) => ` ${name}:${formatGoDuration(time)}`,
  )
  return `{Test:${listed(Test)}${times.join('')} Retries:${Retries}}`
}

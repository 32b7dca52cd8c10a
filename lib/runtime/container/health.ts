/** Health checks, with Docker's rules and defaults. */
import { invalidArgument } from '../../errors.js'
import type { HealthcheckOptions } from '../../options.js'
import type { HealthConfig } from '../../spec/image.js'
import { parseDuration, TIMER_MAX } from '../../util/units.js'

export type Health = 'none' | 'starting' | 'healthy' | 'unhealthy'

/** Times in milliseconds. */
export interface HealthPlan {
  command: string[]
  interval: number
  timeout: number
  startPeriod: number
  startInterval: number
  retries: number
}

const SECOND = 1000
const DEFAULTS = { interval: 30 * SECOND, timeout: 30 * SECOND, startPeriod: 0, startInterval: 5 * SECOND, retries: 3 }
const NANOSECONDS = 1e6

/** The caller's check, else the image's; undefined when there is none or it was switched off. */
export function healthPlan(
  options: HealthcheckOptions | false | undefined,
  image: HealthConfig | undefined,
): HealthPlan | undefined {
  if (options === false) return undefined
  if (options === undefined) {
    const command = commandOf(image?.Test ?? [])
    if (!image || !command) return undefined
    const time = (value: number | undefined, otherwise: number) =>
      value ? Math.min(value / NANOSECONDS, TIMER_MAX) : otherwise
    return {
      command,
      interval: time(image.Interval, DEFAULTS.interval),
      timeout: time(image.Timeout, DEFAULTS.timeout),
      startPeriod: time(image.StartPeriod, DEFAULTS.startPeriod),
      startInterval: time(image.StartInterval, DEFAULTS.startInterval),
      retries: image.Retries || DEFAULTS.retries,
    }
  }
  const { test, retries = DEFAULTS.retries } = options
  const command = commandOf(typeof test === 'string' ? ['CMD-SHELL', test] : test)
  if (!command) return undefined
  if (!Number.isInteger(retries) || retries < 1)
    throw invalidArgument('healthcheck.retries', retries, 'an integer from 1')
  const time = (name: 'interval' | 'timeout' | 'startPeriod' | 'startInterval') =>
    options[name] === undefined
      ? DEFAULTS[name]
      : Math.min(parseDuration(options[name], `healthcheck.${name}`), TIMER_MAX)
  return {
    command,
    interval: time('interval'),
    timeout: time('timeout'),
    startPeriod: time('startPeriod'),
    startInterval: time('startInterval'),
    retries,
  }
}

function commandOf(test: readonly string[]): string[] | undefined {
  if (!Array.isArray(test)) throw invalidArgument('healthcheck.test', test, 'a command line or its words')
  const [kind, ...words] = test as string[]
  if (kind === undefined || kind === 'NONE') return undefined
  if (kind === 'CMD-SHELL') return ['/bin/sh', '-c', words.join(' ')]
  return kind === 'CMD' ? words : [kind, ...words]
}

/** One look at the container: true when the check passed, undefined when it could not be made. */
export type Probe = (command: string[], timeoutMs: number) => Promise<boolean | undefined>

/** Looks again and again while the container runs. A failure counts only once the start period is over. */
export class HealthMonitor {
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #failures = 0
  #status: Health = 'starting'
  readonly #began = Date.now()
  readonly #plan: HealthPlan
  readonly #probe: Probe
  readonly #changed: (status: Health) => void

  constructor(plan: HealthPlan, probe: Probe, changed: (status: Health) => void) {
    this.#plan = plan
    this.#probe = probe
    this.#changed = changed
    this.#schedule()
  }

  get status(): Health {
    return this.#status
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #schedule(): void {
    const { startPeriod, startInterval, interval } = this.#plan
    const starting = this.#status === 'starting' && Date.now() - this.#began < startPeriod
    this.#timer = setTimeout(() => void this.#look(), starting ? Math.min(startInterval, interval) : interval)
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    const passed = await this.#probe(this.#plan.command, this.#plan.timeout).catch(() => false)
    if (this.#stopped) return
    if (passed === undefined) return this.#schedule()
    if (passed) {
      this.#failures = 0
      this.#set('healthy')
    } else if (this.#status !== 'starting' || Date.now() - this.#began >= this.#plan.startPeriod) {
      if (++this.#failures >= this.#plan.retries) this.#set('unhealthy')
    }
    this.#schedule()
  }

  #set(status: Health): void {
    if (this.#status === status) return
    this.#status = status
    this.#changed(status)
  }
}

/** What container.waitFor() can wait for. */
import { get as httpGet } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Container } from './container.js'
import { CaissonError, invalidArgument } from './errors.js'
import { aborted } from './util/abort.js'
import { type Duration, parseDuration, TIMER_MAX } from './util/units.js'

export interface WaitOptions {
  /** Default 60 s. */
  timeout?: Duration
  signal?: AbortSignal
}

export interface HttpWaitOptions extends WaitOptions {
  /** Port inside the container; default 80. */
  port?: number
  /** Default: any from 200 to 399. */
  status?: number | ((status: number) => boolean)
  headers?: Record<string, string>
  method?: string
}

/** A strategy: looks whether it is time, again and again. */
export interface Wait {
  readonly what: string
  readonly options: WaitOptions
  /** Resolves with true when the container is ready, false to be asked again. */
  ready(container: Container, signal: AbortSignal): Promise<boolean>
}

const TIMEOUT = 60_000
const INTERVAL = 25

/** One look at a service must not hang the whole wait. */
const PROBE_TIMEOUT = 2_000

export const Wait = {
  /** A line (or part of one) of its output that matches; or that contains the text. */
  log(pattern: RegExp | string, options: WaitOptions = {}): Wait {
    if (!(pattern instanceof RegExp) && typeof pattern !== 'string')
      throw invalidArgument('Wait.log', pattern, 'a regular expression or a string')
    const found = (text: string) => {
      if (typeof pattern === 'string') return text.includes(pattern)
      pattern.lastIndex = 0
      return pattern.test(text)
    }
    return {
      what: `a log line that matches ${pattern}`,
      options,
      async ready(container, signal) {
        for await (const { data } of container.logs({ follow: true, signal })) if (found(data.toString())) return true
        return false
      },
    }
  },

  /** A TCP port inside the container that accepts connections. */
  port(port: number, options: WaitOptions = {}): Wait {
    checkPort(port, 'Wait.port')
    return {
      what: `port ${port}`,
      options,
      async ready(container) {
        const socket = await container.connect(port, { timeout: PROBE_TIMEOUT })
        socket.destroy()
        return true
      },
    }
  },

  /** An HTTP answer inside the container. */
  http(path: string, options: HttpWaitOptions = {}): Wait {
    if (typeof path !== 'string' || !path.startsWith('/')) throw invalidArgument('Wait.http', path, 'a path such as /')
    const { port = 80, status = (code: number) => code >= 200 && code < 400, headers, method = 'GET' } = options
    checkPort(port, 'Wait.http: port')
    if (typeof status !== 'function' && !Number.isInteger(status))
      throw invalidArgument('Wait.http: status', status, 'a status such as 200, or a function of it')
    const good = typeof status === 'number' ? (code: number) => code === status : status
    return {
      what: `HTTP ${method} :${port}${path}`,
      options,
      async ready(container, signal) {
        const socket = await container.connect(port, { timeout: PROBE_TIMEOUT })
        const request = httpGet({
          createConnection: () => socket,
          path,
          method,
          headers: { host: 'localhost', connection: 'close', ...headers },
          timeout: PROBE_TIMEOUT,
          signal,
        })
        return new Promise<boolean>((resolve, reject) => {
          request.on('timeout', () => request.destroy(new Error('no answer in time')))
          request.on('error', reject)
          request.on('response', (response) => {
            response.resume()
            resolve(good(response.statusCode ?? 0))
          })
        })
      },
    }
  },

  /** A command in the container that exits with 0. */
  command(command: string[], options: WaitOptions = {}): Wait {
    if (!Array.isArray(command) || command.length === 0)
      throw invalidArgument('Wait.command', command, 'an array with at least one string')
    return {
      what: `the command ${command.join(' ')}`,
      options,
      ready: async (container, signal) => (await container.exec(command, { signal })).exitCode === 0,
    }
  },

  /** Its health check says healthy. */
  healthy(options: WaitOptions = {}): Wait {
    return {
      what: 'the health check',
      options,
      async ready(container) {
        // Without a check this would never be.
        if (container.pid !== null && container.health === 'none') throw new NeverReady(container)
        return container.health === 'healthy'
      },
    }
  },
}

/** Asks until it is ready, the time is over, the caller gives up, or the container has ended. */
export async function waitFor(container: Container, wait: Wait, options: WaitOptions = {}): Promise<void> {
  if (typeof wait?.ready !== 'function')
    throw invalidArgument('strategy', wait, 'one of Wait.log, port, http, command, healthy')
  const { timeout, signal: caller } = { ...wait.options, ...options }
  const limit = parseDuration(timeout ?? TIMEOUT, 'timeout')
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(), Math.min(limit, TIMER_MAX))
  const giveUp = () => controller.abort()
  caller?.addEventListener('abort', giveUp, { once: true })
  let last: unknown
  try {
    while (!controller.signal.aborted && !caller?.aborted) {
      const running = container.state === 'running' || container.state === 'paused' || container.restarting
      try {
        if (await wait.ready(container, controller.signal)) return
      } catch (error) {
        if (error instanceof NeverReady) throw error.reason
        last = error
      }
      // Asked once more after its end: the last line may be what was waited for.
      if (!running) throw ended(container, wait)
      await sleep(INTERVAL, undefined, { signal: controller.signal }).catch(() => undefined)
    }
  } finally {
    clearTimeout(timer)
    caller?.removeEventListener('abort', giveUp)
  }
  if (caller?.aborted) throw aborted(caller, `waiting for ${wait.what}`)
  throw new CaissonError('ERR_CAISSON_WAIT', `${container.name}: ${wait.what} did not come within ${limit} ms`, {
    stage: 'wait',
    hint: 'See container.logs(); give a longer timeout if it is only slow.',
    cause: last instanceof Error ? last : undefined,
  })
}

function checkPort(port: unknown, option: string): void {
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65535)
    throw invalidArgument(option, port, 'a port from 1 to 65535')
}

/** Asking again would not help. */
class NeverReady extends Error {
  readonly reason: CaissonError

  constructor(container: Container) {
    super()
    this.reason = new CaissonError('ERR_CAISSON_WAIT', `${container.name} has no health check`, {
      stage: 'wait',
      hint: 'Create it with { healthcheck: { test } }, or wait for something else.',
    })
  }
}

function ended(container: Container, wait: Wait): CaissonError {
  return new CaissonError(
    'ERR_CAISSON_WAIT',
    `${container.name} is ${container.state} while ${wait.what} was waited for`,
    {
      stage: 'wait',
      hint: 'See container.logs() and the result of container.wait().',
    },
  )
}

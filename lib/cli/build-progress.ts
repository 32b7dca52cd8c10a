/** Progress of builds: lines for logs, a picture for terminals, or JSON for programs. */
import type { BuildEvent, BuildStepEvent } from '../index.js'
import { harmless, harmlessJson } from './harmless.js'
import { usageError } from './usage.js'

export interface BuildProgress {
  tell(event: BuildEvent): void
  end(): void
}

export const QUIET: BuildProgress = { tell() {}, end() {} }

/** @param mode auto (default), plain, tty, json (or rawjson, as docker calls its own) or quiet. */
export function buildProgress(to: NodeJS.WriteStream, mode = 'auto'): BuildProgress {
  switch (mode === 'auto' ? (to.isTTY ? 'tty' : 'plain') : mode) {
    case 'plain':
      return plainProgress(to)
    case 'tty':
      return terminalProgress(to)
    case 'quiet':
      return QUIET
    case 'json':
    case 'rawjson':
      return { tell: (event) => void to.write(`${harmlessJson(jsonOf(event))}\n`), end() {} }
    default:
      throw usageError(`--progress: ${mode} is not known`, 'Write auto, plain, tty, json or quiet.')
  }
}

function jsonOf(event: BuildEvent): object {
  return event.type === 'output' ? { ...event, data: event.data.toString('utf8') } : event
}

export const seconds = (durationMs = 0) => `${(durationMs / 1000).toFixed(1)}s`

const headOf = ({ stage, index, count, title }: BuildStepEvent) =>
  harmless(`[${stage} ${index}/${count}] ${firstLine(title)}`)
const firstLine = (text: string) => text.split('\n', 1)[0] as string

/** Whole lines of several streams, each with its beginning. */
class Lines {
  readonly #rest = new Map<string, string>()

  take(key: string, data: Buffer): string[] {
    const lines = `${this.#rest.get(key) ?? ''}${data.toString('utf8')}`.split(/\r?\n|\r/)
    this.#rest.set(key, lines.pop() as string)
    return lines
  }

  /** What has no line break behind it. */
  end(prefix: string): string[] {
    const rests = [...this.#rest].filter(([key, rest]) => key.startsWith(prefix) && rest !== '')
    for (const key of [...this.#rest.keys()]) if (key.startsWith(prefix)) this.#rest.delete(key)
    return rests.map(([, rest]) => rest)
  }
}

function plainProgress(to: NodeJS.WritableStream): BuildProgress {
  const lines = new Lines()
  const begun = new Map<number, number>()
  const print = (step: number, text: string) => void to.write(`#${step} ${text}\n`)
  const output = (step: number, texts: readonly string[]) => {
    const since = seconds(performance.now() - (begun.get(step) ?? 0))
    for (const text of texts) print(step, `${since} ${harmless(text)}`)
  }
  return {
    tell(event) {
      if (event.type === 'output') output(event.step, lines.take(`${event.step}/${event.stream}`, event.data))
      else if (event.type === 'warning') to.write(`${warningOf(event)}\n`)
      else if (event.type === 'unused-arg' || event.type === 'notice') to.write(`${plainWarningOf(event)}\n`)
      else if (event.type === 'pushed') to.write(`${pushedOf(event)}\n`)
      else if (event.type === 'step') {
        const { step, status, durationMs, error } = event
        if (status === 'started') {
          begun.set(step, performance.now())
          print(step, `${headOf(event)} (line ${event.line})`)
          return
        }
        output(step, lines.end(`${step}/`))
        if (status === 'cached') print(step, 'CACHED')
        if (status === 'done') print(step, `DONE ${seconds(durationMs)}`)
        if (status === 'failed') print(step, `ERROR ${harmless(firstLine(error ?? ''))}`)
      }
    },
    end() {},
  }
}

export function warningOf({ warning: { rule, message, span } }: BuildEvent & { type: 'warning' }): string {
  return harmless(`warning: ${rule}: ${message} (line ${span.start.line})`)
}

const pushedOf = ({ image, digest }: BuildEvent & { type: 'pushed' }) => harmless(`pushed ${image}@${digest}`)
const plainWarningOf = ({ message }: BuildEvent & { type: 'unused-arg' | 'notice' }) => harmless(`warning: ${message}`)

/** Milliseconds between two pictures. */
const INTERVAL = 80
/** Lines of the output of a running command. */
const SHOWN = 6

interface Running {
  event: BuildStepEvent
  began: number
  tail: string[]
}

function terminalProgress(to: NodeJS.WriteStream): BuildProgress {
  const running = new Map<number, Running>()
  const lines = new Lines()
  const finished: string[] = []
  let drawn = 0
  const cut = (text: string) => text.slice(0, (to.columns || 80) - 1)
  const draw = () => {
    const live = [...running.values()].flatMap(({ event, began, tail }) => [
      ` => ${headOf(event)}  ${seconds(performance.now() - began)}`,
      ...tail.map((text) => `    | ${text}`),
    ])
    const room = Math.max((to.rows || 24) - 2, 3)
    const over = finished.splice(0)
    const picture = [...over, ...live.slice(-room)].map((text) => `\r\u001b[2K${cut(text)}\n`).join('')
    to.write(`${drawn > 0 ? `\u001b[${drawn}A` : ''}${picture}\u001b[J`)
    drawn = Math.min(live.length, room)
  }
  const timer = setInterval(draw, INTERVAL)
  timer.unref()
  return {
    tell(event) {
      if (event.type === 'warning') finished.push(warningOf(event))
      else if (event.type === 'unused-arg' || event.type === 'notice') finished.push(plainWarningOf(event))
      else if (event.type === 'pushed') finished.push(pushedOf(event))
      else if (event.type === 'output') {
        const step = running.get(event.step)
        if (step)
          step.tail = [...step.tail, ...lines.take(`${event.step}/`, event.data).map((text) => harmless(text))].slice(
            -SHOWN,
          )
      } else if (event.type === 'step') {
        if (event.status === 'started') {
          running.set(event.step, { event, began: performance.now(), tail: [] })
          return
        }
        running.delete(event.step)
        const word = { cached: 'CACHED', done: seconds(event.durationMs), failed: 'ERROR' }[event.status]
        finished.push(` => ${word.padEnd(7)} ${headOf(event)}`)
      }
    },
    end() {
      clearInterval(timer)
      draw()
    },
  }
}

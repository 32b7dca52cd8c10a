/** Lines of several containers, each with the name of its own in front. */
import type { ProjectLogEntry } from '../index.js'
import { harmless } from './harmless.js'

export interface LogStyle {
  color: boolean
  /** It obeys what it gets. */
  terminal: boolean
  prefix: boolean
  timestamps: boolean
}

/** As docker compose: cyan, yellow, green, magenta, blue, then the bright ones. */
const COLORS = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94]

export class LogPrinter {
  readonly #style: LogStyle
  readonly #to: NodeJS.WritableStream
  readonly #colors = new Map<string, number>()
  #width = 0

  constructor(to: NodeJS.WritableStream, style: LogStyle) {
    this.#to = to
    this.#style = style
  }

  /** Names that are known before are aligned from the first line on. */
  expect(containers: Iterable<string>): void {
    for (const name of containers) this.#width = Math.max(this.#width, name.length)
  }

  /** Resolves when more can be taken. */
  async print({ container, time, data }: ProjectLogEntry): Promise<void> {
    const { prefix, timestamps, terminal } = this.#style
    this.expect([container])
    const text = data.toString('utf8').replace(/\r?\n$/, '')
    const stamp = timestamps ? `${time.toISOString()} ` : ''
    const line = `${prefix ? this.#head(container) : ''}${stamp}${terminal ? harmless(text, true) : text}\n`
    if (!this.#to.write(line)) await new Promise((resolve) => this.#to.once('drain', resolve))
  }

  #head(container: string): string {
    const head = `${container.padEnd(this.#width)} | `
    if (!this.#style.color) return head
    let color = this.#colors.get(container)
    if (color === undefined) {
      color = COLORS[this.#colors.size % COLORS.length] as number
      this.#colors.set(container, color)
    }
    return `\u001b[${color}m${head}\u001b[0m`
  }
}

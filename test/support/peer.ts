/** Another process that uses caisson: it does what it is told, and can be killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'

const PROGRAM = `
import { createInterface } from 'node:readline'
import * as caisson from './dist/index.js'
const kept = {}
const Work = (async () => {}).constructor
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await new Work('caisson', 'kept', JSON.parse(line))(caisson, kept).then(
    (value) => ({ value: value ?? null }),
    ({ message, code, hint }) => ({ error: { message, code, hint } }),
  )
  console.log(JSON.stringify(answer))
}`

export class Peer {
  readonly process: ChildProcess
  readonly #answers: AsyncIterator<string>
  readonly #lines: Interface

  /** `around`: words before its command. Imports dist/. */
  constructor(env: NodeJS.ProcessEnv, around: readonly string[] = []) {
    const words = [...around, process.execPath, '--input-type=module', '-e', PROGRAM]
    const [file = process.execPath, ...args] = words
    this.process = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } })
    this.#lines = createInterface({ input: this.process.stdout as NodeJS.ReadableStream })
    this.#answers = this.#lines[Symbol.asyncIterator]()
  }

  get pid(): number {
    return this.process.pid as number
  }

  /** Body of an async function of `caisson` and `kept`, an object that stays; one after the other. */
  async ask<T = string>(body: string): Promise<T> {
    this.process.stdin?.write(`${JSON.stringify(body)}\n`)
    const { value: line, done } = await this.#answers.next()
    if (done) throw new Error('it has ended')
    const { value, error } = JSON.parse(line)
    if (error) throw Object.assign(new Error(error.message), error)
    return value
  }

  async end(signal?: NodeJS.Signals): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const ended = once(this.process, 'exit')
    if (signal) this.process.kill(signal)
    else this.process.stdin?.end()
    await ended
  }
}

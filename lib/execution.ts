/** A running program as the caller holds it: a promise of its result, its streams, and the means to end it. */
import type { Readable, Writable } from 'node:stream'
import { CaissonError, invalidArgument } from './errors.js'
import { addon } from './native/addon.js'
import type { ExecOptions, OutputChunk } from './options.js'
import { checkProgram } from './runtime/options/check.js'
import { announceError, announceExit, announceStart, type Subject, startsAreWatched } from './runtime/process/events.js'
import { LatePid } from './runtime/process/late-pid.js'
import type { Launcher } from './runtime/process/launch.js'
import { ProgramStreams } from './runtime/process/program-streams.js'
import { isHandedOver, type Running } from './runtime/process/running.js'
import { commandFailed, type ExecResult, killedBeforehand, signalNumber } from './runtime/process/verdict.js'
import { pace } from './util/pace.js'
import { parseDuration, parseSize } from './util/units.js'

export type { ExecResult, Reason } from './runtime/process/verdict.js'

export class Execution extends Promise<ExecResult> implements AsyncIterable<OutputChunk> {
  /** `then` and its like give plain promises. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  readonly #options: ExecOptions
  readonly #streams: ProgramStreams
  readonly #result: Promise<ExecResult>
  readonly #pid = new LatePid()
  #running: Running | undefined
  #pendingKill: string | number | undefined
  #aborted = false
  /** Fired by a SIGKILL as long as nothing runs. */
  #stopStarting: AbortController | undefined
  #killedEarly = false

  /** Internal: run() and Container.exec() make these. */
  constructor(launch: Launcher, options: ExecOptions) {
    let resolve!: (result: ExecResult) => void
    let reject!: (error: unknown) => void
    super((a, b) => {
      resolve = a
      reject = b
    })
    let launcher = launch
    let maxOutput: number | undefined
    try {
      checkProgram(options)
      this.#options = options
      maxOutput = options.maxOutput === undefined ? undefined : parseSize(options.maxOutput, 'maxOutput')
    } catch (error) {
      // Told by the promise, as all that goes wrong is.
      this.#options = {}
      launcher = () => Promise.reject(error)
    }
    const { input, tty } = this.#options
    const terminal = tty !== undefined && tty !== false
    this.#streams = new ProgramStreams({ input, terminal, maxOutput, pid: this.#pid })
    this.#result = this.#run(launcher)
    this.#result.then(resolve, reject)
  }

  /** What is written here the program reads; end() is its end of file. */
  get stdin(): Writable {
    return this.#streams.stdin
  }

  /** The program's output as it comes. Reading it slowly slows the program down. */
  get stdout(): Readable {
    return this.#streams.stdout
  }

  get stderr(): Readable {
    return this.#streams.stderr
  }

  /** The process id as this process sees it; rejects when the program could not be started. */
  get pid(): Promise<number> {
    const { promise } = this.#pid
    // Who hears of the failure here need not hear of it twice: it would end this process.
    promise.catch(() => super.then(undefined, () => undefined))
    return promise
  }

  /** Sends a signal to the program. SIGKILL, the default, ends all its descendants with it. */
  kill(signal: string | number = 'SIGKILL'): void {
    const number = signalNumber(signal)
    if (number === undefined) throw invalidArgument('signal', signal, 'the name or number of a signal')
    if (!this.#running) {
      this.#pendingKill = signal
      this.#killedEarly = number === 9
      if (this.#killedEarly) this.#stopStarting?.abort()
    } else if (number === 9) this.#running.kill('stopped')
    // Before that it is the init program, which would die of it in the middle of its work.
    else
      this.#pid.promise.then(
        () => this.#running?.signal(number),
        () => undefined,
      )
  }

  /** Sets the size of the terminal. */
  resize(columns: number, rows: number): void {
    this.#streams.resize(columns, rows)
  }

  // biome-ignore lint/suspicious/noThenProperty: a Promise subclass that wants to know when it is awaited
  override then<A = ExecResult, B = never>(
    onResult?: ((result: ExecResult) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#streams.waitedFor()
    return super.then(onResult, onError)
  }

  /** Chunks of both streams in the order of their arrival. Throws what the promise rejects with. */
  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void, undefined> {
    super.then(undefined, () => undefined)
    yield* this.#streams.chunks()
    await this.#result
  }

  async #run(launch: Launcher): Promise<ExecResult> {
    try {
      const { signal } = this.#options
      const wall = this.#options.timeout === undefined ? 0 : parseDuration(this.#options.timeout, 'timeout')
      const cpu = this.#options.cpuTimeout === undefined ? 0 : parseDuration(this.#options.cpuTimeout, 'cpuTimeout')
      // Whether the caller awaits, streams or writes is known once its own turn is over.
      for (let turn = 0; turn < 3; turn++) await undefined
      await pace()
      if (signal?.aborted) throw abortedBeforeStart(signal)
      const abort = () => {
        this.#aborted = true
        this.#running?.kill('aborted')
      }
      signal?.addEventListener('abort', abort, { once: true })
      try {
        return await this.#launch(launch, wall, cpu)
      } finally {
        signal?.removeEventListener('abort', abort)
      }
    } catch (error) {
      this.#pid.failed(error)
      // Who hears of it at a stream need not hear of it twice: it would end this process.
      if (this.#streams.fail(error as Error)) super.then(undefined, () => undefined)
      throw error
    }
  }

  async #launch(launch: Launcher, wallLimitMs: number, cpuLimitMs: number): Promise<ExecResult> {
    const { stdio, input } = this.#streams.connect()
    const launched = await launch({
      stdio,
      input,
      captureLimit: this.#streams.captureLimit,
      wallLimitMs,
      cpuLimitMs,
      quiet: !this.#pid.wanted && !startsAreWatched(),
      terminalSize: this.#streams.size,
      signal: () => this.#startSignal(),
      events: {
        started: (pid) => {
          this.#pid.found(pid)
          announceStart(subject, pid)
        },
        console: (fd) => this.#streams.attachConsole(fd),
      },
    }).catch((error) => {
      if (!isHandedOver(stdio)) for (const end of stdio) if (typeof end === 'number') addon().closeFd(end)
      if (!this.#killedEarly || this.#options.signal?.aborted || error?.code !== 'ERR_CAISSON_ABORTED') throw error
    })
    if (!launched) return this.#neverStarted()
    const { running, subject, conclude } = launched
    this.#running = running
    this.#pid.from(running)
    if (this.#aborted) running.kill('aborted')
    this.#streams.from(running)
    if (this.#pendingKill !== undefined) this.kill(this.#pendingKill)
    const report = await running.ended
    if (!report.failure) this.#pid.found(report.pid)
    await this.#streams.settle(report)
    const result = await this.#conclude(subject, () => conclude(report))
    if (report.failure) this.#neverExecuted(result, report.refused)
    this.#streams.checkInput()
    if (this.#options.throwOnError && (result.exitCode !== 0 || result.reason !== 'exit')) throw commandFailed(result)
    return result
  }

  /** Killed while its image was fetched. */
  #neverStarted(): ExecResult {
    const result = killedBeforehand()
    this.#neverExecuted(result)
    if (this.#options.throwOnError) throw commandFailed(result)
    return result
  }

  /** There is a result, and nothing has run. What it says of that is also for those who only read. */
  #neverExecuted(result: ExecResult, why = commandFailed(result)): void {
    this.#streams.say(result.stderrBytes)
    this.#pid.failed(why)
  }

  #startSignal(): AbortSignal {
    this.#stopStarting ??= new AbortController()
    if (this.#killedEarly) this.#stopStarting.abort()
    const { signal } = this.#options
    return signal ? AbortSignal.any([signal, this.#stopStarting.signal]) : this.#stopStarting.signal
  }

  async #conclude(subject: Subject, conclude: () => Promise<ExecResult> | ExecResult): Promise<ExecResult> {
    try {
      const result = await conclude()
      announceExit(subject, result)
      return result
    } catch (error) {
      announceError(subject, error)
      throw error
    }
  }
}

function abortedBeforeStart(signal: AbortSignal): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', 'aborted before the program started', {
    stage: 'start',
    hint: 'Its signal had fired already.',
    cause: signal.reason instanceof Error ? signal.reason : undefined,
  })
}

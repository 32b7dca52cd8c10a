/** A running program as the caller holds it: a promise of its result, its streams, and the means to end it. */
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { CaissonError, invalidArgument } from './errors.js'
import { addon, type NativeReport, type NativeStdio } from './native/addon.js'
import type { ExecOptions, OutputChunk } from './options.js'
import { checkProgram } from './runtime/options/check.js'
import { announceError, announceExit, announceStart, type Subject, startsAreWatched } from './runtime/process/events.js'
import { LatePid } from './runtime/process/late-pid.js'
import type { Launcher } from './runtime/process/launch.js'
import { isHandedOver, type Running } from './runtime/process/running.js'
import {
  closedInput,
  feed,
  lateReader,
  makePipe,
  PipeReader,
  pipeWriter,
  Tally,
  TerminalInput,
  TerminalStream,
} from './runtime/process/streams.js'
import { commandFailed, type ExecResult, signalNumber } from './runtime/process/verdict.js'
import { pace } from './util/pace.js'
import { parseDuration, parseSize } from './util/units.js'

export type { ExecResult, Reason } from './runtime/process/verdict.js'

/** Bytes of output that a result holds at most, when the caller sets no bound; more ends the program. */
export const DEFAULT_MAX_OUTPUT = 64 * 1024 * 1024
/** Bytes of output that a result still holds of what was streamed to the caller. */
const STREAMED_KEPT = 1024 * 1024

type OutputStream = 'stdout' | 'stderr'

export class Execution extends Promise<ExecResult> implements AsyncIterable<OutputChunk> {
  /** `then` and its like give plain promises. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  readonly #options: ExecOptions
  readonly #terminal: boolean
  readonly #maxOutput: number | undefined
  readonly #result: Promise<ExecResult>
  readonly #pid = new LatePid()
  #running: Running | undefined
  #pendingKill: string | number | undefined
  #aborted = false
  /** Why the caller's input could not be read to its end. */
  #inputFailure: Error | undefined
  #report: NativeReport | undefined
  #awaited = false
  #launched = false

  #stdin: Writable | undefined
  readonly #outputs = new Map<OutputStream, Readable>()
  readonly #tallies = new Map<OutputStream, Tally>()
  /** Ends for the program of pipes that were made before it started. */
  readonly #given = new Map<number, number>()
  #idleStdin: number | undefined
  #streamedBytes = 0
  #console: TerminalStream | undefined
  #size: { columns: number; rows: number } | undefined

  /** Internal: run() and Container.exec() make these. */
  constructor(launch: Launcher, options: ExecOptions) {
    let resolve!: (result: ExecResult) => void
    let reject!: (error: unknown) => void
    super((a, b) => {
      resolve = a
      reject = b
    })
    let launcher = launch
    try {
      checkProgram(options)
      this.#options = options
      this.#maxOutput = options.maxOutput === undefined ? undefined : parseSize(options.maxOutput, 'maxOutput')
    } catch (error) {
      // Told by the promise, as all that goes wrong is.
      this.#options = {}
      launcher = () => Promise.reject(error)
    }
    const { tty } = this.#options
    this.#terminal = tty !== undefined && tty !== false
    this.#result = this.#run(launcher)
    this.#result.then(resolve, reject)
  }

  /** What is written here the program reads; end() is its end of file. */
  get stdin(): Writable {
    this.#stdin ??= this.#openStdin()
    return this.#stdin
  }

  /** The program's output as it comes. Reading it slowly slows the program down. */
  get stdout(): Readable {
    return this.#output('stdout')
  }

  get stderr(): Readable {
    return this.#output('stderr')
  }

  /** The process id as this process sees it; rejects when the program could not be started. */
  get pid(): Promise<number> {
    return this.#pid.promise
  }

  /** Sends a signal to the program. SIGKILL, the default, ends all its descendants with it. */
  kill(signal: string | number = 'SIGKILL'): void {
    const number = signalNumber(signal)
    if (number === undefined) throw invalidArgument('signal', signal, 'the name or number of a signal')
    if (!this.#running) this.#pendingKill = signal
    else if (number === 9) this.#running.kill('stopped')
    // Before that it is the init program, which would die of it in the middle of its work.
    else
      this.#pid.promise.then(
        () => this.#running?.signal(number),
        () => undefined,
      )
  }

  /** Sets the size of the terminal. */
  resize(columns: number, rows: number): void {
    for (const value of [columns, rows])
      if (!Number.isInteger(value) || value < 0 || value > 0xffff)
        throw invalidArgument('resize', value, 'a size from 0 to 65535')
    this.#size = { columns, rows }
    if (this.#console && !this.#console.destroyed) addon().resize(this.#console.terminalFd, columns, rows)
  }

  // biome-ignore lint/suspicious/noThenProperty: a Promise subclass that wants to know when it is awaited
  override then<A = ExecResult, B = never>(
    onResult?: ((result: ExecResult) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#waitedFor()
    return super.then(onResult, onError)
  }

  /** Chunks of both streams in the order of their arrival. */
  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void, undefined> {
    const names: OutputStream[] = this.#terminal ? ['stdout'] : ['stdout', 'stderr']
    const iterators = names.map((name) => ({ name, iterator: this.#output(name)[Symbol.asyncIterator]() }))
    this.#waitedFor()
    super.then(undefined, () => undefined)
    const next = async ({ name, iterator }: (typeof iterators)[number]) => ({
      source: { name, iterator },
      result: await iterator.next(),
    })
    const pending = new Map(iterators.map((source) => [source.name, next(source)]))
    try {
      while (pending.size > 0) {
        const { source, result } = await Promise.race(pending.values())
        if (result.done) pending.delete(source.name)
        else {
          pending.set(source.name, next(source))
          yield { stream: source.name, data: result.value as Buffer }
        }
      }
    } finally {
      for (const { iterator } of iterators) await iterator.return?.()
    }
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
      this.#fail(error as Error)
      throw error
    }
  }

  async #launch(launch: Launcher, wallLimitMs: number, cpuLimitMs: number): Promise<ExecResult> {
    const input = this.#inputBytes()
    const stdio = this.#connect(input !== undefined)
    const { running, subject, conclude } = await launch({
      stdio,
      input,
      captureLimit: this.#maxOutput ?? DEFAULT_MAX_OUTPUT,
      wallLimitMs,
      cpuLimitMs,
      quiet: !this.#pid.wanted && !startsAreWatched(),
      terminalSize: this.#size,
      events: {
        started: (pid) => {
          this.#pid.found(pid)
          announceStart(subject, pid)
        },
        console: (fd) => this.#attachConsole(fd),
      },
    }).catch((error) => {
      if (!isHandedOver(stdio)) for (const end of stdio) if (typeof end === 'number') addon().closeFd(end)
      throw error
    })
    this.#running = running
    this.#pid.from(running)
    if (this.#aborted) running.kill('aborted')
    if (this.#inputFailure) running.kill('stopped')
    if (this.#pendingKill !== undefined) this.kill(this.#pendingKill)
    const report = await running.ended
    this.#report = { ...report }
    await this.#settleStreams()
    this.#addStreamed(report)
    const result = await this.#conclude(subject, () => conclude(report))
    if (this.#inputFailure) throw inputFailed(this.#inputFailure)
    this.#pid.found(report.pid)
    if (this.#options.throwOnError && (result.exitCode !== 0 || result.reason !== 'exit')) throw commandFailed(result)
    return result
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

  /** The program's ends of the three streams, as far as they are decided. */
  #connect(hasInput: boolean): [NativeStdio, NativeStdio, NativeStdio] {
    if (this.#terminal) {
      this.#launched = true
      return ['null', 'null', 'null']
    }
    const { input } = this.#options
    if (input !== undefined && !hasInput) this.#feed(input as Readable, this.stdin)
    let stdin: NativeStdio = this.#given.get(0) ?? 'null'
    if (hasInput && !this.#stdin) stdin = 'input'
    else if (!this.#stdin && !this.#awaited) {
      // Nobody waits yet, so somebody may still write; closed as soon as it is clear that nobody will.
      const pipe = makePipe()
      this.#idleStdin = pipe.write
      stdin = pipe.read
    }
    const stdio: [NativeStdio, NativeStdio, NativeStdio] = [
      stdin,
      this.#given.get(1) ?? 'capture',
      this.#given.get(2) ?? 'capture',
    ]
    this.#given.clear()
    this.#launched = true
    return stdio
  }

  #inputBytes(): Uint8Array | undefined {
    const { input } = this.#options
    if (typeof input === 'string') return Buffer.from(input)
    return input instanceof Uint8Array ? input : undefined
  }

  /** A program whose input breaks off must not take what it got for all. */
  #feed(input: Readable | AsyncIterable<unknown>, target: Writable): void {
    feed(input, target, (error) => {
      this.#inputFailure = error
      this.#running?.kill('stopped')
    })
  }

  #waitedFor(): void {
    if (this.#awaited) return
    this.#awaited = true
    setImmediate(() => this.#closeIdleStdin())
  }

  #closeIdleStdin(): void {
    if (this.#idleStdin === undefined) return
    addon().closeFd(this.#idleStdin)
    this.#idleStdin = undefined
  }

  #openStdin(): Writable {
    if (this.#terminal) return this.#terminalInput()
    if (this.#idleStdin !== undefined) {
      const fd = this.#idleStdin
      this.#idleStdin = undefined
      return pipeWriter(fd)
    }
    if (this.#launched) return closedInput()
    const pipe = makePipe()
    this.#given.set(0, pipe.read)
    return pipeWriter(pipe.write)
  }

  #output(name: OutputStream): Readable {
    const existing = this.#outputs.get(name)
    if (existing) return existing
    const index = name === 'stdout' ? 0 : 1
    const tally = this.#tally(name)
    let stream: Readable
    if (this.#terminal) stream = this.#console && name === 'stdout' ? this.#console : new PassThrough()
    else if (this.#launched) stream = lateReader(this.#taken(index), tally)
    else {
      const pipe = makePipe()
      this.#given.set(index + 1, pipe.write)
      stream = new PipeReader(pipe.read, tally)
    }
    if (this.#terminal && name === 'stderr') (stream as PassThrough).end()
    this.#outputs.set(name, stream)
    return stream
  }

  /** A stream that was captured until now: its pipe and what came, or all of it when the program has ended. */
  async #taken(index: 0 | 1): Promise<{ fd: number; bytes: Buffer; counted: boolean }> {
    if (!this.#running) await this.#pid.promise
    const running = this.#running as Running
    const name = index === 0 ? 'stdout' : 'stderr'
    if (!running.over) {
      const taken = await running.detach(index)
      // Of one that has just ended the report has it.
      if (taken.fd >= 0 || taken.bytes.length > 0) return { ...taken, counted: false }
    }
    const report = this.#report ?? (await running.ended)
    return { fd: -1, bytes: report[name], counted: true }
  }

  #tally(name: OutputStream): Tally {
    const tally = new Tally(Math.min(this.#maxOutput ?? STREAMED_KEPT, DEFAULT_MAX_OUTPUT))
    const limit = this.#maxOutput ?? (this.#terminal ? DEFAULT_MAX_OUTPUT : Number.POSITIVE_INFINITY)
    tally.onBytes = (count) => {
      const room = Math.max(0, limit - this.#streamedBytes)
      this.#streamedBytes += count
      if (count > room) this.#running?.kill('output')
      return Math.min(count, room)
    }
    this.#tallies.set(name, tally)
    return tally
  }

  /** A terminal's master arrives when the program is about to start; streams asked for before wait for it. */
  #attachConsole(fd: number): void {
    const tally = this.#tallies.get('stdout') ?? this.#tally('stdout')
    const console = new TerminalStream(fd, tally)
    console.on('error', () => undefined)
    this.#console = console
    if (this.#size) this.resize(this.#size.columns, this.#size.rows)
    const waiting = this.#outputs.get('stdout') as PassThrough | undefined
    if (waiting) console.pipe(waiting)
    else {
      this.#outputs.set('stdout', console)
      // Nobody may ever read it: the result still wants the text, and the program must not block.
      setImmediate(() => {
        if (console.listenerCount('data') === 0 && console.readableFlowing === null) console.resume()
      })
    }
    ;(this.#stdin as TerminalInput | undefined)?.pipe(console, { end: false })
    const { input } = this.#options
    if (input === undefined) return
    if (typeof input === 'string' || input instanceof Uint8Array) this.stdin.end(input)
    else this.#feed(input, this.stdin)
  }

  #terminalInput(): Writable {
    const typed = new TerminalInput()
    if (this.#console) typed.pipe(this.#console, { end: false })
    return typed
  }

  /** Waits until what the program wrote has arrived, where somebody takes it. */
  async #settleStreams(): Promise<void> {
    this.#closeIdleStdin()
    if (this.#stdin && !this.#stdin.destroyed) this.#stdin.destroy()
    const taken = [...this.#outputs.values()].filter((stream) => stream.readableFlowing !== null && !stream.destroyed)
    if (this.#console && !this.#console.destroyed) taken.push(this.#console)
    await Promise.all(
      taken.map(
        (stream) =>
          new Promise<void>((resolve) => {
            if (stream.readableEnded || stream.destroyed || stream.isPaused()) return resolve()
            for (const event of ['end', 'close', 'error', 'pause']) stream.once(event, () => resolve())
          }),
      ),
    )
  }

  #addStreamed(report: NativeReport): void {
    for (const [name, tally] of this.#tallies) {
      report[name] = Buffer.concat([report[name], tally.bytes()])
      report.truncated ||= tally.truncated
    }
  }

  #fail(error: Error): void {
    this.#pid.failed(error)
    this.#closeIdleStdin()
    for (const fd of this.#given.values()) addon().closeFd(fd)
    this.#given.clear()
    this.#stdin?.destroy()
    for (const stream of this.#outputs.values()) {
      stream.once('error', () => undefined)
      stream.destroy(error)
    }
  }
}

function inputFailed(cause: Error): CaissonError {
  return new CaissonError('ERR_CAISSON_FILE', `input: ${cause.message}`, {
    stage: 'input',
    hint: 'The stream that was given as input broke off; the program was ended.',
    cause,
  })
}

function abortedBeforeStart(signal: AbortSignal): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', 'aborted before the program started', {
    stage: 'start',
    hint: 'Its signal had fired already.',
    cause: signal.reason instanceof Error ? signal.reason : undefined,
  })
}

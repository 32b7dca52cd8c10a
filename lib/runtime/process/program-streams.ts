/** The three streams of one program: captured, fed, or handed to the caller, as is decided before it starts and after. */
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { CaissonError } from '../../errors.js'
import { addon, type NativeReport, type NativeStdio } from '../../native/addon.js'
import type { ExecOptions, OutputChunk } from '../../options.js'
import type { LatePid } from './late-pid.js'
import type { Running } from './running.js'
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
} from './streams.js'
import { type TerminalSize, terminalSize } from './terminal-size.js'

/** Bytes of output that a result holds at most, when the caller sets no bound; more ends the program. */
const DEFAULT_MAX_OUTPUT = 64 * 1024 * 1024
/** Bytes of output that a result still holds of what was streamed to the caller. */
const STREAMED_KEPT = 1024 * 1024

type OutputStream = 'stdout' | 'stderr'

export interface ProgramStreamsOptions {
  input: ExecOptions['input']
  terminal: boolean
  /** Bytes of both outputs together; undefined: the default for what is captured, none for what is streamed. */
  maxOutput: number | undefined
  /** Asked for when a stream is wanted of a program that is about to start. */
  pid: LatePid
}

export class ProgramStreams {
  readonly #input: ExecOptions['input']
  readonly #terminal: boolean
  readonly #maxOutput: number | undefined
  readonly #pid: LatePid
  #running: Running | undefined
  #report: NativeReport | undefined
  /** Why the caller's input could not be read to its end. */
  #inputFailure: Error | undefined
  /** Why there was no program. */
  #failure: Error | undefined
  /** What stands for its output then, when that is no failure. */
  #said: Buffer | undefined
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
  #size: TerminalSize | undefined

  constructor({ input, terminal, maxOutput, pid }: ProgramStreamsOptions) {
    this.#input = input
    this.#terminal = terminal
    this.#maxOutput = maxOutput
    this.#pid = pid
  }

  get stdin(): Writable {
    this.#stdin ??= this.#openStdin()
    return this.#stdin
  }

  get stdout(): Readable {
    return this.#output('stdout')
  }

  get stderr(): Readable {
    return this.#output('stderr')
  }

  /** Chunks of both outputs in the order of their arrival. */
  async *chunks(): AsyncGenerator<OutputChunk, void, undefined> {
    const names: OutputStream[] = this.#terminal ? ['stdout'] : ['stdout', 'stderr']
    const iterators = names.map((name) => ({ name, iterator: this.#output(name)[Symbol.asyncIterator]() }))
    this.waitedFor()
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
  }

  /** Of the terminal, when it was set. */
  get size(): TerminalSize | undefined {
    return this.#size
  }

  resize(columns: number, rows: number): void {
    this.#size = terminalSize(columns, rows)
    if (this.#console && !this.#console.destroyed) addon().resize(this.#console.terminalFd, columns, rows)
  }

  /** The caller waits for the end: who has not written by now will not write. */
  waitedFor(): void {
    if (this.#awaited) return
    this.#awaited = true
    setImmediate(() => this.#closeIdleStdin())
  }

  /** Bytes that the addon keeps of what nobody streams. */
  get captureLimit(): number {
    return this.#maxOutput ?? DEFAULT_MAX_OUTPUT
  }

  /** What the program's ends are to be, as far as it is decided; `input`: what it reads, when that is bytes. */
  connect(): { stdio: [NativeStdio, NativeStdio, NativeStdio]; input: Uint8Array | undefined } {
    const input = bytesOf(this.#input)
    return { stdio: this.#connect(input !== undefined), input }
  }

  /** It is about to start, or has started. */
  from(running: Running): void {
    this.#running = running
    if (this.#inputFailure) running.kill('stopped')
  }

  /** A terminal's master arrives when the program is about to start; streams asked for before wait for it. */
  attachConsole(fd: number): void {
    // Who enters a container may be made to send one by those in it.
    if (!this.#terminal) {
      addon().closeFd(fd)
      return
    }
    const tally = this.#tallies.get('stdout') ?? this.#tally('stdout')
    const console = new TerminalStream(fd, tally)
    console.on('error', () => undefined)
    this.#console = console
    if (this.#size) this.resize(this.#size.columns, this.#size.rows)
    const waiting = this.#outputs.get('stdout') as PassThrough | undefined
    if (waiting) {
      console.pipe(waiting, { end: false })
      // Of what was not executed there is still something to be said.
      console.once('end', () => void this.#begun('stdout').then(() => waiting.end()))
    } else {
      this.#outputs.set('stdout', console)
      // Nobody may ever read it: the result still wants the text, and the program must not block.
      setImmediate(() => {
        if (console.listenerCount('data') === 0 && console.readableFlowing === null) console.resume()
      })
    }
    ;(this.#stdin as TerminalInput | undefined)?.pipe(console, { end: false })
    if (this.#input === undefined) return
    if (typeof this.#input === 'string' || this.#input instanceof Uint8Array) this.stdin.end(this.#input)
    else this.#feed(this.#input, this.stdin)
  }

  /** The program has ended: waits for what it wrote, and adds to the report what was streamed of it. */
  async settle(report: NativeReport): Promise<void> {
    this.#report = { ...report }
    // Of one that was never executed nobody has written anything; its streams end with the verdict.
    if (report.failure) this.#closeInput()
    else await this.#arrived()
    for (const [name, tally] of this.#tallies) {
      report[name] = Buffer.concat([report[name], tally.bytes()])
      report.truncated ||= tally.truncated
    }
  }

  /** Throws when the caller's input broke off. */
  checkInput(): void {
    if (this.#inputFailure) throw inputFailed(this.#inputFailure)
  }

  /** Whoever reads or writes is told; without an error, that there is nothing more. True when somebody hears of the error. */
  fail(error?: Error): boolean {
    this.#failure ??= error
    let heard = false
    this.#closeIdleStdin()
    for (const fd of this.#given.values()) addon().closeFd(fd)
    this.#given.clear()
    this.#stdin?.destroy()
    for (const stream of this.#outputs.values()) {
      heard ||= error !== undefined && !stream.destroyed && !stream.readableEnded && stream.listenerCount('error') > 0
      stream.once('error', () => undefined)
      if (error) stream.destroy(error)
      // Pipes end by themselves.
      else if (this.#terminal) (stream as PassThrough).end()
    }
    return heard
  }

  /** There was no program, and `text` is what its stderr has; of a terminal the only output. */
  say(text: Buffer): void {
    this.#said = text
    const output = this.#outputs.get('stdout')
    if (this.#terminal && output instanceof PassThrough && !output.writableEnded)
      output.write(String(text).replaceAll('\n', '\r\n'))
    this.fail()
  }

  #connect(hasInput: boolean): [NativeStdio, NativeStdio, NativeStdio] {
    if (this.#terminal) {
      this.#launched = true
      return ['null', 'null', 'null']
    }
    if (this.#input !== undefined && !hasInput) this.#feed(this.#input as Readable, this.stdin)
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

  /** A program whose input breaks off must not take what it got for all. */
  #feed(input: Readable | AsyncIterable<unknown>, target: Writable): void {
    feed(input, target, (error) => {
      this.#inputFailure = error
      this.#running?.kill('stopped')
    })
  }

  #closeIdleStdin(): void {
    if (this.#idleStdin === undefined) return
    addon().closeFd(this.#idleStdin)
    this.#idleStdin = undefined
  }

  #closeInput(): void {
    this.#closeIdleStdin()
    if (this.#stdin && !this.#stdin.destroyed) this.#stdin.destroy()
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

  #terminalInput(): Writable {
    const typed = new TerminalInput()
    if (this.#console) typed.pipe(this.#console, { end: false })
    return typed
  }

  #output(name: OutputStream): Readable {
    const existing = this.#outputs.get(name)
    if (existing) return existing
    const index = name === 'stdout' ? 0 : 1
    const tally = this.#tally(name)
    let stream: Readable
    if (this.#terminal) stream = this.#console && name === 'stdout' ? this.#console : new PassThrough()
    else if (this.#launched) stream = lateReader(this.#taken(index), tally, () => this.#begun(name))
    else {
      const pipe = makePipe()
      this.#given.set(index + 1, pipe.write)
      stream = new PipeReader(pipe.read, tally, () => this.#begun(name))
    }
    if (this.#terminal && name === 'stderr') (stream as PassThrough).end()
    this.#outputs.set(name, stream)
    return stream
  }

  /**
   * Resolves when the program runs, or whoever reads was told why not: until then the end of a pipe says nothing. Gives
   * what is to be read instead of a program's output.
   */
  async #begun(name: OutputStream): Promise<Buffer | undefined> {
    await this.#pid.promise.catch(() => undefined)
    return name === 'stderr' ? this.#said : undefined
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
    const said = report.failure && (await this.#begun(name))
    if (this.#failure) throw this.#failure
    return { fd: -1, bytes: said ?? report[name], counted: true }
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

  /** Waits until what the program wrote has arrived, where somebody takes it. */
  async #arrived(): Promise<void> {
    this.#closeInput()
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
}

function bytesOf(input: ExecOptions['input']): Uint8Array | undefined {
  if (typeof input === 'string') return Buffer.from(input)
  return input instanceof Uint8Array ? input : undefined
}

function inputFailed(cause: Error): CaissonError {
  return new CaissonError('ERR_CAISSON_FILE', `input: ${cause.message}`, {
    stage: 'input',
    hint: 'The stream that was given as input broke off; the program was ended.',
    cause,
  })
}

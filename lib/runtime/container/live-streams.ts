/** The streams of a kept container's program for those who attach to it: as many as want to, before it starts or later. */
import { finished, PassThrough, type Readable, type Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaissonError } from '../../errors.js'
import { addon, type NativeStdio } from '../../native/addon.js'
import { roomIn } from '../../util/room.js'
import { isHandedOver } from '../process/running.js'
import { makePipe, PipeReader, pipeWriter, Tally, TerminalInput, TerminalStream } from '../process/streams.js'
import { type TerminalSize, terminalSize } from '../process/terminal-size.js'
import { LogWriter } from './log-writer.js'
import { newOutputs, type Outputs, withPast } from './outputs.js'

/** Of one who is attached. They end with the present run, or with the next one when there is none. */
export interface AttachedStreams {
  /** What is written here the program reads; end() is its end of file. null: its standard input is not open. */
  stdin: Writable | null
  /** Reading them slowly slows the program down. */
  stdout: Readable
  /** Of a terminal: empty. */
  stderr: Readable
}

export interface AttachOptions {
  /** Begin with what is in its log; nothing between that and what comes is missing, or there twice. Default false. */
  logs?: boolean
}

export interface LiveOptions {
  log: string
  /** Bytes; 0: no log. */
  logLimit: number
  stdinOpen: boolean
  terminal: boolean
}

/**
 * Milliseconds that the output of a program that has ended may still be open. It may have given it to a process outside,
 * through a socket; that one must not keep the container from its end.
 */
const LATE = 1000
/** Bytes that are taken of it in that time: what its program has written fits into a pipe. */
const LATE_MAX = 4 * 1024 * 1024

export class LiveStreams {
  readonly #options: LiveOptions
  readonly #attached = new Set<Outputs>()
  #typed: PassThrough | undefined
  /** The end of the pipe that the program reads from. */
  #stdin: Writable | undefined
  #sources: Readable[] = []
  /** The program's ends. */
  #given: [NativeStdio, NativeStdio, NativeStdio] = ['null', 'null', 'null']
  readonly #writer: LogWriter | undefined
  #console: TerminalStream | undefined
  #size: TerminalSize | undefined
  /** The program has ended: nobody who reads slowly is waited for any more. */
  #over = false
  #late = 0

  constructor(options: LiveOptions) {
    this.#options = options
    const { log, logLimit } = options
    this.#writer = logLimit > 0 ? new LogWriter(log, logLimit) : undefined
  }

  attach({ logs = false }: AttachOptions = {}): AttachedStreams {
    const live = newOutputs()
    // Whoever goes away holds nobody up.
    live.stdout.once('close', () => this.#attached.delete(live))
    this.#attached.add(live)
    const outputs = logs && this.#writer ? withPast(this.#options.log, this.#writer, live) : live
    return { stdin: this.#options.stdinOpen ? this.#input : null, ...outputs }
  }

  /** Of the terminal, now and of the runs to come. */
  resize(columns: number, rows: number): void {
    this.#size = terminalSize(columns, rows)
    if (this.#console && !this.#console.destroyed) addon().resize(this.#console.terminalFd, columns, rows)
  }

  /** A run begins: what its program is connected to. A terminal's master comes by `attachConsole`. */
  begin(): [NativeStdio, NativeStdio, NativeStdio] {
    const { terminal, stdinOpen } = this.#options
    this.#over = false
    this.#late = 0
    this.#sources = []
    this.#given = ['null', 'null', 'null']
    if (terminal) return this.#given
    try {
      for (const index of [0, 1] as const) this.#given[index + 1] = this.#output(index)
      if (stdinOpen) this.#given[0] = this.#inputEnd()
    } catch (error) {
      this.abandon()
      throw error
    }
    return this.#given
  }

  /** The program that begin() was for will not be started. */
  abandon(): void {
    if (isHandedOver(this.#given)) return
    for (const end of this.#given) if (typeof end === 'number') addon().closeFd(end)
    this.#given = ['null', 'null', 'null']
    this.#stdin?.destroy()
  }

  attachConsole(fd: number): void {
    if (!this.#options.terminal) {
      addon().closeFd(fd)
      return
    }
    const console = new TerminalStream(fd, new Tally(0))
    console.on('error', () => undefined)
    this.#console = console
    if (this.#size) this.resize(this.#size.columns, this.#size.rows)
    this.#follow(console, 0)
    if (this.#options.stdinOpen) this.#input.pipe(new TerminalInput()).pipe(console, { end: false })
  }

  /** The program has ended. Resolves when what it printed was passed on and is in the log. */
  async end(): Promise<void> {
    this.#over = true
    const read = Promise.all(this.#sources.map((source) => ended(source)))
    for (const source of this.#sources) source.resume()
    const controller = new AbortController()
    await Promise.race([read, sleep(LATE, undefined, { signal: controller.signal }).catch(() => undefined)])
    controller.abort()
    for (const source of this.#sources) source.destroy()
    this.#stdin?.destroy()
    this.#typed?.destroy()
    this.#typed = undefined
    this.#console = undefined
    for (const { stdout, stderr } of this.#attached) {
      stdout.end()
      stderr.end()
    }
    this.#attached.clear()
    await this.#writer?.finish()
  }

  /** There will be no run any more. */
  removed(): void {
    for (const { stdout, stderr } of this.#attached) {
      stdout.end()
      stderr.end()
    }
    this.#attached.clear()
    this.#typed?.destroy()
  }

  #output(index: 0 | 1): number {
    const pipe = makePipe()
    this.#follow(new PipeReader(pipe.read, new Tally(0)), index)
    return pipe.write
  }

  #inputEnd(): number {
    const pipe = makePipe()
    const writer = pipeWriter(pipe.write)
    writer.on('error', () => undefined)
    this.#stdin = writer
    this.#input.pipe(writer)
    return pipe.read
  }

  get #input(): PassThrough {
    if (!this.#typed) {
      // As many as are attached listen to it.
      this.#typed = new PassThrough().setMaxListeners(0)
      // Who types at a program that has ended is not told.
      this.#typed.on('error', () => undefined)
    }
    return this.#typed
  }

  #follow(source: Readable, index: 0 | 1): void {
    this.#sources.push(source)
    source.on('error', () => undefined)
    source.on('data', (chunk: Buffer) => {
      if (this.#over) this.#late += chunk.length
      if (this.#late > LATE_MAX) return void source.destroy()
      const waits: Array<Promise<unknown>> = []
      this.#writer?.add(index, chunk)
      const behind = this.#writer?.behind
      if (behind) waits.push(behind)
      for (const attached of this.#attached) {
        const stream = index === 0 ? attached.stdout : attached.stderr
        if (!stream.destroyed && !stream.write(chunk)) waits.push(roomIn(stream))
      }
      if (waits.length === 0 || this.#over) return
      source.pause()
      void Promise.all(waits).then(() => source.resume())
    })
  }
}

function ended(source: Readable): Promise<void> {
  return new Promise((resolve) => {
    if (source.readableEnded || source.destroyed) resolve()
    else finished(source, { writable: false }, () => resolve())
  })
}

/** Those of the container `name`, which has none unless it was made to be attached to. */
export function requireStreams(live: LiveStreams | undefined, name: string, what: string): LiveStreams {
  if (live) return live
  throw new CaissonError('ERR_CAISSON_INVALID_STATE', `${what}: the output of ${name} goes to its log alone`, {
    stage: what,
    hint: 'Create it with { attachable: true }, or read container.logs({ follow: true }).',
  })
}

/** The ends of a program's pipes that we hold, as Node streams made only when somebody wants them. */
import { readSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { finished, PassThrough, pipeline, Readable, Transform, Writable } from 'node:stream'
import { ReadStream } from 'node:tty'
import { CaissonError, invalidArgument } from '../../errors.js'
import { addon } from '../../native/addon.js'

/** Both ends of a new pipe. */
export function makePipe(): { read: number; write: number } {
  const made = addon().pipe()
  if (Array.isArray(made)) return { read: made[0], write: made[1] }
  throw new CaissonError('ERR_CAISSON_RESOURCE_EXHAUSTED', 'no pipe can be made', {
    stage: 'streams',
    hint: 'Raise the limit of open files (ulimit -n).',
    cause: { code: 'EMFILE', errno: -made.errno, syscall: made.syscall },
  })
}

/** Counts what passes, and keeps the first part of it. */
export class Tally {
  readonly #limit: number
  readonly #parts: Buffer[] = []
  #kept = 0
  truncated = false
  /** Told of each chunk; answers how much of it may pass. */
  onBytes: ((count: number) => number) | undefined

  constructor(limit: number) {
    this.#limit = limit
  }

  /** What of it may pass on. */
  add(chunk: Buffer): Buffer {
    const room = this.#limit - this.#kept
    if (chunk.length > room) this.truncated = true
    if (room > 0) {
      const part = chunk.length > room ? chunk.subarray(0, room) : chunk
      this.#parts.push(part)
      this.#kept += part.length
    }
    const passes = this.onBytes?.(chunk.length) ?? chunk.length
    return passes === chunk.length ? chunk : chunk.subarray(0, passes)
  }

  bytes(): Buffer {
    return this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts)
  }
}

/** Of what could not be started: resolves when that is known, with what is to be read instead of its output. */
type Begun = () => Promise<Buffer | undefined>

/**
 * The read end of a pipe. Back-pressure reaches the program: nobody reads, the pipe fills, it waits. What could not
 * be started ends its pipes, too, and whoever reads is to hear why.
 */
export class PipeReader extends Socket {
  readonly #tally: Tally
  readonly #begun: Begun | undefined
  #isEmpty = true

  constructor(fd: number, tally: Tally, begun?: Begun) {
    super({ fd, readable: true, writable: false })
    this.#tally = tally
    this.#begun = begun
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null && this.#isEmpty && this.#begun) {
      void this.#begun().then((said) => {
        if (this.destroyed) return
        if (said && said.length > 0) super.push(said)
        super.push(null)
      })
      return false
    }
    if (!(chunk instanceof Buffer)) return super.push(chunk, encoding)
    this.#isEmpty = false
    const passed = this.#tally.add(chunk)
    // Above the bound nothing comes through any more; the rest is read, so that the end is seen.
    return passed.length === 0 || super.push(passed, encoding)
  }
}

/** The write end. A program that no longer reads is no error of the writer's, as with a shell's pipe. */
export function pipeWriter(fd: number): Socket {
  const socket = new Socket({ fd, readable: false, writable: true })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET' && socket.listenerCount('error') === 1) throw error
  })
  return socket
}

/** Bytes that a terminal may still hold, and more, when its last program has left it. */
const TERMINAL_REST = 256 * 1024
/** Milliseconds until a program that reads slowly may have made room. */
const TYPE_AGAIN = 5

/** Our side of a terminal, which does not block: both directions, ended (not failed) when the last program closes its side. */
export class TerminalStream extends ReadStream {
  readonly #tally: Tally
  readonly terminalFd: number

  constructor(fd: number, tally: Tally) {
    super(fd)
    this.terminalFd = fd
    this.#tally = tally
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null && !this.destroyed) this.#takeRest()
    if (!(chunk instanceof Buffer)) return super.push(chunk, encoding)
    const passed = this.#tally.add(chunk)
    // Above the bound nothing comes through any more; the rest is read, so that the end is seen.
    return passed.length === 0 || super.push(passed, encoding)
  }

  /**
   * libuv takes a hang-up for the end once it has read less than it could, as from a pipe; but what a program has written
   * goes through the terminal a while later.
   */
  #takeRest(): void {
    try {
      for (let taken = 0; taken < TERMINAL_REST; ) {
        const buffer = Buffer.alloc(4096)
        const size = readSync(this.terminalFd, buffer)
        if (size === 0) return
        this.push(buffer.subarray(0, size))
        taken += size
      }
    } catch {
      // EIO: that was all.
    }
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#type(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk, done)
  }

  override _writev(
    chunks: Array<{ chunk: Buffer | string; encoding: BufferEncoding }>,
    done: (error?: Error | null) => void,
  ): void {
    const bytes = chunks.map(({ chunk, encoding }) =>
      typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk,
    )
    this.#type(Buffer.concat(bytes), done)
  }

  /** Not by libuv, which would wait until the program has read it. */
  #type(bytes: Buffer, done: (error?: Error | null) => void): void {
    let left = bytes
    try {
      while (left.length > 0 && !this.destroyed) left = left.subarray(writeSync(this.terminalFd, left))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EAGAIN') setTimeout(() => this.#type(left, done), TYPE_AGAIN)
      // EIO: nobody is there to read it.
      else done(code === 'EIO' ? null : (error as Error))
      return
    }
    done()
  }

  override destroy(error?: Error & { code?: string }): this {
    // Linux reports EIO on the master once no slave is open: the end, not a failure.
    if (error?.code !== 'EIO' || this.readableEnded) return super.destroy(error)
    this.push(null)
    return this
  }
}

/** A stream that gets its content later: what was captured so far, then the pipe. */
export function lateReader(
  taking: Promise<{ fd: number; bytes: Buffer; counted: boolean }>,
  tally: Tally,
  begun: Begun,
): Readable {
  const stream = new PassThrough()
  taking.then(
    ({ fd, bytes, counted }) => {
      if (bytes.length > 0) stream.write(counted ? bytes : tally.add(bytes))
      if (fd < 0) return void stream.end()
      const reader = new PipeReader(fd, tally, begun)
      // Whoever reads no more closes the pipe: the program is told when it writes.
      if (stream.destroyed) return void reader.destroy()
      stream.once('close', () => reader.destroy())
      reader.pipe(stream)
    },
    (error) => stream.destroy(error),
  )
  return stream
}

/** End of file, as it is typed (termios(3), VEOF). */
const TYPED_END = '\x04'

/** What is typed at a terminal. A pipe can be closed, a terminal cannot: the end is typed too, as script(1) does it. */
export class TerminalInput extends Transform {
  #last: number | undefined

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: (error: null, data: Buffer) => void): void {
    this.#last = chunk.at(-1) ?? this.#last
    done(null, chunk)
  }

  override _flush(done: (error: null, data: string) => void): void {
    const lineBegins = this.#last === undefined || this.#last === 10 || this.#last === 13
    // In the middle of a line the first one only sends the line.
    done(null, lineBegins ? TYPED_END : TYPED_END + TYPED_END)
  }
}

/**
 * Passes what a source gives on to a program, and then the end. `failed` is told when the source breaks off while the
 * program still reads. Once that reads no more the source is destroyed, unless it is our own standard input.
 */
export function feed(
  source: Readable | AsyncIterable<unknown>,
  target: Writable,
  failed: (error: Error) => void,
): void {
  const given = 'pipe' in source ? source : Readable.from(source)
  const stream = given.readableObjectMode ? pipeline(given, onlyBytes(), () => undefined) : given
  let over = false
  target.once('close', () => {
    over = true
    stream.unpipe(target)
    if (stream !== process.stdin && !stream.destroyed) stream.destroy()
  })
  finished(stream, { writable: false }, (error) => {
    if (error && !over) failed(error)
  })
  stream.pipe(target)
}

/** Anything else would be thrown from the middle of a pipe, where nobody can catch it. */
function onlyBytes(): Transform {
  return new Transform({
    writableObjectMode: true,
    transform(chunk, _encoding, done) {
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) done(null, chunk)
      else done(invalidArgument('input', chunk, 'a stream of strings or bytes'))
    },
  })
}

/** For a program whose input was closed before anybody wrote. */
export function closedInput(): Writable {
  const stream = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error('the standard input is closed'), { code: 'EPIPE' }))
    },
  })
  stream.on('error', () => undefined)
  return stream
}

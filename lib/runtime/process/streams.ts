/** The ends of a program's pipes that we hold, as Node streams made only when somebody wants them. */
import { Socket } from 'node:net'
import { PassThrough, type Readable, Writable } from 'node:stream'
import { ReadStream } from 'node:tty'
import { CaissonError } from '../../errors.js'
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
  onBytes: ((count: number) => void) | undefined

  constructor(limit: number) {
    this.#limit = limit
  }

  add(chunk: Buffer): void {
    const room = this.#limit - this.#kept
    if (chunk.length > room) this.truncated = true
    if (room > 0) {
      const part = chunk.length > room ? chunk.subarray(0, room) : chunk
      this.#parts.push(part)
      this.#kept += part.length
    }
    this.onBytes?.(chunk.length)
  }

  bytes(): Buffer {
    return this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts)
  }
}

/** The read end of a pipe. Back-pressure reaches the program: nobody reads, the pipe fills, it waits. */
export class PipeReader extends Socket {
  readonly #tally: Tally

  constructor(fd: number, tally: Tally) {
    super({ fd, readable: true, writable: false })
    this.#tally = tally
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk instanceof Buffer) this.#tally.add(chunk)
    return super.push(chunk, encoding)
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

/** Our side of a terminal: both directions, ended (not failed) when the last program closes its side. */
export class TerminalStream extends ReadStream {
  readonly #tally: Tally
  readonly terminalFd: number

  constructor(fd: number, tally: Tally) {
    super(fd)
    this.terminalFd = fd
    this.#tally = tally
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk instanceof Buffer) this.#tally.add(chunk)
    return super.push(chunk, encoding)
  }

  override destroy(error?: Error & { code?: string }): this {
    // Linux reports EIO on the master once no slave is open: the end, not a failure.
    if (error?.code !== 'EIO' || this.readableEnded) return super.destroy(error)
    this.push(null)
    return this
  }
}

/** A stream that gets its content later: what was captured so far, then the pipe. */
export function lateReader(taking: Promise<{ fd: number; bytes: Buffer }>, tally: Tally): Readable {
  const stream = new PassThrough()
  taking.then(
    ({ fd, bytes }) => {
      if (bytes.length > 0) {
        tally.add(bytes)
        stream.write(bytes)
      }
      if (fd < 0) stream.end()
      else new PipeReader(fd, tally).pipe(stream)
    },
    (error) => stream.destroy(error),
  )
  return stream
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

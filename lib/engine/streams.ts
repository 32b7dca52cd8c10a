/** A program's streams on a client's connection. */
import { finished, type Readable, type Writable } from 'node:stream'
import type { Call } from './call.js'
import { frame, MULTIPLEXED, RAW } from './stream-format.js'
import { compare } from './versions.js'

export interface ProgramEnds {
  stdin: Writable | null
  stdout: Readable
  stderr: Readable
}

export interface StreamOptions {
  tty: boolean
  /** Which of them the client wants. */
  stdin: boolean
  stdout: boolean
  stderr: boolean
  /** Where the client has no more to write, the program is told. */
  closesInput: boolean
  /** The client has gone: nobody is attached (`detach`), or the program prints for nobody (`drain`). */
  left: 'detach' | 'drain'
  /** Waited for before the connection ends: by its end the client must find the exit code. */
  last?(): Promise<void>
}

/** The type of what has both streams; before 1.42 both kinds had the same. */
export function contentType(version: string, tty: boolean): string {
  return tty || compare(version, '1.42') < 0 ? RAW : MULTIPLEXED
}

/** Until the program has closed its outputs, or the client has gone. */
export async function streamProgram(call: Call, ends: ProgramEnds, options: StreamOptions): Promise<void> {
  const { input, output } = call.take(contentType(call.version, options.tty))
  input.on('error', () => undefined)
  output.on('error', () => undefined)
  if (options.stdin && ends.stdin) {
    input.pipe(ends.stdin, { end: options.closesInput })
    // Who is cut off has no more to write either.
    input.once('close', () => {
      if (options.closesInput && !input.readableEnded) ends.stdin?.end()
    })
  } else input.resume()
  const passing: Array<Promise<void>> = []
  for (const name of ['stdout', 'stderr'] as const) {
    const source = ends[name]
    if (options[name]) passing.push(pass(source, output, (chunk) => (options.tty ? chunk : frame(name, chunk))))
    else source.resume()
  }
  const left = () => {
    input.unpipe()
    for (const source of [ends.stdout, ends.stderr]) {
      if (options.left === 'detach') source.destroy()
      else source.resume()
    }
  }
  if (output.destroyed) left()
  output.once('close', left)
  await Promise.all(passing)
  await options.last?.()
  output.off('close', left)
  if (!output.destroyed) output.end()
  // The client may never close its side: nothing of it is wanted any more.
  input.unpipe()
  input.resume()
}

/** A client that reads slowly slows the program down. */
function pass(source: Readable, output: Writable, form: (chunk: Buffer) => Buffer): Promise<void> {
  return new Promise((resolve) => {
    source.on('data', (chunk: Buffer) => {
      if (output.destroyed || output.write(form(chunk))) return
      source.pause()
      output.once('drain', () => source.resume())
    })
    finished(source, { writable: false }, () => resolve())
  })
}

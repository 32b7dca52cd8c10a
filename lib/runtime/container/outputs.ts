/** What one who is attached to a program gets of it: from now on, or from the beginning of its log. */
import { PassThrough } from 'node:stream'
import { roomIn } from '../../util/room.js'
import { HEADER, isStdout, LogReader } from './log-reader.js'
import type { LogWriter } from './log-writer.js'

export interface Outputs {
  stdout: PassThrough
  stderr: PassThrough
}

/** Nobody needs to hear that they were destroyed. */
export function newOutputs(): Outputs {
  const outputs = { stdout: new PassThrough(), stderr: new PassThrough() }
  for (const stream of [outputs.stdout, outputs.stderr]) stream.on('error', () => undefined)
  return outputs
}

/**
 * First what `writer` has written to `log` and what it still holds of lines, then `live`, which gets what comes from this
 * moment on: meanwhile it holds the program up, as one who reads slowly.
 */
export function withPast(log: string, writer: LogWriter, live: Outputs): Outputs {
  const shown = newOutputs()
  shown.stdout.once('close', () => live.stdout.destroy())
  void passPast(log, writer, live, shown).catch((error) => {
    for (const stream of [live.stdout, live.stderr]) stream.destroy()
    for (const stream of [shown.stdout, shown.stderr]) stream.destroy(error)
  })
  return shown
}

async function passPast(log: string, writer: LogWriter, live: Outputs, shown: Outputs): Promise<void> {
  const reader = new LogReader(log)
  let unfinished: Array<[PassThrough, Buffer]> = []
  let written = false
  try {
    await writer.whenWritten(async ([stdout, stderr]) => {
      unfinished = [
        [shown.stdout, stdout],
        [shown.stderr, stderr],
      ]
      written = await reader.open()
    })
    // A log that comes to be after that has what `live` has.
    while (written && !reader.dry && !shown.stdout.destroyed) {
      await reader.more((bytes, at, end) => {
        const line = Buffer.from(bytes.subarray(at + HEADER, end))
        ;(isStdout(bytes, at) ? shown.stdout : shown.stderr).write(line)
      })
      await Promise.all([roomIn(shown.stdout), roomIn(shown.stderr)])
    }
  } finally {
    await reader.close()
  }
  for (const [stream, bytes] of unfinished) stream.write(bytes)
  live.stdout.pipe(shown.stdout)
  live.stderr.pipe(shown.stderr)
}

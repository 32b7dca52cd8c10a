/** What one who attaches gets first: of a log that is not there yet nothing is shown twice. */
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { LogWriter } from '../../../lib/runtime/container/log-writer.js'
import { newOutputs, withPast } from '../../../lib/runtime/container/outputs.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

test('a program that prints its first words just when somebody attaches', async () => {
  for (let round = 0; round < 50; round++) {
    const log = path.join(scratch(), 'log')
    const writer = new LogWriter(log, 1 << 20)
    const live = newOutputs()
    const shown = withPast(log, writer, live)
    // As each chunk of a program's output goes.
    writer.add(0, Buffer.from('first\n'))
    live.stdout.end('first\n')
    live.stderr.end()
    shown.stderr.resume()
    expect(await text(shown.stdout)).toBe('first\n')
    await writer.finish()
  }
})

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { readLog } from '../../../lib/runtime/container/log.js'

const record = (text: string, length = text.length) => {
  const head = Buffer.alloc(16)
  head.writeUInt32LE(length)
  head[4] = 1
  return Buffer.concat([head, Buffer.from(text)])
}

test('a record that is longer than any is not waited for', async () => {
  const directory = mkdtempSync('/tmp/caisson-log-')
  const log = path.join(directory, 'log')
  try {
    writeFileSync(`${log}.1`, Buffer.concat([record('first\n'), record('', 0xffffffff)]))
    // As much as could be put in memory for it, and more; it takes no room.
    truncateSync(`${log}.1`, 3 * 2 ** 30)
    writeFileSync(log, record('second\n'))
    const lines: string[] = []
    for await (const { data } of readLog(log, {}, () => true)) lines.push(data.toString())
    expect(lines).toEqual(['first\n', 'second\n'])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

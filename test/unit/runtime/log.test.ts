import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { readLog, readOutput } from '../../../lib/runtime/container/log.js'

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

test('all of it together is the first bytes of each stream since a time, to a limit for both', async () => {
  const directory = mkdtempSync('/tmp/caisson-log-')
  const log = path.join(directory, 'log')
  const at = (ms: number, stream: 1 | 2, text: string) => {
    const bytes = record(text)
    bytes.writeBigUInt64LE(BigInt(ms) * 1_000_000n, 8)
    bytes[4] = stream
    return bytes
  }
  const output = async (since: number, limit: number) => {
    const { stdout, stderr, truncated } = await readOutput(log, since, limit)
    return [stdout.toString(), stderr.toString(), truncated]
  }
  try {
    expect(await output(0, 100)).toEqual(['', '', false])
    writeFileSync(`${log}.1`, Buffer.concat([at(1000, 1, 'old\n'), at(2000, 1, 'one\n')]))
    writeFileSync(log, Buffer.concat([at(2001, 2, 'two\n'), at(2002, 1, ''), at(2003, 1, 'three\n')]))
    expect(await output(0, 100)).toEqual(['old\none\nthree\n', 'two\n', false])
    expect(await output(2000, 14)).toEqual(['one\nthree\n', 'two\n', false])
    expect(await output(2000, 13)).toEqual(['one\n', 'two\n', true])
    expect(await output(2001, 100)).toEqual(['three\n', 'two\n', false])
    expect(await output(2004, 100)).toEqual(['', '', false])
    const now = Date.now()
    for (let ms = now; ms < now + 1000; ms++) {
      writeFileSync(log, at(ms, 1, 'now\n'))
      const [[exact], [later]] = [await output(ms, 100), await output(ms + 1, 100)]
      expect([exact, later]).toEqual(['now\n', ''])
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

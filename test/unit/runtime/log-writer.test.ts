/** What a program prints goes to its log in little memory, however it writes. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { readLog } from '../../../lib/runtime/container/log.js'
import { LogWriter } from '../../../lib/runtime/container/log-writer.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
afterAll(removeScratch)

const LINE_MAX = 1024 * 1024

async function lines(file: string, tail?: number): Promise<string[]> {
  const list: string[] = []
  for await (const { data } of readLog(file, { tail }, () => true)) list.push(data.toString())
  return list
}

test('a line that comes byte by byte is one record, cut where it is too long', async () => {
  const file = path.join(root, 'bytes')
  const writer = new LogWriter(file, 64 << 20)
  const size = LINE_MAX + 5
  // Each with memory of its own, as pieces that are read from a pipe have it.
  for (let i = 0; i < size; i++) writer.add(0, Buffer.from(Uint8Array.of(97 + (i % 26)).buffer))
  await writer.finish()
  const all = Buffer.alloc(size, 'abcdefghijklmnopqrstuvwxyz').toString()
  const records = await lines(file)
  expect(records.map((each) => each.length)).toEqual([LINE_MAX, 5])
  expect(records.join('') === all).toBe(true)
})

test('pieces of lines are put together, of each stream for itself, and what was read is not written to', async () => {
  const file = path.join(root, 'pieces')
  const writer = new LogWriter(file, 64 << 20)
  const first = Buffer.from('one\ntw')
  writer.add(0, first)
  writer.add(1, Buffer.from('err'))
  writer.add(0, Buffer.from('o, and mo'))
  writer.add(0, Buffer.from('re\n\nlast'))
  await writer.finish()
  expect(first.toString()).toBe('one\ntw')
  expect(await lines(file)).toEqual(['one\n', 'two, and more\n', '\n', 'last', 'err'])
  expect(readFileSync(file).length).toBeGreaterThan(0)
})

test('long and short lines keep their order, and the last of many are found', async () => {
  const file = path.join(root, 'many')
  const writer = new LogWriter(file, 64 << 20)
  const wanted: string[] = []
  for (let i = 0; i < 30_000; i++) wanted.push(`${i}${i % 1000 === 0 ? 'x'.repeat(20_000) : ''}\n`)
  const all = Buffer.from(wanted.join(''))
  for (let at = 0; at < all.length; at += 65_536) {
    writer.add(0, all.subarray(at, at + 65_536))
    await writer.behind
  }
  await writer.finish()
  expect((await lines(file)).join('') === all.toString()).toBe(true)
  for (const tail of [0, 1, 3, 20_000, 29_999, 40_000])
    expect((await lines(file, tail)).join('') === wanted.slice(tail === 0 ? wanted.length : -tail).join('')).toBe(true)
})

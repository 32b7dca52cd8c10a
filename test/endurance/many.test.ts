/** Ten thousand containers in one process: what it holds does not grow with them. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'

const COUNT = Number(process.env.CAISSON_ENDURANCE ?? 10_000)
const PARTS = 20
const WARM = 8

interface Held {
  wrong: number
  descriptors: number
  threads: number
  residentKiB: number
  heapKiB: number
}

/**
 * By how much it grows from part to part: the median of all slopes between two parts (Theil and Sen), which a step or two
 * of malloc's does not move. Pools fill in the first parts, which are left out.
 */
function slope(values: readonly number[]): number {
  const from = values.slice(WARM)
  const slopes = from.flatMap((a, i) => from.slice(i + 1).map((b, j) => (b - a) / (j + 1)))
  return slopes.sort((a, b) => a - b)[Math.floor(slopes.length / 2)] as number
}

test(`${COUNT} containers, eight at a time, leave descriptors, threads and memory as they are`, async () => {
  // V8's own young generation grows to tens of megabytes before it is full; kept small, what is left to grow is ours.
  const args = [
    '--expose-gc',
    '--max-semi-space-size=1',
    path.join(__dirname, 'many.mjs'),
    String(COUNT),
    '8',
    String(PARTS),
  ]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: path.resolve(__dirname, '../..') })
  const held: Held[] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(held.length).toBe(PARTS)
  expect(held.at(-1)?.wrong).toBe(0)
  const each = (key: keyof Held) => held.slice(WARM).map((part) => part[key])
  // Rooms and network namespaces in stock come and go; there are as many after each part.
  expect(Math.max(...each('descriptors')) - Math.min(...each('descriptors'))).toBeLessThanOrEqual(10)
  expect(Math.max(...each('threads')) - Math.min(...each('threads'))).toBeLessThanOrEqual(1)
  const perContainer = (PARTS / COUNT) * 1024
  // A leaked object of any kind is larger than this many bytes; the allocator's own pieces settle slowly.
  const kept = (key: keyof Held) => slope(held.map((part) => part[key]))
  expect(kept('heapKiB') * perContainer).toBeLessThan(24)
  expect(kept('residentKiB') * perContainer).toBeLessThan(400)
}, 300_000)

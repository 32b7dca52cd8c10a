/** Ten thousand containers in one process: what it holds does not grow with them. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'

const COUNT = Number(process.env.CAISSON_ENDURANCE ?? 10_000)
const PARTS = 10

interface Held {
  wrong: number
  descriptors: number
  threads: number
  residentKiB: number
  heapKiB: number
}

/** By how much it grows from part to part, by least squares, without the first parts, in which pools fill. */
function slope(values: readonly number[]): number {
  const from = values.slice(3)
  const middle = (from.length - 1) / 2
  const sum = (of: (value: number, i: number) => number) => from.reduce((total, value, i) => total + of(value, i), 0)
  const mean = sum((value) => value) / from.length
  return sum((value, i) => (i - middle) * (value - mean)) / sum((_, i) => (i - middle) ** 2)
}

test(`${COUNT} containers, eight at a time, leave descriptors, threads and memory as they are`, async () => {
  const args = ['--expose-gc', path.join(__dirname, 'many.mjs'), String(COUNT), '8', String(PARTS)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: path.resolve(__dirname, '../..') })
  const held: Held[] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(held.length).toBe(PARTS)
  expect(held.at(-1)?.wrong).toBe(0)
  const each = (key: keyof Held) => held.slice(3).map((part) => part[key])
  // Network namespaces in stock come and go.
  expect(Math.max(...each('descriptors')) - Math.min(...each('descriptors'))).toBeLessThanOrEqual(10)
  expect(Math.max(...each('threads')) - Math.min(...each('threads'))).toBeLessThanOrEqual(1)
  const perContainer = (PARTS / COUNT) * 1024
  // A leaked object of any kind is larger than this many bytes.
  expect(slope(each('heapKiB')) * perContainer).toBeLessThan(24)
  expect(slope(each('residentKiB')) * perContainer).toBeLessThan(400)
}, 300_000)

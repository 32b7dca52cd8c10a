// Timing: contenders in turn, so that a drift of the machine meets all alike; medians, and the ratio of medians.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'

export const root = path.resolve(import.meta.dirname, '../..')

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function percentile(values, p) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))]
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Milliseconds of one call. */
export async function timed(work) {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/**
 * Runs each contender in turn, `rounds` times after a warm-up. A contender is a function that gives its own time in
 * milliseconds. Gives the samples by name.
 */
export async function interleave(contenders, { rounds, warmup = 3, spacing = 0 }) {
  const samples = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]))
  for (let round = -warmup; round < rounds; round++)
    for (const [name, run] of Object.entries(contenders)) {
      if (spacing) await pause(spacing)
      const ms = await run()
      if (round >= 0) samples[name].push(ms)
    }
  return samples
}

/** A small process that starts commands and times them. `setup` is run first, in a mount namespace of its own. */
export function commandTimer(setup = '') {
  const source = path.join(root, 'bench/native/timed.c')
  const program = path.join(root, '.cache/timed')
  mkdirSync(path.dirname(program), { recursive: true })
  if (!existsSync(program)) execFileSync('gcc', ['-O2', '-o', program, source])
  const stdio = ['pipe', 'pipe', 'inherit']
  const child = setup
    ? spawn('unshare', ['-m', 'sh', '-c', `${setup}; exec "$0"`, program], { stdio })
    : spawn(program, [], { stdio })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    /** Milliseconds; throws when the command fails. */
    async run(words) {
      child.stdin.write(`${words.join('\t')}\n`)
      const { value } = await lines.next()
      const [nanoseconds, status] = value.split(' ').map(Number)
      if (status !== 0) throw new Error(`${words.join(' ')}: status ${status}`)
      return nanoseconds / 1e6
    },
    close: () => child.stdin.end(),
  }
}

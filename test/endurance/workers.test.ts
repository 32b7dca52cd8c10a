/** Several worker_threads with containers in all states, ended in the middle; and several copies of the package. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Worker } from 'node:worker_threads'

const root = path.resolve(__dirname, '../..')
const ROUNDS = 12

/** Processes whose parent is this one, apart from watchdogs. */
function children(): string[] {
  return readdirSync('/proc/self/task').flatMap((task) => {
    const pids = existsSync(`/proc/self/task/${task}/children`)
      ? readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ').filter(Boolean)
      : []
    return pids.filter((pid) => {
      try {
        return !readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('caisson-watch')
      } catch {
        return false
      }
    })
  })
}

test('workers that are terminated in the middle of anything take all with them', async () => {
  const before = new Set(children())
  const threads = () => Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
  const counts: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const workers = [1, 2, 3].map(() => new Worker(path.join(__dirname, 'busy-worker.mjs')))
    await Promise.all(
      workers.map((worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))),
    )
    await new Promise((resolve) => setTimeout(resolve, (round * 53) % 200))
    await Promise.all(workers.map((worker) => worker.terminate()))
    const left = () => children().filter((pid) => !before.has(pid))
    for (const until = Date.now() + 3000; left().length > 0 && Date.now() < until; )
      await new Promise((resolve) => setTimeout(resolve, 10))
    expect({ round, left: left() }).toEqual({ round, left: [] })
    counts.push(threads())
  }
  expect(counts.at(-1)).toBeLessThanOrEqual((counts[2] as number) + 2)
}, 120_000)

test('two copies of the package work beside each other in one process, and know each other’s errors', () => {
  const copy = mkdtempSync(path.join(tmpdir(), 'caisson-copy-'))
  try {
    const parts = ['package.json', 'dist', 'addon/build/Release/caisson.node']
    parts.push(...['p-queue', 'p-timeout', 'eventemitter3', 'tar', 'yaml'].map((name) => `node_modules/${name}`))
    for (const part of parts) cpSync(path.join(root, part), path.join(copy, part), { recursive: true })
    const script = `
      const { createRequire } = require('node:module')
      const load = async () => [
        require('${root}/dist/index.cjs'),
        await import('${root}/dist/index.js'),
        createRequire('${copy}/x.js')('${copy}/dist/index.cjs'),
      ]
      load().then(async (copies) => {
        const results = await Promise.all(copies.flatMap(({ Image, run }) => [1, 2, 3].map(async () =>
          (await run(await Image.host(), ['echo', 'x'])).stdout.trim())))
        const errors = await Promise.all(copies.map(({ Image, run }) =>
          Image.host().then((image) => run(image, ['true'], { mounts: [{ type: 'bind', source: '/nowhere', target: '/x' }] })).catch((error) => error)))
        const known = copies.every(({ CaissonError }) => errors.every((error) => error instanceof CaissonError))
        const kinds = new Set(copies.map(({ CaissonError }) => CaissonError)).size
        console.log(results.join(''), known, kinds, !(new Error('x') instanceof copies[0].CaissonError))
      })`
    const out = execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' })
    expect(out).toBe('xxxxxxxxx true 3 true\n')
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}, 60_000)

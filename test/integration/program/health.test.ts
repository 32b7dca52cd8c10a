/** Health of what run() starts: it is told by diagnostics_channel. */
import { spawnSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Image, run } from '../../../lib/index.js'
import { settle } from '../../support/leftovers.js'

let image: Image
beforeAll(async () => {
  image = await Image.host()
})

/** What is told of the health of runs meanwhile. */
async function told<T>(work: () => Promise<T>): Promise<{ result: T; states: string[] }> {
  const states: string[] = []
  const note = (event: unknown) => {
    const { kind, health } = event as { kind: string; health: string }
    if (kind === 'run') states.push(health)
  }
  subscribe('caisson:health', note)
  try {
    return { result: await work(), states }
  } finally {
    unsubscribe('caisson:health', note)
  }
}

test('is asked for in its container, and ends with it', async () => {
  // Good the first time, then bad; with the third look the second one's outcome has been told.
  const test = 'for i in 1 2 3; do [ -e /tmp/$i ] || { touch /tmp/$i; [ $i = 1 ]; exit; }; done; exit 1'
  const script = 'until [ -e /tmp/3 ]; do sleep 0.01; done; echo over'
  const { result, states } = await told(() =>
    run(image, ['sh', '-c', script], { healthcheck: { test, interval: 10, retries: 1 }, timeout: '20s' }),
  )
  expect(result).toMatchObject({ stdout: 'over\n', exitCode: 0, reason: 'exit' })
  expect(states).toEqual(['healthy', 'unhealthy'])
})

/** Cgroups of a container anywhere. */
const cgroupsOf = (id: string) =>
  spawnSync('find', ['/sys/fs/cgroup', '-name', id], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean)

test.each([
  ['by itself', 'until [ -e /tmp/asked ]; do sleep 0.01; done', '20s', 'exit'],
  ['late', 'sleep 60', '300ms', 'timeout'],
])('is nothing that a program waits for, or that outlives it: one that ends %s', async (_, script, timeout, reason) => {
  const ids = new Set<string>()
  const note = (event: unknown) => ids.add((event as { container: string }).container)
  subscribe('caisson:start', note)
  try {
    const healthcheck = { test: 'touch /tmp/asked; exec sleep 60', interval: 1 }
    const { result, states } = await told(() => run(image, ['sh', '-c', script], { healthcheck, timeout }))
    expect([result.reason, states]).toEqual([reason, []])
    expect(result.durationMs).toBeLessThan(30_000)
    expect(ids.size).toBe(1)
    for (const id of ids) expect(await settle(() => cgroupsOf(id), 5000)).toEqual([])
  } finally {
    unsubscribe('caisson:start', note)
  }
})

test('is not asked for when it is switched off, or the program is not there', async () => {
  const { states } = await told(async () => {
    await run(image, ['sleep', '0.1'], { healthcheck: false })
    await run(image, ['sleep', '0.1'], { healthcheck: { test: ['NONE'] } })
    expect((await run(image, ['no-such-program'], { healthcheck: { test: 'true', interval: 1 } })).exitCode).toBe(127)
  })
  expect(states).toEqual([])
})

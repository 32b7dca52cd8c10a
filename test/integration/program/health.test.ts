/** Health of what run() starts: it is told by diagnostics_channel. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Image, run } from '../../../lib/index.js'

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

test('is nothing that a program waits for, or outlives it', async () => {
  const healthcheck = { test: 'touch /tmp/asked; exec sleep 60', interval: 1 }
  const began = Date.now()
  const { result, states } = await told(() =>
    run(image, ['sh', '-c', 'until [ -e /tmp/asked ]; do sleep 0.01; done'], { healthcheck, timeout: '20s' }),
  )
  expect([result.exitCode, result.reason, states]).toEqual([0, 'exit', []])
  expect(Date.now() - began).toBeLessThan(20_000)
})

test('is not asked for when it is switched off, or the program is not there', async () => {
  const { states } = await told(async () => {
    await run(image, ['sleep', '0.1'], { healthcheck: false })
    await run(image, ['sleep', '0.1'], { healthcheck: { test: ['NONE'] } })
    expect((await run(image, ['no-such-program'], { healthcheck: { test: 'true', interval: 1 } })).exitCode).toBe(127)
  })
  expect(states).toEqual([])
})

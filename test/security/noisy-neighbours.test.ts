/** Twenty containers that take all they get, beside one that has work to do. */
import { type Execution, run } from '../../lib/index.js'
import { hostImage, python } from '../support/attack.js'

const HOSTILE = [
  'while True: pass',
  `
while True:
    try:
        if os.fork() == 0:
            while True: pass
    except OSError: pass`,
  'while True: kept = bytearray(40 << 20)',
  'while True: os.write(1, bytes(65536))',
  `
while True:
    for i in range(1000): open("/tmp/%d" % (i % 50), "wb").write(bytes(4096))`,
]

const ROUNDS = 40

async function latency(): Promise<number> {
  const times: number[] = []
  const image = await hostImage()
  for (let i = 0; i < ROUNDS; i++) {
    const begin = performance.now()
    expect((await run(image, ['true'], { limits: { cpuWeight: 10_000 } })).exitCode).toBe(0)
    times.push(performance.now() - begin)
  }
  return times.sort((a, b) => a - b)[ROUNDS / 2] as number
}

async function hostileNeighbours(): Promise<{ end: () => Promise<unknown> }> {
  const image = await hostImage()
  const hostile: Execution[] = Array.from({ length: 20 }, (_, i) =>
    run(image, python(HOSTILE[i % HOSTILE.length] as string), {
      limits: { memory: '64m', pids: 20, cpus: 0.02, cpuWeight: 1, disk: '8m' },
      maxOutput: 1 << 30,
      timeout: 60_000,
    }),
  )
  await Promise.all(hostile.map(({ pid }) => pid))
  return {
    end() {
      for (const each of hostile) each.kill()
      return Promise.all(hostile)
    },
  }
}

/** Whoever else works on this machine is not their doing: it holds in the quietest of some attempts. */
const ATTEMPTS = 5

test('a good container beside twenty hostile ones takes at most twice its time', async () => {
  await latency()
  const ratios: number[] = []
  while (ratios.length < ATTEMPTS && !ratios.some((ratio) => ratio <= 2)) {
    const alone = await latency()
    const hostile = await hostileNeighbours()
    try {
      await new Promise((resolve) => setTimeout(resolve, 500))
      ratios.push((await latency()) / alone)
    } finally {
      await hostile.end()
    }
  }
  expect(Math.min(...ratios)).toBeLessThanOrEqual(2)
}, 120_000)

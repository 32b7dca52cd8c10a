import { Container, Image } from '../../../lib/index.js'

/** Takes memory, a little more each moment. */
const EAT = `python3 -c 'x = []
while True: x.append(bytearray(1 << 20))'`
/** Takes it, and gives it back. */
const BREATHE = `python3 -c 'import time
while True: x = bytearray(96 << 20); del x; time.sleep(0.03)'`
const WAIT = 'until [ -e /tmp/go ]; do sleep 0.02; done'

describe('a limit of memory that came later', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })
  const made = (script: string) => Container.create(image, { command: ['sh', '-c', script] })
  const ended = async (container: Container) => {
    const { reason, signal, usage } = await container.wait()
    expect({ reason, signal }).toEqual({ reason: 'oom', signal: 'SIGKILL' })
    expect(usage.oomKills).toBeGreaterThanOrEqual(1)
  }

  test('ends all of a container that runs, and all of it in its next run', async () => {
    await using container = await made(`${WAIT}; ${EAT}; echo survived; exec sleep 10`)
    await container.start()
    await container.update({ limits: { memory: '32m' } })
    await container.fs.writeFile('/tmp/go', '')
    await ended(container)
    await container.start()
    await ended(container)
  })

  test('is the reason why the program itself was killed', async () => {
    await using container = await made(`${WAIT}; exec ${EAT}`)
    await container.start()
    await container.update({ limits: { memory: '32m' } })
    await container.update({ limits: { memory: '24m' } })
    await container.fs.writeFile('/tmp/go', '')
    await ended(container)
  })

  test.each([1, 2, 3, 4])(
    'ends all of it from its first moment on, when its owner is busy after %i turns',
    async (turns) => {
      await using container = await made(`${BREATHE}; echo survived; exec sleep 2`)
      await container.start()
      for (let isLimited = false; !isLimited && container.state === 'running'; ) {
        const updated = container.update({ limits: { memory: '64m' } })
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
        for (const end = performance.now() + 200; performance.now() < end; );
        // Refused while it has more.
        isLimited = await updated.then(
          () => true,
          () => false,
        )
      }
      await ended(container)
    },
  )

  test('is there from the first start of one that was not started', async () => {
    await using container = await made(`${EAT}; echo survived; exec sleep 10`)
    await container.update({ limits: { memory: '32m' } })
    await container.start()
    await ended(container)
  })
})

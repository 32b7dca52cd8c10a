import { Container, Image } from '../../../lib/index.js'

/** Takes memory, a little more each moment. */
const EAT = `python3 -c 'x = []
while True: x.append(bytearray(1 << 20))'`
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

  test('is there from the first start of one that was not started', async () => {
    await using container = await made(`${EAT}; echo survived; exec sleep 10`)
    await container.update({ limits: { memory: '32m' } })
    await container.start()
    await ended(container)
  })
})

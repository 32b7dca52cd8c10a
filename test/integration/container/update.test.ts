import { Container, Image } from '../../../lib/index.js'

/** Takes memory in a child, a little more each moment. */
const EAT = `python3 -c 'x = []
while True: x.append(bytearray(1 << 20))'`

test('a limit of memory that came later ends all of a container in its next run', async () => {
  await using container = await Container.create(await Image.host(), {
    command: ['sh', '-c', `${EAT}; echo survived; exec sleep 10`],
  })
  await container.update({ limits: { memory: '32m' } })
  await container.start()
  const { reason, signal, usage } = await container.wait()
  expect({ reason, signal }).toEqual({ reason: 'oom', signal: 'SIGKILL' })
  expect(usage.oomKills).toBeGreaterThanOrEqual(1)
})

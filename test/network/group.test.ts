import { Container, Group, type GroupOptions, Image } from '../../lib/index.js'
import { attempt, Lan, noLan, SERVER, shell, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const it = testIf(noLan)
Lan.forTests()
const SLEEP = ['sleep', '1000']

describe('a group', () => {
  let image: Image
  beforeAll(async () => {
    if (!noLan) image = await Image.host()
  })
  afterEach(async () => {
    if (!noLan) expect(await Container.list()).toEqual([])
  })

  const members = (health: string[] = ['true']): GroupOptions['containers'] => ({
    server: {
      image,
      command: SERVER('inside'),
      stopTimeout: '1s',
      healthcheck: { test: ['CMD', ...health], interval: 50, retries: 40 },
    },
    client: { image, command: SLEEP },
  })

  for (const network of [undefined, 'bridge'])
    it(`shares localhost and IPC, on ${network ?? 'no network'}; a death ends all`, async () => {
      const group = await Group.create({ name: 'pod', network, containers: members(['curl', '-s', 'localhost']) })
      try {
        await group.start()
        expect(group.get('server').health).toBe('healthy')
        const client = group.get('client')
        expect((await client.exec(['curl', '-s', 'http://127.0.0.1/'])).stdout).toContain('inside')
        const made = await group.get('server').exec(['ipcmk', '-Q'])
        expect(made.exitCode).toBe(0)
        expect((await client.exec(['ipcs', '-q'])).stdout.trim().split('\n').length).toBeGreaterThan(2)
        const over = new Promise((resolve) => group.once('exit', resolve))
        await client.kill()
        expect((await group.wait()).container.name).toBe('client')
        await over
        expect([group.state, ...group.containers.map(({ state }) => state)]).toEqual(['exited', 'exited', 'exited'])
      } finally {
        await group.remove()
      }
      await group.remove()
    })

  it('publishes ports, starts again, and leaves nothing', async () => {
    const group = await Group.create({
      network: 'bridge',
      ports: [{ container: 80, host: 8090 }, { container: 81 }],
      containers: members(),
    })
    try {
      expect(group.port(80)).toMatchObject({ address: '127.0.0.1', port: 8090, protocol: 'tcp' })
      expect(group.port(81).port).toBeGreaterThan(0)
      expect(() => group.port(80, 'udp')).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_INVALID_STATE' }))
      for (let i = 0; i < 2; i++) {
        await group.start()
        await until(() => attempt('curl -s -m 2 127.0.0.1:8090')?.includes('inside') ?? false)
        await group.stop({ timeout: 0 })
      }
    } finally {
      await group.remove()
    }
    expect(attempt('curl -s -m 2 127.0.0.1:8090')).toBeUndefined()
    await until(() => !shell('ip -o link show').includes('cnp-'))
  })

  it('what is unhealthy, missing or shared is an error, and nothing runs then', async () => {
    const sick = await Group.create({ containers: members(['false']) })
    await expect(sick.start()).rejects.toMatchObject({ code: 'ERR_CAISSON_DEPENDENCY' })
    expect(sick.containers.map(({ state }) => state)).toEqual(['exited', 'created'])
    await sick.remove()
    const missing = await Group.create({
      containers: [
        { image, command: SLEEP },
        { image, command: ['/nope'] },
      ],
    })
    await expect(missing.start()).rejects.toMatchObject({ code: 'ERR_CAISSON_COMMAND_NOT_FOUND' })
    expect(missing.state).toBe('exited')
    await missing.remove()
    const bad = { code: 'ERR_CAISSON_INVALID_ARGUMENT' }
    await expect(Group.create({ containers: [] })).rejects.toMatchObject(bad)
    await expect(Group.create({ containers: [{ image, restart: 'always' } as never] })).rejects.toMatchObject(bad)
    await expect(Group.create({ network: 'host', containers: members() })).rejects.toMatchObject(bad)
    const twice = [
      { image, name: 'one', command: SLEEP },
      { image, name: 'one', command: SLEEP },
    ]
    await expect(Group.create({ containers: twice })).rejects.toMatchObject({ code: 'ERR_CAISSON_NAME_IN_USE' })
  })
})

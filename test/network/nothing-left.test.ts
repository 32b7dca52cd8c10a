import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Container, doctor, Image, Network, run } from '../../lib/index.js'
import { endDefaultNetwork } from '../support/default-network.js'
import { attempt, Lan, noLan, shell, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const it = testIf(noLan)
Lan.forTests()
/** A fifth of the others: each has two bridges to itself. */
const ROUNDS = Math.ceil(Number(process.env.CAISSON_KILL_ROUNDS ?? 80) / 5)

/** Starts containers on networks until it is killed. */
const LOAD = `
import { Container, Image, Network, run } from './dist/index.js'
const image = await Image.host()
const mine = await Network.create({ ipv6: true })
const shared = await Network.get('shared')
console.log('ready')
const kept = await Container.create(image, { name: 'kept' + process.pid, network: shared, command: ['sleep', '100'], ports: [{ container: 80, host: 9000 + process.pid % 1000, address: '*' }] })
await kept.start()
for (;;) {
  await Promise.all([
    run(image, ['true'], { networks: [mine, { network: shared, aliases: ['load'] }] }),
    run(image, ['sleep', '0.01'], { network: 'bridge', ports: [{ container: 1, protocol: 'udp' }] }),
    shared.connect(kept).catch(() => undefined),
  ])
}`

describe('when the owner of networks is killed', () => {
  const children: ChildProcess[] = []
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL')
  })

  const load = () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', LOAD], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: process.env,
    })
    children.push(child)
    return child
  }
  const bridges = () => [...new Set(shell('ip -o link show').match(/\bcnb-[0-9a-f]+/g))]
  const rules = () => shell('nft list tables').match(/caisson\w+/g) ?? []

  it(
    'at any moment: no device, rule, lease or published port is left, and what it changed is as before',
    async () => {
      const shared = await Network.create({ name: 'shared' })
      const own = rules().length
      for (let round = 0; round < ROUNDS; round++) {
        const child = load()
        if (round % 4 > 0)
          await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), once(child, 'exit')])
        await new Promise((resolve) => setTimeout(resolve, Math.random() * (round % 4 > 0 ? 250 : 600)))
        expect([round, child.exitCode]).toEqual([round, null])
        child.kill('SIGKILL')
        await once(child, 'exit')
        // The kernel takes its rules away with the socket that they belong to, of which a process that was just being made
        // may have the last copy until it executes; devices follow.
        await until(() => rules().length === own, 1000).catch(() => undefined)
        expect([round, rules().length]).toEqual([round, own])
        await until(() => bridges().length === 0, 3000).catch((error) => {
          throw new Error(`round ${round}: ${bridges()} ${error}`)
        })
      }
      await until(() => !shell('ip -o link show').includes('cnp-'))
      await until(() => shell('cat /proc/sys/net/ipv4/conf/up0/forwarding').trim() === '0', 3000)
      // The next use of the shared network finds all addresses free.
      const { stdout } = await run(await Image.host(), ['sh', '-c', 'ip -4 -o address show eth0'], { network: shared })
      expect(stdout).toContain(shared.definition.ipv4.subnet.replace('.0/22', '.'))
      expect((await shared.inspect()).addresses).toEqual([])
      await shared.remove()
      await endDefaultNetwork()
      // Networks without a name have ended with their owners.
      expect((await Network.list()).map(({ name }) => name)).toEqual([])
    },
    ROUNDS * 5000 + 30_000,
  )

  it('a bridge whose directory is gone is told by the doctor; those that are used are not', async () => {
    const used = await Network.create({ name: 'used' })
    const image = await Image.host()
    const container = await Container.create(image, { network: used, command: ['sleep', '60'] })
    await container.start()
    shell('ip link add cnb-0badcafe type bridge; ip address add 10.99.0.1/24 dev cnb-0badcafe')
    shell('ip link set cnb-0badcafe up; ip link add cnp-0 type veth peer name cnp-1; ip link set cnp-1 up')
    shell('ip link set cnp-0 master cnb-0badcafe up; ip link delete cnp-0')
    const bridgesFound = async () => (await doctor()).findings.find(({ id }) => id === 'network.bridges')
    try {
      // The kernel sees a moment later that nobody is on it.
      await until(async () => (await bridgesFound())?.state === 'warning')
      expect((await bridgesFound())?.fix).toMatch(/^ip link delete cnb-0badcafe \(/)
      shell('ip link delete cnb-0badcafe')
      expect(await bridgesFound()).toMatchObject({ state: 'ok' })
    } finally {
      attempt('ip link delete cnb-0badcafe')
      await container.remove({ force: true })
      await used.remove()
    }
  })

  it('others on the same network go on, and take over what is free', async () => {
    const shared = await Network.create({ name: 'shared', subnet: '10.66.0.0/29' })
    const image = await Image.host()
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { Container, Image } from './dist/index.js'
         const image = await Image.host()
         for (let i = 0; i < 5; i++) await (await Container.create(image, { network: 'shared', command: ['sleep', '100'] })).start()
         console.log('ready'); setInterval(() => {}, 1000)`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'], env: process.env },
    )
    children.push(child)
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    await expect(run(image, ['true'], { network: shared })).rejects.toMatchObject({
      code: 'ERR_CAISSON_RESOURCE_EXHAUSTED',
    })
    await expect(shared.remove()).rejects.toMatchObject({ code: 'ERR_CAISSON_IN_USE' })
    child.kill('SIGKILL')
    await once(child, 'exit')
    let done = false
    await until(async () => {
      done = await run(image, ['true'], { network: shared }).then(
        ({ exitCode }) => exitCode === 0,
        () => false,
      )
      return done
    })
    expect(bridges()).toEqual([shared.definition.bridge])
    await shared.remove()
    expect(attempt(`ip link show ${shared.definition.bridge}`)).toBeUndefined()
  }, 30_000)
})

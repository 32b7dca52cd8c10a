import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'
import { Container, Image, run, Wait } from '../../../lib/index.js'
import { roots } from '../../../lib/util/roots.js'
import { until } from '../../support/until.js'

describe('Container', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  const sleeper = (options = {}) => Container.create(image, { command: ['sleep', '1000'], ...options })

  test('lives from created to removed', async () => {
    const container = await Container.create(image, { command: ['sh', '-c', 'echo out; echo err >&2; exit 3'] })
    expect(container.state).toBe('created')
    expect(container.pid).toBeNull()
    await container.start()
    const result = await container.wait()
    expect(result).toMatchObject({ exitCode: 3, reason: 'exit', stdout: 'out\n', stderr: 'err\n' })
    expect(container.state).toBe('exited')
    await container.remove()
    expect(container.state).toBe('removed')
  })

  test('executes programs in it, each with its own verdict', async () => {
    await using container = await sleeper()
    await container.start()
    const result = await container.exec(['sh', '-c', 'cat /proc/1/comm; exit 7'])
    expect(result).toMatchObject({ exitCode: 7, stdout: 'sleep\n', reason: 'exit' })
    const slow = await container.exec(['sh', '-c', 'setsid sleep 1000 & sleep 1000'], { timeout: 100 })
    expect(slow).toMatchObject({ reason: 'timeout', exitCode: null, signal: 'SIGKILL' })
    const alive = (await container.top()).filter((process) => process.state !== 'Z')
    expect(alive.map((process) => process.args)).toEqual([['sleep', '1000']])
  })

  test('is stopped with grace, then killed', async () => {
    await using polite = await Container.create(image, {
      command: ['sh', '-c', 'trap "echo bye; exit 5" TERM; echo up; while :; do sleep 0.05; done'],
    })
    await polite.start()
    await polite.waitFor(Wait.log(/up/))
    await polite.stop()
    expect(await polite.wait()).toMatchObject({ exitCode: 5, stdout: 'up\nbye\n' })
    await using stubborn = await sleeper()
    await stubborn.start()
    await stubborn.stop({ timeout: 50 })
    expect(await stubborn.wait()).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'signal' })
  })

  test('freezes and thaws', async () => {
    await using container = await Container.create(image, {
      command: ['sh', '-c', 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done'],
    })
    await container.start()
    await container.waitFor(Wait.log(/^3$/m))
    await container.pause()
    expect(container.state).toBe('paused')
    const count = async () => {
      let lines = 0
      for await (const _ of container.logs()) lines++
      return lines
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
    const before = await count()
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(await count()).toBe(before)
    await container.resume()
    await container.waitFor(Wait.log(new RegExp(`^${before + 3}$`, 'm')))
  })

  test('is not unhealthy while it is frozen', async () => {
    await using container = await sleeper({ healthcheck: { test: ['CMD', 'true'], interval: 5, retries: 1 } })
    const states: string[] = []
    container.on('health', (state) => states.push(state))
    await container.start()
    await container.waitFor(Wait.healthy({ timeout: '5s' }))
    await container.pause()
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(container.health).toBe('healthy')
    await container.resume()
    expect((await container.exec(['true'])).exitCode).toBe(0)
    expect(states).toEqual(['healthy'])
  })

  test('is stopped also when it was frozen, and has been killed a moment ago', async () => {
    await using container = await Container.create(image, {
      command: ['sh', '-c', 'yes | head -n 300000; echo end; exec sleep 1000'],
    })
    await container.start()
    await container.waitFor(Wait.log(/^end$/m))
    await container.pause()
    const { pid } = container
    // To read what it has printed takes longer than to end it.
    const killed = container.kill()
    await until(() => !existsSync(`/proc/${pid}`))
    const resumed = container.resume()
    await Promise.all([container.stop(), expect(resumed).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })])
    await killed
    expect(container.state).toBe('exited')
  })

  test('says what it uses and what runs in it', async () => {
    await using container = await sleeper({ limits: { memory: '64m', pids: 20 } })
    await container.start()
    const stats = await container.stats()
    expect(stats).toMatchObject({ pids: 1, pidsLimit: 20, memoryLimitBytes: 64 * 1024 * 1024 })
    expect(stats.memoryBytes).toBeGreaterThan(0)
    // The exec is seen a moment before the kernel has set the new command line.
    await until(async () => (await container.top())[0]?.args[0] === 'sleep')
    const [process] = await container.top()
    expect(process).toMatchObject({ containerPid: 1, args: ['sleep', '1000'], uid: userInfo().uid })
    await container.update({ limits: { pids: 30 } })
    expect((await container.stats()).pidsLimit).toBe(30)
    for (const memory of ['128m', '32m', '48m']) {
      await container.update({ limits: { memory } })
      expect((await container.stats()).memoryLimitBytes).toBe(Number.parseInt(memory, 10) * 1024 * 1024)
    }
    expect(container.inspect()).toMatchObject({ state: { running: true, pid: container.pid }, tier: 'namespaces' })
  })

  test('is connected to without a published port', async () => {
    await using container = await Container.create(image, {
      command: ['python3', '-m', 'http.server', '8000', '--bind', '127.0.0.1'],
      workdir: '/usr/share/perl5',
    })
    await container.start()
    await container.waitFor(Wait.http('/', { port: 8000 }))
    const socket = await container.connect(8000)
    socket.write('GET / HTTP/1.0\r\n\r\n')
    let text = ''
    for await (const chunk of socket) text += chunk
    expect(text).toMatch(/^HTTP\/1.0 200/)
    await expect(container.connect(8001)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
  })

  test('a name of a dead owner is free, for one', async () => {
    const names = path.join(roots().run, 'names')
    mkdirSync(names, { recursive: true })
    for (let round = 0; round < 5; round++) {
      writeFileSync(path.join(names, 'inherited'), `999999-dead\n${'0'.repeat(64)}\n`)
      const results = await Promise.allSettled([1, 2, 3].map(() => sleeper({ name: 'inherited' })))
      const made = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
      expect(made.length).toBe(1)
      expect((await Container.list({ name: 'inherited' })).map(({ id }) => id)).toEqual([made[0]?.id])
      for (const container of made) await container.remove()
    }
  })

  test('states that do not fit are coded errors', async () => {
    await using container = await sleeper({ name: 'taken' })
    await expect(sleeper({ name: 'taken' })).rejects.toMatchObject({ code: 'ERR_CAISSON_NAME_IN_USE' })
    await expect(container.exec(['true'])).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    await expect(container.pause()).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    await container.start()
    await expect(container.start()).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    await expect(container.remove()).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    let removed = 0
    container.on('remove', () => removed++)
    await Promise.all([container.remove({ force: true }), container.remove({ force: true })])
    await container.remove()
    expect([removed, container.state, await Container.list({ name: 'taken' })]).toEqual([1, 'removed', []])
  })

  test('starts again by its policy', async () => {
    await using container = await Container.create(image, {
      command: ['sh', '-c', 'echo run; exit 1'],
      restart: { onFailure: 2 },
    })
    const ends: number[] = []
    container.on('exit', (result) => ends.push(result.exitCode))
    await container.start()
    for (let i = 0; i < 100 && ends.length < 3; i++) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(ends).toEqual([1, 1, 1])
    expect(container.inspect().state.restarts).toBe(2)
  })

  test('is watched by its health check', async () => {
    await using container = await sleeper({
      healthcheck: { test: 'test -e /tmp/healthy', interval: 30, retries: 2, timeout: '1s' },
    })
    const states: string[] = []
    container.on('health', (state) => states.push(state))
    await container.start()
    expect(container.health).toBe('starting')
    await container.fs.writeFile('/tmp/healthy', '')
    await container.waitFor(Wait.healthy({ timeout: '5s' }))
    await container.fs.rm('/tmp/healthy')
    for (let i = 0; i < 100 && container.health === 'healthy'; i++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    expect(states).toEqual(['healthy', 'unhealthy'])
  })

  test('who waits may give up, and the container goes on', async () => {
    await using container = await sleeper()
    await container.start()
    const given = { name: 'CaissonError', code: 'ERR_CAISSON_ABORTED' }
    await expect(container.wait({ signal: AbortSignal.timeout(20) })).rejects.toMatchObject(given)
    await expect(container.stop({ timeout: '1m', signal: AbortSignal.timeout(20) })).rejects.toMatchObject(given)
    await expect(container.waitFor(Wait.port(81), { signal: AbortSignal.timeout(20) })).rejects.toMatchObject(given)
    await expect(container.connect(81, { signal: AbortSignal.abort() })).rejects.toMatchObject(given)
    expect(container.state).toBe('running')
    await using other = await sleeper()
    await expect(other.start({ signal: AbortSignal.abort() })).rejects.toMatchObject(given)
    await expect(Container.create(image, { signal: AbortSignal.abort() })).rejects.toMatchObject(given)
    expect(other.state).toBe('created')
  })

  test('nobody waits for what will never be', async () => {
    const invalid = { code: 'ERR_CAISSON_INVALID_STATE' }
    const removed = await sleeper()
    const waiting = expect(removed.wait()).rejects.toMatchObject(invalid)
    await removed.remove()
    await waiting
    await expect(removed.fs.readFile('/etc/passwd')).rejects.toMatchObject(invalid)
    expect(() => removed.logs()).toThrow(expect.objectContaining(invalid))
    await using container = await sleeper()
    await expect(container.stats()).rejects.toMatchObject(invalid)
    await container.start()
    await expect(container.waitFor(Wait.healthy())).rejects.toMatchObject({ code: 'ERR_CAISSON_WAIT' })
    await expect(container.waitFor(Wait.port(81), { timeout: 50 })).rejects.toMatchObject({ code: 'ERR_CAISSON_WAIT' })
  })

  test('strategies, filters and changes that make no sense are told', async () => {
    const wrong = { code: 'ERR_CAISSON_INVALID_ARGUMENT' }
    for (const make of [() => Wait.port(0), () => Wait.http('x'), () => Wait.command([]), () => Wait.log(5 as never)])
      expect(make).toThrow(expect.objectContaining(wrong))
    await expect(Container.list({ status: 'running' } as never)).rejects.toMatchObject(wrong)
    await using container = await sleeper({ labels: { of: 'filters' } })
    const found = async (filter: object) => (await Container.list({ labels: { of: 'filters' }, ...filter })).length
    expect([await found({ state: 'created' }), await found({ state: ['running', 'exited'] })]).toEqual([1, 0])
    expect([await found({ id: container.id.slice(0, 12) }), await found({ id: 'none' })]).toEqual([1, 0])
    await expect(container.update({ memory: '64m' } as never)).rejects.toMatchObject(wrong)
    await expect(container.update({ limits: { mem: '64m' } } as never)).rejects.toMatchObject(wrong)
    for (const options of [{ tail: 'x' }, { tail: -1 }, { since: 'yesterday or so' }])
      expect(() => container.logs(options as never)).toThrow(expect.objectContaining(wrong))
  })

  test('the log is asked as docker asks it', async () => {
    await using container = await Container.create(image, { command: ['sh', '-c', 'echo one; echo two'] })
    await container.start()
    await container.wait()
    for (const options of [{ tail: 'all' as const }, { since: '10m' }, { since: new Date(0).toISOString() }]) {
      let text = ''
      for await (const { data } of container.logs(options)) text += data
      expect(text).toBe('one\ntwo\n')
    }
  })

  test('a log that grows faster than it is read has an end: what was there', async () => {
    await using container = await Container.create(image, { command: ['yes', 'a line of words'], logLimit: '1m' })
    await container.start()
    await until(() => existsSync(`${container.inspect().log}.1`))
    let [lines, last] = [0, 0]
    for await (const _ of container.logs()) lines++
    for await (const _ of container.logs({ tail: 5 })) last++
    expect([lines > 1000, last]).toEqual([true, 5])
    // What comes after the marked part is followed.
    const follower = container.logs({ follow: true, tail: 1 })
    let followed = 0
    while (followed < 50_000 && !(await follower.next()).done) followed++
    expect(followed).toBe(50_000)
    await follower.return()
  })

  test('what follows the log of one that is not started yet sees all of it', async () => {
    await using container = await Container.create(image, { command: ['echo', 'said'] })
    const said = (async () => {
      let text = ''
      for await (const { data } of container.logs({ follow: true })) text += data
      return text
    })()
    await container.start()
    expect(await said).toBe('said\n')
    const none = await sleeper()
    const nothing = (async () => {
      for await (const _ of none.logs({ follow: true })) return 'something'
      return 'nothing'
    })()
    await none.remove()
    expect(await nothing).toBe('nothing')
  })

  test('who waits for something waits through restarts', async () => {
    await using container = await Container.create(image, {
      command: ['sh', '-c', 'echo >> /starts; test $(wc -l < /starts) -lt 4 && exit 1; echo ready; exec sleep 1000'],
      restart: 'always',
    })
    await container.start()
    await container.waitFor(Wait.log('ready'))
    expect(() => Wait.http('/', { status: 'ok' as never })).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
    )
  })

  test('an exec that takes more memory than there is ends for that reason', async () => {
    for (let round = 0; round < 5; round++) {
      await using container = await sleeper({ limits: { memory: '32m' } })
      await container.start()
      const greedy = await container.exec(['sh', '-c', 'x=x; while :; do x=$x$x; done'])
      expect(greedy).toMatchObject({ reason: 'oom', signal: 'SIGKILL' })
    }
  })

  test.each(['disk', 'memory'] as const)('goes on in forks, with its root in place and storage %s', async (storage) => {
    await using container = await sleeper({ storage })
    await container.start()
    await container.exec(['sh', '-c', 'echo as it was > /file; rm -r /etc/ssl; mkdir -m 700 /srv/a; ln /file /srv/a/b'])
    const forks = await container.fork(2)
    try {
      await container.fs.writeFile('/file', 'later')
      const seen = async (fork: Container) =>
        (await fork.exec(['sh', '-c', 'cat /file /srv/a/b; stat -c %a /srv/a; ls -d /etc/ssl'])).stdout
      for (const fork of forks) expect(await seen(fork)).toBe('as it was\nas it was\n700\n')
      const [one, other] = forks as [Container, Container]
      await one.fs.writeFile('/file', 'mine')
      expect(await other.fs.readFile('/file', 'utf8')).toBe('as it was\n')
      // A fork has forks; what they stand on outlives it.
      const [grandchild] = (await one.fork()) as [Container]
      for (const fork of forks) await fork.remove({ force: true })
      expect((await grandchild.exec(['ls', '-d', '/srv/a'])).stdout).toBe('/srv/a\n')
      expect(await grandchild.fs.readFile('/file', 'utf8')).toBe('mine')
      await grandchild.remove({ force: true })
    } finally {
      for (const fork of forks) await fork.remove({ force: true })
    }
  })

  test('is forked and committed by several at once, and runs on; who is killed meanwhile is committed', async () => {
    await using container = await sleeper({ storage: 'disk' })
    await container.start()
    const work = [container.fork(), container.commit(), container.fork()] as const
    const forks = [...(await work[0]), ...(await work[2])]
    await work[1]
    try {
      expect([container, ...forks].map(({ state }) => state)).toEqual(['running', 'running', 'running'])
    } finally {
      for (const fork of forks) await fork.remove({ force: true })
    }
    const still = new Promise((resolve) => container.once('pause', resolve))
    const last = container.commit()
    await still
    await container.kill()
    expect((await last).digest).toBeNull()
    expect(container.state).toBe('exited')
  })

  test('of the host is committed to an image of this process, which has no name', async () => {
    await using container = await sleeper()
    await container.start()
    await container.fs.writeFile('/file', 'kept')
    const made = await container.commit({ config: { Cmd: ['cat', '/file'] } })
    expect({ digest: made.digest, output: (await run(made)).stdout }).toEqual({ digest: null, output: 'kept' })
    await expect(container.commit({ tag: 'host:changed' })).rejects.toMatchObject({ code: 'ERR_CAISSON_UNSUPPORTED' })
  })
})

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { availableParallelism, userInfo } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { cgroupHost, isWritable, parseProcCgroup } from '../../../lib/cgroup/host.js'
import { Container, type Execution, Image, type Limits, run, Wait } from '../../../lib/index.js'
import { roots } from '../../../lib/util/roots.js'
import { testIf } from '../../support/needs.js'
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

  test('shows and changes its files, running or not', async () => {
    await using container = await Container.create(image, { command: ['sleep', '1000'], files: { '/app/a.txt': 'a' } })
    await container.fs.writeFile('/early', 'before the start')
    await container.start()
    expect(await container.fs.readFile('/early', 'utf8')).toBe('before the start')
    expect(await container.fs.readFile('/app/a.txt', 'utf8')).toBe('a')
    await container.fs.mkdir('/data/deep', { recursive: true })
    await container.fs.writeFile('/data/deep/b', Buffer.from([0, 255]), { mode: 0o600 })
    expect((await container.exec(['od', '-An', '-tx1', '/data/deep/b'])).stdout.trim()).toBe('00 ff')
    expect(await container.fs.readdir('/data')).toEqual(['deep'])
    const status = await container.fs.stat('/data/deep/b')
    expect(status).toMatchObject({ size: 2, uid: 0 })
    expect(status.mode & 0o777).toBe(0o600)
    expect(status.isFile()).toBe(true)
    await container.fs.symlink('deep/b', '/data/link')
    await container.fs.rename('/data/link', '/data/renamed')
    expect(await container.fs.readlink('/data/renamed')).toBe('deep/b')
    await container.fs.chmod('/data/renamed', 0o644)
    await container.fs.chown('/data/deep/b', 5, 6)
    expect(await container.fs.stat('/data/deep/b')).toMatchObject({ uid: 5, gid: 6 })
    await container.kill()
    expect(await container.fs.readFile('/data/renamed')).toEqual(Buffer.from([0, 255]))
    await container.fs.rm('/data', { recursive: true })
    await expect(container.fs.stat('/data')).rejects.toMatchObject({
      code: 'ERR_CAISSON_FILE',
      cause: { code: 'ENOENT' },
    })
    await container.start()
    expect((await container.exec(['ls', '/data'])).exitCode).toBe(2)
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

  describe('limits of a kind that it did not have, on cgroup v1', () => {
    /** Its directories in the hierarchy of a controller: at most one. */
    const directories = (controller: string, name: string) => {
      const own = cgroupHost().legacy.find(({ controllers }) => controllers.includes(controller))?.own as string
      const below = readdirSync(own).map((owner) => path.join(own, owner, name))
      return below.filter((directory) => existsSync(directory))
    }
    const procs = (directory: string) =>
      readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n').length - 1
    const onLegacy = testIf(
      !cgroupHost().legacy.some(({ controllers, own }) => controllers.includes('cpuset') && isWritable(own)) &&
        'there is no cgroup v1 with these controllers',
    )

    onLegacy('are for all that runs in it, whoever starts more of it meanwhile, and for later starts', async () => {
      await using container = await Container.create(image, {
        command: ['sh', '-c', 'while :; do sleep 0.01 & sleep 0.01 & wait; done'],
      })
      await container.start()
      const busy = container.exec(['sh', '-c', 'while :; do sleep 0.01 & wait; done'])
      const many: Execution[] = []
      const more = setInterval(() => many.push(container.exec(['sleep', '1000'])), 3)
      await new Promise((resolve) => setTimeout(resolve, 30))
      expect(directories('cpuset', container.id)).toEqual([])
      await container.update({ limits: { cpuset: '1', cpus: 1.5 } })
      clearInterval(more)
      await Promise.all(many.map(({ pid }) => pid))
      const all = (await container.top()).map(({ pid }) => pid).filter((pid) => existsSync(`/proc/${pid}`))
      expect(all.length).toBeGreaterThan(many.length)
      for (const pid of all) {
        const text = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => undefined)
        if (text === undefined) continue
        expect(text).toMatch(new RegExp(`^\\d+:cpuset:.*${container.id}$`, 'm'))
        expect(text).toMatch(new RegExp(`^\\d+:(cpu|.*\\bcpu\\b.*):.*${container.id}`, 'm'))
      }
      expect((await container.exec(['nproc'])).stdout).toBe('1\n')
      expect(container.state).toBe('running')
      busy.kill()
      await container.restart({ timeout: 0 })
      expect((await container.exec(['nproc'])).stdout).toBe('1\n')
      expect(directories('cpuset', container.id).map(procs)).toEqual([expect.any(Number)])
      await container.stop({ timeout: 0 })
      expect([...directories('cpuset', container.id), ...directories('cpu', container.id)]).toEqual([])
    })

    onLegacy('that cannot be had change nothing; one that is paused stays so', async () => {
      await using container = await sleeper()
      await container.start()
      const refused = { code: 'ERR_CAISSON_CGROUP', stage: 'cgroup: cpuset' }
      await expect(container.update({ limits: { cpuset: '4000' } })).rejects.toMatchObject(refused)
      expect(directories('cpuset', container.id)).toEqual([])
      expect((await container.exec(['nproc'])).stdout).toBe(`${availableParallelism()}\n`)
      await container.pause()
      await Promise.all([
        container.update({ limits: { cpuset: '1' } }),
        container.update({ limits: { cpuset: '0' } }),
        container.update({ limits: { cpus: 0.5 } }),
      ])
      expect(container.state).toBe('paused')
      await container.resume()
      expect(await container.exec(['taskset', '-p', '1'])).toMatchObject({
        stdout: expect.stringMatching(/mask: 1\n$/),
      })
      await container.remove({ force: true })
      expect([...directories('cpuset', container.id), ...directories('cpu', container.id)]).toEqual([])
    })

    /** What the kernel says of a process's group. */
    const isFrozen = (pid: number) => {
      const { unified, legacy } = cgroupHost()
      const freezer = unified ?? legacy.find(({ controllers }) => controllers.includes('freezer'))
      const places = parseProcCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))
      const place = places.find(({ controllers }) =>
        unified ? controllers.length === 0 : controllers.includes('freezer'),
      )
      const directory = path.join(freezer?.mountpoint as string, place?.path as string)
      if (!unified) return readFileSync(path.join(directory, 'freezer.state'), 'utf8') === 'FROZEN\n'
      return readFileSync(path.join(directory, 'cgroup.events'), 'utf8').includes('frozen 1')
    }

    onLegacy('that come while it is paused and resumed leave it as it was asked for last', async () => {
      const kinds = [{ cpuset: '0' }, { cpus: 1.5 }]
      for (let round = 0; round < 12; round++) {
        await using container = await sleeper()
        await container.start()
        const changes: Array<Promise<void>> = [container.update({ limits: kinds[round % 2] as Limits })]
        // At another moment of the update each time, which takes some milliseconds.
        for (const until = performance.now() + round; performance.now() < until; ) await turn()
        changes.push(container.pause())
        if (round % 3 === 0) changes.push(container.resume(), container.pause())
        await Promise.all(changes)
        expect([round, container.state, isFrozen(container.pid as number)]).toEqual([round, 'paused', true])
      }
    })

    onLegacy('that come while it ends leave neither a cgroup nor a state that is not true', async () => {
      for (let round = 0; round < 12; round++) {
        await using container = await sleeper()
        await container.start()
        const update = container.update({ limits: { cpuset: '0', cpus: 1.5 } }).catch((error) => error)
        const pause = round % 2 ? container.pause().catch((error) => error) : undefined
        for (const until = performance.now() + round; performance.now() < until; ) await turn()
        await container.kill()
        for (const failed of [await update, await pause])
          if (failed !== undefined)
            expect([round, failed.code]).toEqual([round, expect.stringMatching(/^ERR_CAISSON_/)])
        expect([round, container.state]).toEqual([round, 'exited'])
        const left = () => [...directories('cpuset', container.id), ...directories('cpu', container.id)]
        expect([round, left()]).toEqual([round, []])
        await container.start()
        expect((await container.exec(['true'])).exitCode).toBe(0)
        await container.remove({ force: true })
        expect([round, left()]).toEqual([round, []])
      }
    })
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
    await Promise.all([container.remove({ force: true }), container.remove({ force: true })])
    expect(await Container.list({ name: 'taken' })).toEqual([])
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

  test('files fail as those of fs/promises do', async () => {
    await using container = await sleeper()
    const { fs } = container
    await fs.mkdir('/data/sub', { recursive: true })
    await fs.writeFile('/data/x', Readable.from(['from ', Buffer.from('a stream')]), { mode: '640' })
    expect(await fs.readFile('/data/x', 'utf8')).toBe('from a stream')
    await fs.chmod('/data/x', '600')
    expect((await fs.stat('/data/x')).mode & 0o777).toBe(0o600)
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => 'none',
        (error) => error.cause?.code ?? error.code,
      )
    expect(await code(fs.rm('/data'))).toBe('EISDIR')
    expect(await code(fs.rm('/data/sub'))).toBe('EISDIR')
    expect(await code(fs.readFile('/data'))).toBe('EISDIR')
    expect(await code(fs.readFile('/data/none'))).toBe('ENOENT')
    expect(await code(fs.readFile('/data/x', { maxBytes: 12 }))).toBe('EFBIG')
    expect(await fs.readFile('/data/x', { maxBytes: 13 })).toEqual(Buffer.from('from a stream'))
    expect(await code(fs.readFile('/data/x', { maxBytes: -1 }))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    for (const wrong of [
      fs.writeFile('/data/y', 5 as never),
      fs.chmod('/data/x', 'u+x'),
      fs.chown('/data/x', -1, 0),
      fs.writeFile('/data/y', '', { mode: 0o100000 }),
    ])
      expect(await code(wrong)).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  })

  test('paths of files are those of a kernel, inside the root', async () => {
    await using container = await sleeper({ files: { '/data/x': 'X', '/data/sub/y': 'Y' } })
    const { fs } = container
    await container.start()
    await fs.symlink('/data/sub', '/link')
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => 'none',
        (error) => error.cause?.code ?? error.code,
      )
    for (const running of [true, false]) {
      if (!running) await container.stop({ timeout: 0 })
      expect(await fs.readFile('/data/sub/../x', 'utf8')).toBe('X')
      expect(await fs.readFile('/../../data//./x', 'utf8')).toBe('X')
      // Where the link leads to is in /data.
      expect(await fs.readFile('/link/../x', 'utf8')).toBe('X')
      expect(await code(fs.readFile('/none/../data/x'))).toBe('ENOENT')
      expect(await code(fs.readFile('/data/x/../x'))).toBe('ENOTDIR')
      expect(await code(fs.readFile('/data/x/'))).toBe('ENOTDIR')
      expect(await code(fs.writeFile('/data/z/', ''))).toBe('EISDIR')
      expect((await fs.lstat('/link')).isSymbolicLink()).toBe(true)
      expect((await fs.lstat('/link/')).isDirectory()).toBe(true)
      await fs.mkdir('/data/made/')
      await fs.mkdir('/data/a/../b/c/', { recursive: true })
      await fs.rename('/data/made/', '/data/b/../moved/')
      for (const recursive of [false, true]) expect(await code(fs.rm('/data/x/', { recursive }))).toBe('ENOTDIR')
      expect(await code(fs.rm('/link/', { recursive: true }))).toBe('ENOTDIR')
      expect(await code(fs.rename('/data/x/', '/data/z'))).toBe('ENOTDIR')
      expect(await code(fs.symlink('x', '/data/z/'))).toBe('ENOENT')
      expect(await code(fs.rm('/data/sub/..', { recursive: true }))).toBe('EINVAL')
      for (const made of ['moved/', 'a', 'b//']) await fs.rm(`/data/${made}`, { recursive: true })
      expect(await fs.readdir('/data/')).toEqual(['sub', 'x'])
      await fs.symlink('/data', '/data/sub/loop').catch(() => undefined)
      expect(await fs.readdir('/data', { recursive: true })).toEqual(['sub', 'x', 'sub/loop', 'sub/y'])
      const entries = await fs.readdir('/data', { recursive: true, withFileTypes: true })
      expect(entries.map(({ parentPath, name }) => `${parentPath}/${name}`)).toContain('/data/sub/y')
    }
  })

  test('takes many requests for its files at once, in every state', async () => {
    await using container = await sleeper({ files: { '/x': 'X' } })
    const { fs } = container
    const many = () => Promise.all(Array.from({ length: 16 }, (_, i) => fs.writeFile(`/made-${i}`, String(i))))
    await many()
    await container.start()
    await many()
    await container.stop({ timeout: 0 })
    await many()
    const read = await Promise.all(Array.from({ length: 16 }, (_, i) => fs.readFile(`/made-${i}`, 'utf8')))
    expect(read).toEqual(Array.from({ length: 16 }, (_, i) => String(i)))
    expect(await fs.readFile('/x', 'utf8')).toBe('X')
    await expect(fs.readFile('/x', 'utf-9' as never)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })

  test('files can be asked for while it is started and stopped', async () => {
    await using container = await sleeper({ files: { '/x': 'X' } })
    const { fs } = container
    for (let round = 0; round < 10; round++) {
      const written = [fs.writeFile('/early', String(round))]
      const started = container.start()
      for (let turn = 0; turn < 20; turn++) {
        written.push(fs.writeFile(`/made-${turn}`, String(round)))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await Promise.all([started, ...written])
      expect((await container.exec(['cat', '/x', '/early', '/made-0', '/made-19'])).stdout).toBe(
        `X${round}${round}${round}`,
      )
      const read = fs.readFile('/made-7', 'utf8')
      await container.stop({ timeout: 0 })
      expect(await read).toBe(String(round))
    }
    expect(existsSync('/made-0')).toBe(false)
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

  test('of the host is committed to an image of this process, which has no name', async () => {
    await using container = await sleeper()
    await container.start()
    await container.fs.writeFile('/file', 'kept')
    const made = await container.commit({ config: { Cmd: ['cat', '/file'] } })
    expect({ digest: made.digest, output: (await run(made)).stdout }).toEqual({ digest: null, output: 'kept' })
    await expect(container.commit({ tag: 'host:changed' })).rejects.toMatchObject({ code: 'ERR_CAISSON_UNSUPPORTED' })
  })
})

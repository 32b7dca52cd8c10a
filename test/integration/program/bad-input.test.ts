import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { Container, Image, run } from '../../../lib/index.js'

describe('bad input is a coded error or the right result', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })
  const fails = async (promise: PromiseLike<unknown>, code: string) => {
    const error = await promise.then(
      () => undefined,
      (reason) => reason,
    )
    expect(error).toMatchObject({ name: 'CaissonError', code, stage: expect.any(String), hint: expect.any(String) })
    expect([error.stage, error.hint]).not.toContain('')
    return error
  }

  test('unknown container', async () => {
    await fails(Container.get('no-such-container'), 'ERR_CAISSON_CONTAINER_NOT_FOUND')
  })

  test('unknown image', async () => {
    await fails(run('no-such-image', ['true'], { pull: 'never' }), 'ERR_CAISSON_IMAGE_NOT_FOUND')
  })

  test('commands that are missing or cannot be executed end as in a shell', async () => {
    expect(await run(image, ['no-such-command'])).toMatchObject({
      exitCode: 127,
      stderr: expect.stringContaining('not found'),
    })
    expect(await run(image, ['/etc/passwd'])).toMatchObject({ exitCode: 126 })
    expect(await run(image, ['/etc'])).toMatchObject({ exitCode: 126 })
    expect(await run(image, [''])).toMatchObject({ exitCode: 127 })
    expect(
      await run(image, ['/x'], { files: { '/x': { content: '#!/no/interpreter\n', mode: 0o755 } } }),
    ).toMatchObject({ exitCode: 127 })
    expect(await run(image, ['/x'], { files: { '/x': { content: 'no program', mode: 0o755 } } })).toMatchObject({
      exitCode: 126,
    })
    await using container = await Container.create(image, { command: ['no-such-command'] })
    await fails(container.start(), 'ERR_CAISSON_COMMAND_NOT_FOUND')
    expect(await container.wait()).toMatchObject({ exitCode: 127 })
    await using directory = await Container.create(image, { command: ['/etc'] })
    await fails(directory.start(), 'ERR_CAISSON_COMMAND_NOT_EXECUTABLE')
    expect(await directory.wait()).toMatchObject({ exitCode: 126 })
  })

  test('arguments and an environment that the kernel does not take are an error of the caller', async () => {
    const long = 'x'.repeat(128 << 10)
    await using container = await Container.create(image, { command: ['sleep', '1000'] })
    await container.start()
    for (const attempt of [
      () => run(image, ['true', long]),
      () => run(image, ['true'], { env: { LONG: long } }),
      () => container.exec(['true', long]),
    ])
      expect(await fails(attempt(), 'ERR_CAISSON_INVALID_ARGUMENT')).toMatchObject({
        cause: { code: 'E2BIG', syscall: 'execve' },
        hint: expect.stringContaining('128 KiB'),
      })
    expect(await run(image, ['true', long.slice(1)])).toMatchObject({ exitCode: 0 })
  })

  test('what an option does not take is told', async () => {
    const mount = { type: 'bind', source: '/usr', target: '/m' } as const
    for (const options of [
      { mounts: [{ ...mount, size: '1m' }] },
      { mounts: [{ ...mount, type: 'tmpfs', propagation: 'rshared' }] },
      { files: { '/x': { content: 'x', owner: 5 } } },
      { dns: ['1.2.3'] },
      { extraHosts: { name: '1.2.3' } },
      { limits: { disk: 0 } },
    ])
      await fails(run(image, ['true'], options as never), 'ERR_CAISSON_INVALID_ARGUMENT')
  })

  test('who hears from the pid that there is no program is not told again', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', note)
    try {
      await fails(run(image, ['true'], { user: 'nobody-such' }).pid, 'ERR_CAISSON_USER_NOT_FOUND')
      await new Promise((resolve) => setImmediate(resolve))
      expect(unhandled).toEqual([])
    } finally {
      process.off('unhandledRejection', note)
    }
  })

  test('what ends with its program is not started again', async () => {
    await fails(run(image, ['false'], { restart: 'always' }), 'ERR_CAISSON_INVALID_ARGUMENT')
    expect(await run(image, ['false'], { restart: 'no' })).toMatchObject({ exitCode: 1 })
  })

  test('users are numbers where the files that name them are hidden', async () => {
    const security = { maskedPaths: ['/etc/passwd', '/etc/group'] }
    const show = ['sh', '-c', 'id -u; id -g; echo $HOME; wc -c < /etc/passwd']
    expect((await run(image, show, { security })).stdout).toBe('0\n0\n/\n0\n')
    expect((await run(image, show, { security, user: '5:6' })).stdout).toBe('5\n6\n/\n0\n')
    await fails(run(image, show, { security, user: 'root' }), 'ERR_CAISSON_USER_NOT_FOUND')
  })

  test('throwOnError carries the result', async () => {
    const error = await fails(
      run(image, ['sh', '-c', 'echo why >&2; exit 3'], { throwOnError: true }),
      'ERR_CAISSON_COMMAND_FAILED',
    )
    expect(error).toMatchObject({ result: { exitCode: 3 }, message: expect.stringContaining('why') })
  })

  test.each<[string, object]>([
    ['memory', { limits: { memory: 'lots' } }],
    ['negative memory', { limits: { memory: -5 } }],
    ['tiny memory', { limits: { memory: 100 } }],
    ['cpus', { limits: { cpus: 0 } }],
    ['cpuset', { limits: { cpuset: '0;rm' } }],
    ['pids', { limits: { pids: 1.5 } }],
    ['swap below memory', { limits: { memory: '10m', memorySwap: '5m' } }],
    ['swap alone', { limits: { memorySwap: '5m' } }],
    ['timeout', { timeout: 'soon' }],
    ['negative timeout', { timeout: -1 }],
    ['workdir', { workdir: 'relative' }],
    ['workdir that climbs', { workdir: '/a/../../etc' }],
    ['NUL in workdir', { workdir: '/a\0b' }],
    ['NUL in env', { env: { A: 'x\0y' } }],
    ['name of a variable', { env: { 'A=B': 'x' } }],
    ['user', { user: 'a:b:c' }],
    ['user id', { user: -1 }],
    ['hostname', { hostname: 'a b' }],
    ['ulimit', { ulimits: { nofiles: 3 } }],
    ['ulimit order', { ulimits: { nofile: { soft: 10, hard: 5 } } }],
    ['capability', { security: { capabilities: { add: ['FLY'] } } }],
    ['sysctl', { sysctls: { 'a;b': '1' } }],
    ['device', { devices: ['/dev/no-such'] }],
    ['no device', { devices: ['/etc/passwd'] }],
    ['file path that climbs', { files: { '/../etc/x': 'x' } }],
    ['mount target', { mounts: [{ type: 'tmpfs', target: 'relative' }] }],
    ['mount over /proc', { mounts: [{ type: 'tmpfs', target: '/proc' }] }],
    ['mount over /', { mounts: [{ type: 'tmpfs', target: '/' }] }],
    ['mount type', { mounts: [{ type: 'magic', target: '/x' }] }],
    ['unified key', { limits: { unified: { '../x': '1' } } }],
    ['extra host', { extraHosts: { 'a\nb': '1.2.3.4' } }],
    ['DNS server', { dns: ['1.2.3.4\nsearch evil'] }],
  ])('%s', async (_name, options) => {
    await fails(run(image, ['true'], options), 'ERR_CAISSON_INVALID_ARGUMENT')
  })

  test('NUL in a command, no command, a command that is no array', async () => {
    await fails(run(image, ['a\0b']), 'ERR_CAISSON_INVALID_ARGUMENT')
    await fails(run(image, []), 'ERR_CAISSON_INVALID_ARGUMENT')
    await fails(run(image, 'true' as never), 'ERR_CAISSON_INVALID_ARGUMENT')
  })

  test('many and large arguments', async () => {
    const args = Array.from({ length: 10_000 }, (_, i) => String(i))
    expect((await run(image, ['sh', '-c', 'echo $#', 'sh', ...args])).stdout).toBe('10000\n')
    const env = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`V${i}`, 'x'.repeat(20_000)]))
    expect((await run(image, ['sh', '-c', 'env | wc -c'], { env })).stdout.length).toBeGreaterThan(6)
  })

  describe('root file systems', () => {
    let dir: string
    beforeEach(() => {
      dir = mkdtempSync('/tmp/caisson-rootfs-')
      mkdirSync(path.join(dir, 'bin'))
      require('node:fs').copyFileSync('/bin/busybox', path.join(dir, 'bin/busybox'))
      symlinkSync('busybox', path.join(dir, 'bin/sh'))
    })
    afterEach(() => rmSync(dir, { recursive: true }))
    const sh = async (script: string, options = {}) =>
      run(await Image.fromRootfs(dir), ['/bin/sh', '-c', script], options)

    test('one without /proc, /dev and the rest works', async () => {
      expect(await sh('busybox ls / | busybox tr "\\n" " "; busybox id -u')).toMatchObject({
        stdout: 'bin dev etc proc sys 0\n',
      })
      expect(require('node:fs').readdirSync(dir)).toEqual(['bin'])
    })

    test.each(['/proc', '/dev', '/sys'])('a link at %s is refused', async (at) => {
      symlinkSync('/bin', path.join(dir, at))
      await fails(sh('true'), 'ERR_CAISSON_ROOTFS')
    })

    test('links below do not lead out', async () => {
      mkdirSync(path.join(dir, 'etc'))
      const canary = mkdtempSync('/tmp/caisson-canary-')
      symlinkSync(canary, path.join(dir, 'etc/hosts'))
      symlinkSync(`../../../../../..${canary}`, path.join(dir, 'out'))
      const result = await sh('echo x > /out/file; echo done', { files: { '/out/injected': 'x' } }).then(
        (value) => value,
        (error) => error,
      )
      expect(result.code === undefined || result.code.startsWith('ERR_CAISSON')).toBe(true)
      expect(require('node:fs').readdirSync(canary)).toEqual([])
    })

    test('a FIFO or device as /etc/passwd does not hang', async () => {
      mkdirSync(path.join(dir, 'etc'))
      require('node:child_process').execFileSync('mkfifo', [path.join(dir, 'etc/passwd')])
      const result = await sh('busybox id -u', { user: 'app', timeout: 2000 }).catch((error) => error)
      expect(result.code).toMatch(/^ERR_CAISSON/)
    })

    test('a huge /etc/passwd is refused', async () => {
      mkdirSync(path.join(dir, 'etc'))
      require('node:fs').closeSync(require('node:fs').openSync(path.join(dir, 'etc/passwd'), 'w'))
      require('node:fs').truncateSync(path.join(dir, 'etc/passwd'), 2 ** 31)
      await fails(sh('true', { user: 'app' }), 'ERR_CAISSON_PERMISSION').catch(() => undefined)
      const result = await sh('true', { user: 'app' }).catch((error) => error)
      expect(result.code).toMatch(/^ERR_CAISSON/)
    })

    test('one that is not there', async () => {
      await fails(Image.fromRootfs('/no/such/rootfs'), 'ERR_CAISSON_IMAGE_NOT_FOUND')
    })
  })

  test('a working directory that leads to our descriptors', async () => {
    const result = await run(image, ['pwd'], { workdir: '/proc/self/fd/3' }).catch((error) => error)
    expect(result.code).toMatch(/^ERR_CAISSON/)
  })

  test('a signal while it starts', async () => {
    for (let i = 0; i < 20; i++) {
      const execution = run(image, ['sleep', '100'])
      setTimeout(() => execution.kill(), i % 5)
      expect(await execution.catch((error) => error)).toMatchObject(expect.objectContaining({}))
    }
  })

  test('whatever is wrong with a call is told by its promise', async () => {
    const wrong = 'ERR_CAISSON_INVALID_ARGUMENT'
    for (const what of [undefined, null, {}, 5]) await fails(run(what as never, ['true']), wrong)
    for (const options of [5, null, [], 'x']) await fails(run(image, ['true'], options as never), wrong)
    await fails(run(image, ['true'], { maxOutput: 'lots' }), wrong)
    for (const input of [5, {}, true]) await fails(run(image, ['cat'], { input: input as never }), wrong)
    await fails(run(image, ['cat'], { signal: {} as never }), wrong)
    // Also beside a run whose options are known to be good.
    await run(image, ['true'], { labels: { a: 'b' } })
    await fails(run(image, ['true'], { labels: ['a=b'] as never }), wrong)
    await fails(Image.fromRootfs('/', { Cmd: 'sh' as never }), wrong)
    await fails(Image.fromRootfs('/', { cmd: ['sh'] } as never), wrong)
  })

  test('modes and owners of files are numbers, or octal digits', async () => {
    const files = { '/a': { content: '', mode: '755' }, '/b': { content: '', mode: 0o600, uid: 7, gid: 8 } }
    const { stdout } = await run(image, ['stat', '-c', '%a %u %g', '/a', '/b'], { files })
    expect(stdout).toBe('755 0 0\n600 7 8\n')
    for (const file of [
      null,
      5,
      {},
      { content: 'x', mode: 'rwx' },
      { content: 'x', mode: 0o10000 },
      { content: 'x', uid: 'root' },
    ])
      await fails(run(image, ['true'], { files: { '/x': file as never } }), 'ERR_CAISSON_INVALID_ARGUMENT')
  })

  test('limits of resources are written as docker writes them, too', async () => {
    const ulimits = { nofile: '50:100', core: 'unlimited' }
    const soft = await run(image, ['sh', '-c', 'ulimit -n; ulimit -Hn'], { ulimits: { nofile: ulimits.nofile } })
    expect(soft.stdout).toBe('50\n100\n')
    for (const nofile of ['x', '', '5:', ':5', '100:50', 1.5])
      await fails(run(image, ['true'], { ulimits: { nofile } }), 'ERR_CAISSON_INVALID_ARGUMENT')
    await fails(run(image, ['true'], { ulimits: ['nofile=50'] as never }), 'ERR_CAISSON_INVALID_ARGUMENT')
  })
})

/** Programs that take all they can get. Each is bounded, says why it ended, and leaves the host as it was. */
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { Container, type RunOptions, run } from '../../lib/index.js'
import { attack, hostImage, python } from '../support/attack.js'
import { isRoot } from '../support/needs.js'

/** Every flood ends by itself or here. */
const BOUNDED: RunOptions = { limits: { memory: '64m', pids: 100, disk: '16m' }, timeout: 15_000 }

const flood = async (code: string, options: RunOptions = {}) =>
  run(await hostImage(), python(code), { ...BOUNDED, ...options })

/** Counts until something is refused. */
const until = (step: string, most: number, before = '') => `
${before}
kept, count = [], 0
try:
    while count < ${most}:
        kept.append(${step})
        count += 1
    print(count, "unbounded")
except (OSError, MemoryError) as error:
    print(count, errno.errorcode.get(getattr(error, "errno", 0) or 0, "MemoryError"))`

/** Pipes that hold 64 KiB. Of a user who has many already each is small (pipe(7), pipe-user-pages-soft). */
const PIPES = `
def full():
    made, size = [], 0
    while size < 65536:
        made.append(os.pipe2(os.O_NONBLOCK))
        try:
            while True: size += os.write(made[-1][1], bytes(65536))
        except BlockingIOError: pass
    return made`

describe('a flood of', () => {
  test('processes ends at the limit, with all of them', async () => {
    const bomb = `
count = 0
try:
    while True:
        if os.fork() == 0:
            while True: libc.pause()
        count += 1
except OSError as error: print(count, errno.errorcode[error.errno])`
    const result = await flood(bomb)
    expect(result.stdout).toMatch(/^9\d EAGAIN$/m)
    expect(result.usage.pidsPeak).toBeLessThanOrEqual(100)
  })

  test('zombies is one of processes', async () => {
    expect((await flood(until('os.posix_spawn("/bin/true", ["true"], {})', 1000))).stdout).toMatch(/^9\d EAGAIN/)
  })

  test('orphans is collected, or ends with the program', async () => {
    const code = `
for i in range(300):
    if os.fork() == 0:
        os.fork()
        os._exit(0)
    os.wait()
print("done")`
    expect((await flood(code, { init: true })).stdout).toBe('done\n')
  })

  test('memory is an end for lack of memory', async () => {
    const result = await flood('kept = [bytearray(1 << 20) for _ in range(1000)]')
    expect(result).toMatchObject({ reason: 'oom', signal: 'SIGKILL' })
    expect(result.usage.memoryPeakBytes).toBeLessThanOrEqual(64 << 20)
  })

  test.each(['/dev/shm/x', '/tmp/x'])('bytes in %s counts as memory, or is refused', async (at) => {
    const result = await flood(`
try:
    with open("${at}", "wb") as file:
        for _ in range(1000): file.write(bytes(1 << 20))
    print("unbounded")
except OSError as error: print(errno.errorcode[error.errno])`)
    if (result.reason === 'exit') expect(result.stdout.trim()).toBe('ENOSPC')
    else expect(result.reason).toBe('oom')
  })

  test('bytes on disk ends at the size of the writable layer', async () => {
    const code = 'open("/tmp/x", "wb").write(bytes(32 << 20))'
    expect((await flood(`print(tried(lambda: ${code}))`)).stdout.trim()).toBe('ENOSPC')
    expect(
      (await flood(`print(tried(lambda: ${code}))`, { limits: { memory: '256m', disk: '64m' } })).stdout.trim(),
    ).toBe('done')
  })

  test('holes of files, which take no room here, fills no disk when the container becomes an image', async () => {
    await using container = await Container.create(await hostImage(), {
      command: ['sleep', '1000'],
      limits: { memory: '64m', disk: '8m' },
    })
    await container.start()
    const made = await container.exec(
      python('os.truncate(os.open("/tmp/x", 66), 3 << 30); print(os.stat("/tmp/x").st_blocks)'),
    )
    expect(made.stdout.trim()).toBe('0')
    for (const work of [() => container.commit(), () => container.fork()])
      await expect(work()).rejects.toMatchObject({
        code: 'ERR_CAISSON_LAYER_LIMIT',
        message: expect.stringContaining('tmp/x: files with holes'),
      })
    await container.fs.rm('/tmp/x')
    await (await container.commit()).remove({ force: true })
  })

  test('files without content that this process reads takes none of its memory', async () => {
    await using container = await Container.create(await hostImage(), {
      command: ['sleep', '1000'],
      limits: { memory: '64m', disk: '8m' },
    })
    await container.start()
    await container.exec(python('os.truncate(os.open("/tmp/x", 66), (2 << 30) - 1)'))
    const before = process.memoryUsage().rss
    let most = 0
    const timer = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss - before)
    }, 10)
    const told = { code: 'ERR_CAISSON_FILE', cause: { code: 'EFBIG' } }
    await expect(container.fs.readFile('/tmp/x')).rejects.toMatchObject(told)
    await expect(container.fs.readFile('/tmp/x', 'utf8')).rejects.toMatchObject(told)
    clearInterval(timer)
    expect(most).toBeLessThan(256 << 20)
    await container.exec(python('os.truncate("/tmp/x", 64 << 20)'))
    expect(await container.fs.readFile('/tmp/x')).toHaveLength(64 << 20)
  })

  test('directories in each other, whose paths take the square of their number, takes none of our memory', async () => {
    await using container = await Container.create(await hostImage(), {
      command: ['sleep', '1000'],
      limits: { memory: '64m', disk: '16m' },
    })
    await container.start()
    const made = await container.exec(
      python(`
paths = length = 0
os.mkdir("/tmp/x")
os.chdir("/tmp/x")
for _ in range(1500):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
    length += 251
    paths += length
print(paths)`),
    )
    // What it takes to keep the path of each: for 16 MB of them, hundreds of times that.
    expect(Number(made.stdout)).toBeGreaterThan(256 << 20)
    const before = process.memoryUsage().rss
    let most = 0
    const look = () => {
      most = Math.max(most, process.memoryUsage().rss - before)
    }
    const timer = setInterval(look, 10)
    const works: Array<() => Promise<unknown>> = [
      () => container.diff(),
      () => container.commit(),
      () => container.fork(),
      () => buffer(container.getArchive('/tmp/x')),
    ]
    for (const work of works) {
      await expect(work()).rejects.toMatchObject({
        code: 'ERR_CAISSON_LAYER_LIMIT',
        message: expect.stringContaining('a path of more than 4095 bytes'),
      })
      look()
    }
    clearInterval(timer)
    expect(most).toBeLessThan(128 << 20)
    // Those that can be opened by their path are no matter.
    await container.exec(['sh', '-c', 'mv /tmp/x/ddd*/ddd*/ddd* /gone && rm -rf /gone'])
    expect((await container.diff()).length).toBeGreaterThan(2)
    expect((await buffer(container.getArchive('/tmp/x'))).length).toBeGreaterThan(1024)
  })

  test('many files without content ends too', async () => {
    const limits = { memory: '24m', pids: 100, disk: '16m' }
    const result = await flood(until('os.close(os.open("/tmp/%d" % count, 65))', 2_000_000), {
      limits,
      timeout: 25_000,
    })
    if (result.reason === 'exit') expect(result.stdout).toMatch(/ENOSPC|ENOMEM/)
    else expect(result.reason).toBe('oom')
  })

  test('descriptors ends at the limit of files', async () => {
    const options = { ulimits: { nofile: 256 } }
    expect((await flood(until('os.open("/dev/null", 0)', 100_000), options)).stdout).toMatch(/^2\d\d EMFILE/)
  })

  test('bytes in pipes and sockets counts as memory', async () => {
    const result = await flood(until('full()', 20_000, PIPES), { ulimits: { nofile: 8192 } })
    if (result.reason === 'exit') expect(result.stdout).not.toContain('unbounded')
    else expect(result.reason).toBe('oom')
  })

  test('bytes in TCP sockets counts as memory, or as much again', async () => {
    const connect = `
import socket
listener = socket.create_server(("127.0.0.1", 0))
kept, count = [], 0
for _ in range(100):
    kept.append(socket.create_connection(listener.getsockname(), 5))
    kept.append(listener.accept()[0])
    kept[-2].setblocking(False)
    try:
        while True: count += kept[-2].send(bytes(65536))
    except BlockingIOError: pass
print(count >> 20)`
    const of = (memory: string) => flood(connect, { limits: { memory, pids: 100 }, ulimits: { nofile: 1024 } })
    const tight = await of('24m')
    const free = await of('800m')
    expect(free.reason).toBe('exit')
    if (tight.reason !== 'exit') return expect(tight.reason).toBe('oom')
    expect(Number(tight.stdout)).toBeLessThan(72)
    expect(Number(free.stdout)).toBeGreaterThan(1.5 * Number(tight.stdout))
  })

  test('terminals ends long before others have none', async () => {
    const open = until('os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)', 200)
    expect((await flood(open)).stdout).toBe('128 ENOSPC\n')
    // As it would be with Docker, where some of these take all that the machine has.
    if (isRoot) expect((await flood(open, { security: { privileged: true } })).stdout).toBe('200 unbounded\n')
  })

  test('signals to everybody it can name ends itself', async () => {
    expect(
      await attack(
        'import signal\nsignal.signal(15, signal.SIG_IGN)\nfor _ in range(1000): tried(lambda: os.kill(-1, 15))\nprint("alone")',
      ),
    ).toEqual(['alone'])
  })

  test('output is cut where it was to be, and this process does not grow with it', async () => {
    const before = process.memoryUsage().rss
    const result = await flood('while True: os.write(1, bytes(65536))', { maxOutput: 1 << 20 })
    expect(result).toMatchObject({ reason: 'output', truncated: true })
    expect(result.stdoutBytes.length).toBeLessThanOrEqual(1 << 20)
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20)
    // Who lifts the bound has it all.
    const most = 'for _ in range(1280): os.write(1, bytes(65536))'
    const all = await flood(most, { maxOutput: 1 << 30 })
    expect(all).toMatchObject({ reason: 'exit', truncated: false, stdoutBytes: { length: 80 << 20 } })
    expect(process.memoryUsage().rss - before).toBeGreaterThan(64 << 20)
  })

  test('output that nobody takes stops the program, not this process', async () => {
    const before = process.memoryUsage().rss
    const execution = run(await hostImage(), python('while True: os.write(1, bytes(65536))'), BOUNDED)
    void execution.stdout
    await new Promise((resolve) => setTimeout(resolve, 500))
    execution.kill()
    await execution
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20)
  })

  test('log lines is kept to a bound', async () => {
    await using container = await Container.create(await hostImage(), {
      command: python('for i in range(400000): print("x" * 100)'),
      limits: { memory: '64m' },
    })
    await container.start()
    let bytes = 0
    await container.wait()
    for await (const { data } of container.logs()) bytes += data.length
    expect(bytes).toBeGreaterThan(1_000_000)
    expect(bytes).toBeLessThanOrEqual(400_000 * 101)
  })

  test('signals that wait ends at their limit', async () => {
    const queue = `
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [34])
def queue():
    if libc.sigqueue(os.getpid(), 34, ctypes.c_void_p(0)) != 0: raise OSError(ctypes.get_errno(), "")`
    const options = { ulimits: { sigpending: 100 } }
    expect((await flood(until('queue()', 5000, queue), options)).stdout).toMatch(/^(\d{1,2}|100) EAGAIN/)
    expect((await flood(until('queue()', 500, queue), { ulimits: { sigpending: 1000 } })).stdout).toMatch(
      /^500 unbounded/,
    )
  })

  test('message queues ends at their limit', async () => {
    const open = 'os.close(os.open("/dev/mqueue/%d" % count, os.O_CREAT | os.O_RDWR))'
    const limited = await flood(until(open, 5000), { ulimits: { msgqueue: 300_000 } })
    expect(limited.stdout).toMatch(/^[0-5] EMFILE/)
    expect((await flood(until(open, 6))).stdout).toBe('6 unbounded\n')
  })
})

describe('without its limit a flood goes on', () => {
  const FLOODS: Array<[string, string, RunOptions, RunOptions]> = [
    [
      'of processes that are not waited for',
      'os.posix_spawn("/bin/true", ["true"], {})',
      { limits: { pids: 50 } },
      { limits: { pids: 300 } },
    ],
    ['of memory', 'bytearray(b"x" * (1 << 20))', { limits: { memory: '64m' } }, { limits: { memory: '512m' } }],
    [
      'of bytes in memory files',
      'os.write(os.open("/dev/shm/%d" % count, os.O_CREAT | os.O_WRONLY), bytes(1 << 20))',
      { shmSize: '16m' },
      { shmSize: '300m', limits: { memory: '512m' } },
    ],
    [
      'of bytes in sockets',
      'sent()',
      { limits: { memory: '32m' }, ulimits: { nofile: 8192 } },
      { limits: { memory: '512m' }, ulimits: { nofile: 8192 } },
    ],
    [
      'of bytes in pipes',
      'full()',
      { limits: { memory: '16m' }, ulimits: { nofile: 8192 } },
      { limits: { memory: '512m' }, ulimits: { nofile: 8192 } },
    ],
    [
      'of files without content',
      '[os.close(os.open("/dev/shm/%d.%d" % (count, i), 65)) for i in range(100)]',
      { limits: { memory: '16m' } },
      { limits: { memory: '512m' } },
    ],
    ['of descriptors', 'os.dup(1)', { ulimits: { nofile: 64 } }, { ulimits: { nofile: 1024 } }],
    [
      'of bytes on disk',
      'os.write(os.open("/tmp/x", os.O_CREAT | os.O_APPEND | os.O_WRONLY), bytes(1 << 20))',
      { limits: { disk: '16m' } },
      { limits: { disk: '400m', memory: '800m' } },
    ],
  ]
  const sockets = `
import socket
def sent():
    pair = socket.socketpair()
    for end in pair:
        end.setblocking(False)
        try:
            while True: end.send(bytes(65536))
        except BlockingIOError: pass
    return pair
${PIPES}`

  test.each(FLOODS)('%s', async (_name, step, tight, loose) => {
    const code = until(step, 200, sockets)
    const bounded = await run(await hostImage(), python(code), { timeout: 15_000, ...tight })
    if (bounded.reason === 'exit') expect(bounded.stdout).not.toContain('unbounded')
    else expect(bounded.reason).toBe('oom')
    const free = await run(await hostImage(), python(code), { timeout: 15_000, ...loose })
    expect(free).toMatchObject({ stdout: '200 unbounded\n', reason: 'exit' })
  })
})

describe('afterwards', () => {
  test('the host has no more than before', () => {
    const names = readFileSync('/proc/mounts', 'utf8')
    expect(names).not.toMatch(/caisson\S*\/owners/)
  })
})

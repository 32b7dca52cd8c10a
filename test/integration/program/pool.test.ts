import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Image, Pool } from '../../../lib/index.js'
import { until } from '../../support/until.js'

/** What the first processes of containers of ours, which wait for a program, are held by. */
function wallsOfWaiting(): string[] {
  const found: string[] = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      if (!status.includes(`\nPPid:\t${process.pid}\n`) || !/^NSpid:\t\d+\t1$/m.test(status)) continue
      if (/^State:\tZ/m.test(status)) continue
      found.push(
        ['NoNewPrivs', 'Seccomp', 'CapBnd']
          .map((name) => new RegExp(`^${name}:\\s+(.*)`, 'm').exec(status)?.[1])
          .join(),
      )
    } catch {
      // It has ended meanwhile.
    }
  return found
}

/** Where cgroups of this name are, of this process's own. */
function cgroupsOf(id: string): string[] {
  const own = ['-path', `*/caisson-${process.pid}-*`, '-name', `${id}*`]
  const { stdout } = spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', ...own], { encoding: 'utf8' })
  return stdout.split('\n').filter(Boolean)
}

describe('Pool', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  test('runs each program in a fresh container', async () => {
    await using pool = new Pool(image, { size: 2 })
    await pool.ready()
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, i) => pool.run(['sh', '-c', `hostname; ls /tmp; echo ${i} > /tmp/mark; echo $$`])),
    )
    expect(new Set(results.map((result) => result.stdout.split('\n')[0])).size).toBe(6)
    for (const result of results)
      expect(result).toMatchObject({ stdout: expect.stringMatching(/^[0-9a-f]{12}\n1\n$/), exitCode: 0 })
  })

  test('takes what an exec takes', async () => {
    await using pool = new Pool(image, { size: 1, limits: { memory: '64m' }, files: { '/app/x': 'file' } })
    const result = await pool.run(['sh', '-c', 'cat; echo $A; pwd; id -u; cat /app/x'], {
      input: 'in ',
      env: { A: 'a' },
      workdir: '/app',
      user: 33,
    })
    expect(result.stdout).toBe('in a\n/app\n33\nfile')
    expect((await pool.run(['cat', '/code/main'], { files: { '/code/main': 'its own' } })).stdout).toBe('its own')
    expect(await pool.run(['sleep', '10'], { timeout: 100 })).toMatchObject({ reason: 'timeout' })
    expect(await pool.run(['no-such'])).toMatchObject({ exitCode: 127 })
    expect((await pool.run(['tty'], { tty: true })).stdout).toBe('/dev/pts/0\r\n')
    const oom = await pool.run(['python3', '-c', 'bytearray(200 << 20)'])
    expect(oom.reason).toBe('oom')
  })

  test('streams like any run', async () => {
    await using pool = new Pool(image, { size: 1 })
    const execution = pool.run(['cat'])
    execution.stdin.end('piped')
    let text = ''
    for await (const { data } of execution) text += data
    expect(text).toBe('piped')
  })

  test('what waits is held by all that no program can change', async () => {
    await using pool = new Pool(image, { size: 1 })
    await pool.ready()
    // Those of the pool before may be on their way out.
    await until(() => wallsOfWaiting().length === 1)
    expect(wallsOfWaiting()).toEqual(['1,2,00000000a80425fb'])
    const status = (await pool.run(['cat', '/proc/self/status'])).stdout
    expect(status).toMatch(/^NoNewPrivs:\s1$/m)
    // Each is there once.
    expect(status).toMatch(/^Seccomp_filters:\s1$/m)
    expect(status).toMatch(/^CapBnd:\s00000000a80425fb$/m)
  })

  test("a profile of the caller's is for the program, and hinders nothing before it", async () => {
    const calls = 'setresuid setresgid setgroups capset prctl openat2 mkdirat fchown fchmod recvmsg dup3 fchdir'
    const seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: calls.split(' '), action: 'SCMP_ACT_ERRNO' }],
    }
    await using pool = new Pool(image, { size: 1, security: { seccomp } })
    await pool.ready()
    await until(() => wallsOfWaiting().length === 1)
    expect(wallsOfWaiting()).toEqual(['1,0,00000000a80425fb'])
    const files = { '/made/here/file': 'text' }
    const options = { files, user: 33, workdir: '/made/there' }
    const result = await pool.run(
      ['sh', '-c', 'id -u; pwd; cat /made/here/file; grep Seccomp: /proc/self/status'],
      options,
    )
    expect(result.stdout).toMatch(/^33\n\/made\/there\ntextSeccomp:\s2\n$/)
  })

  test("rules of the caller's for Landlock hinder nothing either", async () => {
    const fs = [
      { path: '/usr', access: 'execute' as const },
      { path: '/made', access: 'read' as const },
    ]
    await using pool = new Pool(image, { size: 1, files: { '/made/before': 'x' }, security: { landlock: { fs } } })
    const files = { '/made/file': 'text', '/elsewhere/file': 'text' }
    const result = await pool.run(['/usr/bin/cat', '/made/file', '/elsewhere/file'], { files, workdir: '/made/there' })
    expect(result).toMatchObject({ stdout: 'text', stderr: expect.stringContaining('Permission denied') })
  })

  test('a read-only root takes files where it can be written to', async () => {
    await using pool = new Pool(image, { size: 1, readOnly: true, mounts: [{ type: 'tmpfs', target: '/desk' }] })
    const result = await pool.run(['sh', '-c', 'cat file; touch /desk/more; touch /etc/more'], {
      files: { '/desk/file': 'text' },
      workdir: '/desk',
    })
    expect(result).toMatchObject({ stdout: 'text', stderr: expect.stringContaining('/etc/more') })
  })

  test('who reaps in a container is out of its programs reach', async () => {
    // Who may trace others is kept from that one by Landlock alone.
    const security = { capabilities: { add: ['SYS_PTRACE'] } }
    await using pool = new Pool(image, { size: 1, init: true, security })
    const result = await pool.run(['sh', '-c', 'echo $$; readlink /proc/$$/exe | wc -l; readlink /proc/1/exe'])
    expect(result).toMatchObject({ stdout: '2\n1\n', exitCode: 1 })
  })

  test('programs of every size of input, one after the other', async () => {
    await using pool = new Pool(image, { size: 2 })
    for (const size of [0, 1, 60_000, 70_000, 5_000_000]) {
      const files = { '/data': Buffer.alloc(size, 'x') }
      expect(
        (await pool.run(['sh', '-c', 'wc -c < /data; cat | wc -c'], { files, input: files['/data'] })).stdout,
      ).toBe(`${size}\n${size}\n`)
    }
  })

  test('what nobody asked for at first can be asked for later', async () => {
    await using pool = new Pool(image, { size: 2 })
    await pool.ready()
    const timed = await pool.run(['sleep', '0.2'])
    expect(timed.durationMs).toBeGreaterThan(190)
    expect(timed.durationMs).toBeLessThan(1000)

    const execution = pool.run(['sh', '-c', 'echo early; sleep 1000; echo $?; exit 3'])
    const result = execution.then((outcome) => outcome)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const pid = await execution.pid
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain('sleep 1000')
    let text = ''
    execution.stdout.on('data', (chunk) => {
      text += chunk
    })
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    process.kill(Number(child), 'SIGTERM')
    expect(await result).toMatchObject({ exitCode: 3 })
    expect(text).toBe('early\n143\n')

    const killed = pool.run(['sleep', '1000'])
    setTimeout(() => killed.kill('SIGKILL'), 100)
    expect(await killed).toMatchObject({ signal: 'SIGKILL', reason: 'signal' })
    const aborted = pool.run(['sleep', '1000'], { signal: AbortSignal.timeout(100) })
    expect(await aborted).toMatchObject({ reason: 'aborted' })
    expect(await pool.run(['sleep', '1000'], { timeout: 100 })).toMatchObject({ reason: 'timeout' })
  })

  test('who gives up waiting takes no container away from others', async () => {
    await using pool = new Pool(image, { size: 1 })
    const control = new AbortController()
    const given = [1, 2, 3, 4].map(() => pool.run(['true'], { signal: control.signal }).catch((error) => error.code))
    const kept = [1, 2, 3].map(() => pool.run(['echo', 'kept']))
    setTimeout(() => control.abort(), 2)
    for (const each of await Promise.all(given))
      expect(['ERR_CAISSON_ABORTED', 'aborted', 'exit']).toContain(each.reason ?? each)
    for (const { stdout } of await Promise.all(kept)) expect(stdout).toBe('kept\n')
    await pool.ready()
  })

  test('when it is closed nothing is left, of the program that has just ended either', async () => {
    for (let round = 0; round < 20; round++) {
      const pool = new Pool(image, { size: 1 })
      const { stdout } = await pool.run(['hostname'])
      await pool[Symbol.asyncDispose]()
      expect(cgroupsOf(stdout.trim())).toEqual([])
    }
  })

  test('when it is closed nothing is left, of what was being prepared either', async () => {
    await using other = new Pool(image, { size: 1 })
    await other.ready()
    // What was made ahead for other tests of this process may go meanwhile.
    const before = new Set(cgroupsOf('*'))
    for (let round = 0; round < 30; round++) {
      const pool = new Pool(image, { size: 4 })
      await sleep(round % 10)
      await pool[Symbol.asyncDispose]()
      expect(cgroupsOf('*').filter((directory) => !before.has(directory))).toEqual([])
      expect(wallsOfWaiting()).toHaveLength(1)
    }
  })

  test('what cannot be prepared is an error of ready() and run()', async () => {
    await using pool = new Pool('no-such-image', { size: 1, pull: 'never' })
    await expect(pool.ready()).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND' })
    await expect(pool.run(['true'])).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND' })
    expect(() => new Pool(image, { size: 0 })).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
    )
  })

  test('runs nothing after it is closed', async () => {
    const pool = new Pool(image, { size: 1 })
    await pool.ready()
    await pool[Symbol.asyncDispose]()
    await expect(pool.run(['true'])).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
  })

  test('takes its programs with it', async () => {
    const pool = new Pool(image, { size: 1 })
    const running = pool.run(['sleep', '1000'])
    await running.pid
    await pool[Symbol.asyncDispose]()
    expect(await running).toMatchObject({ signal: 'SIGKILL', reason: 'signal' })
    expect(() => new Pool(image, undefined as never)).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
    )
  })
})

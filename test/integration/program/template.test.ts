import { spawnSync } from 'node:child_process'
import { readlink } from 'node:fs/promises'
import { Container, Image, type RunOptions, run } from '../../../lib/index.js'
import { until } from '../../support/until.js'

/** Runs with the same options share what follows from them: nothing of one may be seen in another. */
describe('runs that share their options', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })
  const sh = async (script: string, options: RunOptions = {}) =>
    (await run(image, ['sh', '-c', script], options)).stdout.trim()

  test('have ids, host names and cgroups of their own', async () => {
    const who = 'hostname; cat /etc/hostname; echo $HOSTNAME; grep -c $(hostname) /etc/hosts'
    const seen = new Set<string>()
    for (let i = 0; i < 5; i++) {
      const [name, file, variable, hosts] = (await sh(who)).split('\n')
      expect(name).toMatch(/^[0-9a-f]{12}$/)
      expect([file, variable, hosts]).toEqual([name, name, '1'])
      seen.add(name as string)
    }
    expect(seen.size).toBe(5)
  })

  test('keep a host name that was asked for', async () => {
    for (let i = 0; i < 2; i++) expect(await sh('hostname', { hostname: 'abc' })).toBe('abc')
  })

  test('bring their own environment, files, input and command', async () => {
    const one = { env: { A: '1' }, files: { '/a': 'one' }, input: 'x' }
    expect(await sh('echo $A $B $(cat /a) $(cat)', one)).toBe('1 one x')
    expect(
      await sh('echo $A $B $(cat /b) $(cat); test ! -e /a && echo gone', { env: { B: '2' }, files: { '/b': 'two' } }),
    ).toBe('2 two\ngone')
    expect(await sh('ls /a /b 2>&1 | grep -c No')).toBe('2')
  })

  test('do not share what differs', async () => {
    const limits = { pids: 10 }
    const pids = 'cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null'
    expect(await sh(pids, { limits })).toBe('10')
    // The caller's object is not ours to keep.
    limits.pids = 20
    expect(await sh(pids, { limits })).toBe('20')
    expect(await sh('id -u', { user: 'nobody' })).toBe('65534')
    expect(await sh('id -u')).toBe('0')
    expect(await sh('id -u', { user: 'nobody' })).toBe('65534')
    expect(await sh('touch /x || echo no', { readOnly: true })).toBe('no')
    expect(await sh('touch /x && echo yes', { readOnly: false })).toBe('yes')
  })

  test('leave nothing that was made ahead for them when they cannot be made', async () => {
    const own = ['-type', 'd', '-path', `*/caisson-${process.pid}-*`, '-regex', '.*/[0-9a-f]+']
    const cgroups = () =>
      spawnSync('find', ['/sys/fs/cgroup', ...own], { encoding: 'utf8' })
        .stdout.split('\n')
        .filter(Boolean)
    const before = new Set(cgroups())
    for (let i = 0; i < 6; i++) {
      await expect(run(image, ['true'], { env: { A: 'b\0' } })).rejects.toMatchObject({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
      })
      await sh('true')
    }
    // What waits goes when it is not asked for, ten seconds later at the latest.
    await until(() => cgroups().every((own) => before.has(own)), 15_000)
  })

  test('are checked each time', async () => {
    await sh('true')
    await expect(run(image, ['true'], { readonly: true } as RunOptions)).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
    })
    await expect(run(image, ['true'], { env: { 'A=B': '' } })).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
    })
    await expect(run(image, ['a\0b'])).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })

  test('fail with the step and the path of their own', async () => {
    const broken = { files: { '/proc/nowhere/x': '' } }
    for (let i = 0; i < 2; i++)
      await expect(run(image, ['true'], broken)).rejects.toMatchObject({ stage: 'files: /proc/nowhere/x' })
    expect(await run(image, ['no-such'])).toMatchObject({ exitCode: 127 })
    await expect(run(image, ['true'], { workdir: '/etc/passwd' })).rejects.toMatchObject({ stage: 'workdir' })
    await expect(run(image, ['true'], { workdir: '/etc/passwd' })).rejects.toMatchObject({ stage: 'workdir' })
  })

  test('write /etc as any other file, and for themselves alone', async () => {
    expect(await sh('echo 10.0.0.9 other >> /etc/hosts; grep -c other /etc/hosts')).toBe('1')
    expect(await sh('grep -c other /etc/hosts')).toBe('0')
    expect(await sh('stat -c "%a %u %g" /etc; ls /etc/passwd')).toBe('755 0 0\n/etc/passwd')
    expect(await sh('cat /etc/hosts | tail -1', { mounts: [{ type: 'tmpfs', target: '/etc' }] })).toContain('127.0.1.1')
  })

  /** From the second within seconds on, what a container lives in is made ahead (addon/core/rooms.h). */
  describe('once they are many', () => {
    const many = async (script: string, options: RunOptions = {}) => {
      const outputs: string[] = []
      // The keeper needs a moment; that it is quick enough for one of them is all that is asked.
      for (let i = 0; i < 12; i++) {
        outputs.push(await sh(script, options))
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      return outputs
    }
    const mountsOf = (output: string) =>
      output
        .split('\n')
        .map((line) => line.replace(/^\d+ \d+ \S+/, '').replace(/(lower|upper|work)dir=[^,]*/g, '$1'))
        .sort()

    test('see the same mounts, files, devices and limits as the first', async () => {
      const options: RunOptions = {
        limits: { memory: '64m', disk: '8m' },
        mounts: [{ type: 'tmpfs', target: '/scratch' }],
      }
      const [first, ...others] = await many('cat /proc/self/mountinfo', options)
      for (const other of others) expect(mountsOf(other)).toEqual(mountsOf(first as string))
      const look =
        'ls -laR --time-style=+ /dev /etc /sys/fs/cgroup | grep -v total; ls -A /sys/firmware /proc/scsi; df /dev / /scratch;' +
        'cat /sys/fs/cgroup/memory*/memory.limit_in_bytes /sys/fs/cgroup/memory.max; wc -c < /proc/kcore;' +
        'cat /proc/sys/net/ipv4/ping_group_range; ls /sys/class/net; grep -E "Cap|NoNew|Seccomp" /proc/self/status'
      const seen = await many(`{ ${look}; } 2>&1`, options)
      expect(new Set(seen.map((text) => text.replace(/hostname$/gm, ''))).size).toBe(1)
    })

    test('cannot tell by anything that others were there', async () => {
      const leave =
        'echo secret > /tmp/left; echo secret > /dev/shm/left; mkdir /etc/left; echo secret > /dev/mqueue/left; touch /dev/left'
      await many(`${leave}; true`)
      const seen = await many('ls -A /tmp /dev/shm /etc/left /dev/mqueue /dev/left 2>/dev/null | grep -c left')
      expect(new Set(seen)).toEqual(new Set(['0']))
    })

    test('have a network that nobody was in', async () => {
      const talk =
        'import socket as s; u = s.socket(s.AF_INET, s.SOCK_DGRAM); u.bind(("127.0.0.1", 4)); u.sendto(b"x", u.getsockname())'
      const look =
        'cat /proc/net/dev /proc/net/udp /proc/net/tcp; ls /sys/class/net; ls -l /proc/sys/net/ipv4/ip_local*'
      const [left] = await many(`python3 -c '${talk}; print(open("/proc/net/dev").read())'`)
      expect(left).toMatch(/lo:\s+[1-9]/)
      const seen = await many(look)
      expect(new Set(seen).size).toBe(1)
      expect(seen[0]).toMatch(/lo:\s+0 +0 /)
    })

    test('have namespaces of their own', async () => {
      const look = 'readlink /proc/self/ns/mnt /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/pid; sleep 0.3'
      await many('true')
      const outputs = await Promise.all(Array.from({ length: 6 }, () => sh(look)))
      const inodes = outputs.flatMap((text) => text.split('\n'))
      expect(new Set(inodes).size).toBe(6 * 4)
      const own = await Promise.all(['mnt', 'net', 'ipc'].map((type) => readlink(`/proc/self/ns/${type}`)))
      for (const inode of own) expect(inodes).not.toContain(inode)
    })

    test('tell what failed, as one that finds nothing made does', async () => {
      for (let i = 0; i < 6; i++) {
        await expect(run(image, ['true'], { files: { '/proc/nowhere/x': '' } })).rejects.toMatchObject({
          stage: 'files: /proc/nowhere/x',
        })
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })
  })

  test('of a container have cgroups below it, before and after its restart', async () => {
    const container = await Container.create(image, { command: ['sleep', '1000'] })
    try {
      await container.start()
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < 6; i++) {
          const { exitCode, usage } = await container.exec(['sh', '-c', 'exit 3'])
          expect(exitCode).toBe(3)
          expect(usage.cpuUserMs).not.toBeNull()
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
        await container.restart({ timeout: 0 })
      }
      const late = await container.exec(['sh', '-c', 'setsid sleep 1000 & sleep 1000'], { timeout: '100ms' })
      expect(late.reason).toBe('timeout')
      expect((await container.top()).filter(({ command }) => command === 'sleep')).toHaveLength(1)
    } finally {
      await container.remove({ force: true })
    }
  })
})

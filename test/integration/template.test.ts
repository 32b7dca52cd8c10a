import { Image, type RunOptions, run } from '../../lib/index.js'

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
})

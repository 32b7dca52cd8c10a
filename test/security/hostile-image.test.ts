/** Images that put something else in the place of what a container is put together with. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, Image, type RunOptions, run } from '../../lib/index.js'
import { hostileRoot, naively } from '../support/naive.js'
import { removeScratch } from '../support/tree.js'

afterAll(removeScratch)

const A_LINK = 'a link to a knob of the host'
const PATTERN = '/proc/sys/kernel/core_pattern'

async function hostile(make: (root: string, outside: string) => void) {
  const { root, outside } = hostileRoot(make)
  const image = await Image.fromRootfs(root)
  const sh = async (script: string, options: RunOptions = {}) => {
    const result = await run(image, ['/bin/sh', '-c', script], options)
    return result.stdout.trim()
  }
  return { root, outside, sh, refused: () => run(image, ['/bin/sh', '-c', 'true']) }
}

describe('an image with', () => {
  const before = readFileSync(PATTERN, 'utf8')
  afterEach(() => expect(readFileSync(PATTERN, 'utf8')).toBe(before))

  const traps: Array<[string, (at: string) => void]> = [
    [A_LINK, (at) => symlinkSync(PATTERN, at)],
    ['a file', (at) => writeFileSync(at, 'not null')],
    ['a directory', (at) => mkdirSync(at)],
    ['a FIFO', (at) => execFileSync('mkfifo', [at])],
  ]
  test.each(traps)('%s at /dev/null: what is masked is masked with ours (CVE-2025-31133)', async (name, trap) => {
    const { root, sh } = await hostile((root) => {
      mkdirSync(path.join(root, 'dev'))
      trap(path.join(root, 'dev/null'))
    })
    // Who masks with the image's own puts the knob within reach.
    if (name === A_LINK)
      expect(naively(root, 'mount -o bind /dev/null /proc/timer_list && cat /proc/timer_list')).toBe(before.trim())
    expect(await sh('stat -c %t:%T /dev/null; cat /proc/keys /proc/timer_list; echo x > /proc/keys && echo gone')).toBe(
      '1:3\ngone',
    )
  })

  test('links for terminals gets its own (CVE-2025-52565)', async () => {
    const { root, sh } = await hostile((root) => {
      mkdirSync(path.join(root, 'dev/pts'), { recursive: true })
      symlinkSync(PATTERN, path.join(root, 'dev/console'))
      writeFileSync(path.join(root, 'dev/terminal'), '')
      symlinkSync(PATTERN, path.join(root, 'dev/pts/0'))
      symlinkSync('/proc/sysrq-trigger', path.join(root, 'dev/ptmx'))
    })
    expect(naively(root, 'mount -o bind /dev/pts/0 /dev/terminal && cat /dev/terminal')).toBe(before.trim())
    expect(await sh('tty; stat -c %F /dev/console', { tty: true })).toBe('/dev/pts/0\r\ncharacter special file')
  })

  test.each(['/proc', '/dev', '/sys'])(
    'a link at %s is not run, and nothing is made where it leads (CVE-2026-41579)',
    async (at) => {
      for (const target of ['outside', '../outside', '../../../../../../tmp']) {
        const { refused, outside, root } = await hostile((root, beside) => {
          symlinkSync(target === 'outside' ? beside : target, path.join(root, at))
        })
        await expect(refused()).rejects.toMatchObject({ code: 'ERR_CAISSON_ROOTFS' })
        expect(readdirSync(outside)).toEqual([])
        // By name it leads there.
        if (target === 'outside') {
          mkdirSync(path.join(root, at, 'made'))
          expect(readdirSync(outside)).toEqual(['made'])
        }
      }
    },
  )

  test('links where the container’s own files go writes nothing outside (CVE-2024-29018)', async () => {
    const { sh, outside } = await hostile((root, beside) => {
      for (const name of ['hosts', 'hostname', 'resolv.conf']) {
        rmSync(path.join(root, 'etc', name), { force: true })
        symlinkSync(path.join(beside, name), path.join(root, 'etc', name))
      }
    })
    expect(await sh('cat /etc/hostname', { hostname: 'box' })).toBe('box')
    expect(readdirSync(outside)).toEqual([])
  })

  test('a link into the kernel’s files, or a bind mount, has nothing written there that the caller puts into the container', async () => {
    const knob = '/proc/sys/net/ipv4/ip_default_ttl'
    const { root, outside } = hostileRoot((root, outside) => {
      symlinkSync(knob, path.join(root, 'etc/knob'))
      symlinkSync('/proc/self/oom_score_adj', path.join(root, 'etc/score'))
      symlinkSync('/shared', path.join(root, 'etc/shared'))
      writeFileSync(path.join(outside, 'file'), 'of the host', { mode: 0o600 })
    })
    // Who writes by the path sets the kernel's.
    expect(naively(root, 'echo 500 > /etc/score && cat /proc/self/oom_score_adj')).toBe('500')
    const image = await Image.fromRootfs(root)
    await using neighbour = await Container.create(image, { command: ['/bin/sleep', '1000'] })
    await neighbour.start()
    const mounts: RunOptions['mounts'] = [{ type: 'bind', source: outside, target: '/shared' }]
    const put = (at: string, options: RunOptions = {}) =>
      run(image, ['/bin/cat', at], { files: { [at]: '99' }, mounts, network: neighbour, ...options })
    for (const at of ['/etc/knob', '/etc/score', '/etc/shared/file', '/etc/shared/new', '/etc/shared/more/new'])
      await expect(put(at)).rejects.toMatchObject({ code: 'ERR_CAISSON_FILE', cause: { code: 'ELOOP' } })
    expect((await neighbour.exec(['/bin/cat', knob])).stdout).toBe('64\n')
    expect(readdirSync(outside)).toEqual(['file'])
    expect(readFileSync(path.join(outside, 'file'), 'utf8')).toBe('of the host')
    // By its own name it is the caller's wish.
    expect((await put('/shared/more/new')).stdout).toBe('99')
    expect((await put('/etc/new')).stdout).toBe('99')
  })

  test('a link that a program left is not written through when it starts again', async () => {
    const { root } = hostileRoot()
    const knob = '/proc/sys/net/ipv4/ip_default_ttl'
    const image = await Image.fromRootfs(root)
    await using neighbour = await Container.create(image, { command: ['/bin/sleep', '1000'] })
    await neighbour.start()
    await using container = await Container.create(image, {
      command: ['/bin/busybox', 'ln', '-sf', knob, '/etc/file'],
      files: { '/etc/file': '99' },
      network: neighbour,
      storage: 'disk',
    })
    await container.start()
    expect(await container.wait()).toMatchObject({ exitCode: 0 })
    await expect(container.start()).rejects.toMatchObject({ code: 'ERR_CAISSON_FILE' })
    expect((await neighbour.exec(['/bin/cat', knob])).stdout).toBe('64\n')
  })

  test('a link at /etc gets no user of the host into the configuration that we write', async () => {
    const { root } = hostileRoot((root, outside) => {
      writeFileSync(path.join(outside, 'passwd'), 'somebody:x:4242:4243::/secret:/bin/sh\n')
      rmSync(path.join(root, 'etc'), { recursive: true })
      symlinkSync(outside, path.join(root, 'etc'))
    })
    expect(readFileSync(path.join(root, 'etc/passwd'), 'utf8')).toContain('4242')
    const image = await Image.fromRootfs(root, { User: 'somebody' })
    await using container = await Container.create(image, { command: ['/bin/sh', '-c', 'true'] })
    const text = readFileSync(path.join(container.inspect().bundle, 'config.json'), 'utf8')
    expect(text).not.toMatch(/4242|\/secret/)
    await expect(container.start()).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_CAISSON_/) })
  })
})

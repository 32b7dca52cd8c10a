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

/** A container that puts files of its own where a runtime writes to the kernel's. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { Container, Image, run } from '../../lib/index.js'
import { attack, begun, hostImage, python } from '../support/attack.js'
import { hostileRoot, naively } from '../support/naive.js'
import { isRoot, testIf } from '../support/needs.js'
import { removeScratch } from '../support/tree.js'
import { until } from '../support/until.js'

afterAll(removeScratch)

/** Puts a directory of its own over /proc, where what is written for the kernel lands in its hands. */
const COVER = `
import time
word_of_mount = word(call("mount", b"none", b"/proc", b"tmpfs", 0, 0))
os.makedirs("/proc/self/attr"); os.makedirs("/proc/sys/net/ipv4")
names = ["self/oom_score_adj", "self/attr/exec", "self/setgroups", "sys/net/ipv4/ip_unprivileged_port_start"]
for name in names: os.close(os.open("/proc/" + name, os.O_CREAT | os.O_WRONLY))
print("covered", word_of_mount)
while not os.path.exists("/stop"): time.sleep(0.01)
print([name for name in names if os.stat("/proc/" + name).st_size > 0])`

describe('what is written for the kernel (CVE-2025-52881)', () => {
  testIf(!isRoot && 'nsenter is no way into the namespaces of an ordinary user’s container')(
    'lands in the hands of a container that covered /proc only when it is written by that path',
    async () => {
      await using container = await Container.create(await hostImage(), {
        command: ['sleep', '1000'],
        oomScoreAdj: 500,
        security: { capabilities: { add: ['SYS_ADMIN'] } },
      })
      await container.start()
      const guest = container.exec(python(COVER))
      await begun(guest)
      for (let round = 0; round < 5; round++)
        expect(await container.exec(['true'], { user: 1000, tty: round === 0 })).toMatchObject({ exitCode: 0 })
      await container.exec(['touch', '/stop'])
      expect((await guest).stdout).toBe('covered done\n[]\n')

      const naive = container.exec(python(COVER))
      await container.exec(['rm', '/stop'])
      await begun(naive)
      const write = 'echo 500 > /proc/self/attr/exec'
      expect(spawnSync('nsenter', ['-t', String(container.pid), '-m', 'sh', '-c', write]).status).toBe(0)
      await container.exec(['touch', '/stop'])
      expect((await naive).stdout).toContain("['self/attr/exec']")
    },
  )

  test('reaches the kernel: a score and a port, of the container', async () => {
    const look = 'print(open("/proc/self/oom_score_adj").read().strip())'
    expect(await attack(look, { oomScoreAdj: 500 })).toEqual(['500'])
    await using container = await Container.create(await hostImage(), { command: ['sleep', '1000'], oomScoreAdj: 500 })
    await container.start()
    expect((await container.exec(python(look))).stdout.trim()).toBe('500')
  })
})

describe('container.fs, through a link of the guest’s to a file of /proc, which asks who writes and reads', () => {
  test('neither writes nor reads; by its own name it does both', async () => {
    await using container = await Container.create(await hostImage(), {
      command: ['sh', '-c', 'ln -s /proc/1/oom_score_adj /input; ln -s /proc/1 /desk; exec sleep 1000'],
      oomScoreAdj: 500,
    })
    const { fs } = container
    await container.start()
    await until(() =>
      fs.lstat('/desk').then(
        () => true,
        () => false,
      ),
    )
    const score = '/proc/1/oom_score_adj'
    const link = { code: 'ERR_CAISSON_FILE', cause: { code: 'ELOOP' } }
    for (const path of ['/input', '/desk/oom_score_adj']) {
      await expect(fs.writeFile(path, '600')).rejects.toMatchObject(link)
      await expect(fs.readFile(path)).rejects.toMatchObject(link)
    }
    expect(await fs.readFile(score, 'utf8')).toBe('500\n')
    await fs.writeFile(score, '600')
    expect((await container.exec(['cat', score])).stdout).toBe('600\n')
  })
})

describe('a /proc that is a link into a directory that others share (CVE-2019-19921)', () => {
  test('is theirs to exchange where it is mounted by name, and not mounted at all by us', async () => {
    const { root, outside } = hostileRoot((root) => {
      mkdirSync(path.join(root, 'shared/proc'), { recursive: true })
      symlinkSync('/shared/proc', path.join(root, 'proc'))
    })
    const exchange = 'mv /shared /gone && mkdir -p /shared/proc/self/attr && ls /proc/self'
    expect(naively(root, exchange)).toBe('attr')
    await expect(run(await Image.fromRootfs(root), ['/bin/sh', '-c', 'true'])).rejects.toMatchObject({
      code: 'ERR_CAISSON_ROOTFS',
    })
    expect(readdirSync(outside)).toEqual([])
  })
})

/** A directory of /sys with a file that root alone may read, and that says something. */
function rootsAlone(): { directory: string; name: string } | undefined {
  for (const module of readdirSync('/sys/module')) {
    const directory = `/sys/module/${module}/parameters`
    for (const name of existsSync(directory) ? readdirSync(directory) : []) {
      const { mode } = statSync(path.join(directory, name))
      if ((mode & 0o444) !== 0o400) continue
      const content = spawnSync('cat', [path.join(directory, name)], { encoding: 'utf8' }).stdout
      if (content.trim() !== '') return { directory, name }
    }
  }
  return undefined
}

describe('files of /sys that root alone may read', () => {
  const secret = rootsAlone()
  testIf((!isRoot && 'an ordinary user may not read them either') || (!secret && 'this kernel has none'))(
    'are read for no guest that is nobody, by a link of its own',
    async () => {
      const { directory, name } = secret as NonNullable<typeof secret>
      await using container = await Container.create(await hostImage(), {
        command: ['sleep', '1000'],
        security: { userns: 'auto' },
      })
      await container.start()
      const made = await container.exec(['sh', '-c', `ln -s ${directory} /out; cat /out/${name}`])
      expect(made.stderr).toMatch(new RegExp(`${name}: Permission denied`))
      const read = container.fs.readFile(`/out/${name}`)
      await expect(read).rejects.toMatchObject({ cause: { code: 'EACCES' } })
      const taken = await Promise.allSettled(
        [`/out/${name}`, '/out/', '/out/.'].map((at) => buffer(container.getArchive(at))),
      )
      const text = Buffer.concat(taken.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))).toString()
      expect(text).not.toContain(`${name}\0`)
      expect(taken[0]).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CAISSON_LAYER' } })
      // What everybody may read comes as before.
      expect((await buffer(container.getArchive('/sys/class/net/lo/mtu'))).toString()).toMatch(/^mtu.*65536\n/s)
    },
  )
})

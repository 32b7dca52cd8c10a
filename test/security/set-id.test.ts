/** Files that make whoever executes them somebody else. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, chownSync, cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, Image, type RunOptions, run, type SecurityOptions } from '../../lib/index.js'
import { removeTree } from '../../lib/layer/tree.js'
import { owner } from '../../lib/runtime/process/owner.js'
import { roots } from '../../lib/util/roots.js'
import { archive } from '../support/archive.js'
import { hostImage } from '../support/attack.js'
import { busyboxLayer, noBusybox } from '../support/busybox-image.js'
import { isRoot, testIf } from '../support/needs.js'
import { compileProgram } from '../support/program.js'
import { removeScratch, scratch } from '../support/tree.js'
import { until } from '../support/until.js'

afterAll(removeScratch)
const whoami = compileProgram('whoami')
const files = { '/who': { content: whoami, mode: 0o6755 } }
const who = async (options: RunOptions = {}) =>
  (await run(await hostImage(), ['/who'], { files, user: '1000:1000', ...options })).stdout.trim()

describe('a set-id program', () => {
  test('gives nothing', async () => {
    expect(await who()).toBe('uid 1000 gid 1000 capabilities 0')
    expect(await who({ security: { noNewPrivileges: false } })).toMatch(/^uid 0 gid 0 capabilities [^0]/)
  })

  test('of the host is none in a container, where it would be root’s there', async () => {
    const result = await run(await hostImage(), ['sh', '-c', 'grep " /usr " /proc/mounts'], { user: '1000' })
    expect(result.stdout).toMatch(/nosuid/)
  })

  test('with capabilities of its own gives none either', async () => {
    // CAP_SYS_CHROOT, permitted and effective (linux/capability.h, struct vfs_cap_data of revision 2).
    const cap = Buffer.from('0100000200000400000000000000000000000000', 'hex').toString('hex')
    const mark = `import os; os.setxattr("/who", "security.capability", bytes.fromhex("${cap}"))`
    const as = async (security: SecurityOptions) => {
      await using container = await Container.create(await hostImage(), {
        command: ['sleep', '1000'],
        files: { '/who': { content: whoami, mode: 0o755 } },
        security,
      })
      await container.start()
      expect((await container.exec(['python3', '-c', mark])).stderr).toBe('')
      return (await container.exec(['/who'], { user: 1000 })).stdout.trim()
    }
    expect(await as({})).toMatch(/capabilities 0$/)
    expect(await as({ noNewPrivileges: false })).toMatch(/capabilities 40000$/)
  })
})

describe('files of images and containers on the host', () => {
  const other = { uid: 65534, gid: 65534 }
  const reaches = (at: string) => spawnSync('stat', [at], other).status === 0

  testIf(!isRoot && 'others are needed to reach for them')(
    'cannot be executed by its other users: a set-id one would make them root (CVE-2021-41103)',
    async () => {
      const tar = archive({ name: 'who', mode: 0o6755, data: whoami })
      const image = await Image.fromRootfs(tar)
      const unpacked = path.join((await image.rootfs()).lower[0] as string, 'who')
      expect(statSync(unpacked).mode & 0o7777).toBe(0o6755)
      expect(spawnSync(unpacked, other).error).toMatchObject({ code: 'EACCES' })
      // The file itself is dangerous: in the open it does what it says.
      const open = scratch()
      chmodSync(open, 0o755)
      cpSync(unpacked, path.join(open, 'who'))
      chownSync(path.join(open, 'who'), 0, 0)
      chmodSync(path.join(open, 'who'), 0o6755)
      expect(execFileSync(path.join(open, 'who'), other).toString()).toMatch(/^uid 0 gid 0/)
    },
  )

  testIf(!isRoot && 'others are needed to reach for them')(
    'of a container that is kept, too, and of what it was made of, where passwords are',
    async () => {
      await using container = await Container.create(await hostImage(), {
        command: ['sleep', '1000'],
        env: { PASSWORD: 'hidden' },
        files,
      })
      await container.start()
      const { data, run } = await owner()
      const written = path.join(data, 'containers', container.id, 'upper/who')
      const configuration = path.join(run, 'containers', container.id, 'config.json')
      expect(statSync(written).mode & 0o7777).toBe(0o6755)
      expect(readFileSync(configuration, 'utf8')).toContain('hidden')
      // Whoever sees the container's process knows the names of both.
      expect(readFileSync(`/proc/${container.pid}/cgroup`, 'utf8')).toContain(container.id)
      expect(spawnSync(written, other).error).toMatchObject({ code: 'EACCES' })
      expect(reaches(configuration)).toBe(false)
    },
  )

  testIf(noBusybox || (!isRoot && 'others are needed to reach for them'))(
    'of a build and of its caches, whose names follow from their ids',
    async () => {
      const image = await Image.fromRootfs(busyboxLayer())
      const context = scratch()
      writeFileSync(path.join(context, 'who'), whoami)
      const take = '--mount=type=bind,target=/w --mount=type=cache,id=set-id,target=/c'
      const text = `FROM base\nRUN ${take} cat /w/who > /c/who; busybox chmod 6755 /c/who; sleep 1\n`
      const building = Image.build({
        dockerfile: { text },
        context,
        contexts: { base: image },
        network: 'none',
        noCache: true,
      })
      const builds = path.join((await owner()).data, 'builds')
      await until(() => existsSync(builds) && readdirSync(builds).length > 0)
      expect(readdirSync(builds).filter((name) => reaches(`${path.join(builds, name)}/.`))).toEqual([])
      await building
      const cache = path.join(roots().data, 'cache-mounts', createHash('sha256').update('set-id').digest('hex'))
      expect(statSync(path.join(cache, 'content/who')).mode & 0o7777).toBe(0o6755)
      expect(spawnSync(path.join(cache, 'content/who'), other).error).toMatchObject({ code: 'EACCES' })
      await removeTree(cache)
    },
  )
})

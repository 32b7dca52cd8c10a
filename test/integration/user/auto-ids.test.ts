/** security.userns 'auto': ranges of ids across processes and their ends, and what keeps owners right on the way. */
import { type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, Image, run, Wait } from '../../../lib/index.js'
import { addon } from '../../../lib/native/addon.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { roots } from '../../../lib/util/roots.js'
import { busyboxImage, noBusybox } from '../../support/busybox-image.js'
import { isRoot, testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const asRoot = testIf(!isRoot && 'only root may give a range of ids')
const security = { userns: 'auto' as const }

afterAll(removeScratch)

/** A process that holds a container with a range, whose first id it prints. */
async function holder(): Promise<{ first: number; kill(): Promise<void> }> {
  const script = `
    import { Container, Image } from './dist/index.js'
    import { readFileSync } from 'node:fs'
    const container = await Container.create(await Image.host(), { command: ['sleep', '1000'], security: { userns: 'auto' } })
    await container.start()
    console.log(readFileSync('/proc/' + container.pid + '/uid_map', 'utf8').trim().split(/\\s+/)[1])`
  const options: SpawnOptions = { stdio: ['ignore', 'pipe', 'inherit'], env: process.env }
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], options)
  const [data] = await once(child.stdout as NodeJS.ReadableStream, 'data')
  return {
    first: Number(String(data).trim()),
    async kill() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

asRoot(
  'processes never share a range, and a killed one gives its own back',
  async () => {
    const holders = await Promise.all([1, 2, 3].map(holder))
    const firsts = holders.map(({ first }) => first).sort((a, b) => a - b)
    for (const [i, first] of firsts.slice(1).entries())
      expect(first - (firsts[i] as number)).toBeGreaterThanOrEqual(65536)
    const file = (first: number) => path.join(roots().run, 'ids', String(first))
    for (const { first } of holders) expect(await addon().lock(file(first), true, false)).toBe(-1)
    await Promise.all(holders.map(({ kill }) => kill()))
    for (const { first } of holders) {
      const lock = await addon().lock(file(first), true, false)
      expect(lock).toBeGreaterThanOrEqual(0)
      addon().closeFd(lock)
    }
  },
  30_000,
)

testIf((!isRoot && 'only root may give a range of ids') || noBusybox)(
  'what is committed has the owners that the container saw, not those on disk',
  async () => {
    const script = 'mkdir /made && touch /made/root /made/user && chown 1000:1001 /made/user && chmod 4755 /made/root'
    const box = 'docker.io/library/box:1'
    await storeImage((await imageRoots()).store, busyboxImage(), box)
    try {
      for (const storage of ['disk', 'memory'] as const) {
        const options = { command: ['sh', '-c', `${script} && touch /all; sleep 1000`], security, storage }
        const container = await Container.create(box, options)
        await container.start()
        await container.waitFor(Wait.command(['stat', '/all']))
        const image = await container.commit({ tag: 'box:2' })
        await container.remove({ force: true })
        // In another range, and in none.
        for (const other of [{ security }, {}]) {
          const { stdout } = await run(image, ['stat', '-c', '%u:%g %a', '/made/root', '/made/user'], other)
          expect(stdout).toBe('0:0 4755\n1000:1001 644\n')
        }
      }
    } finally {
      for (const each of await Image.list()) await each.remove({ force: true })
    }
  },
)

asRoot('a bind belongs to nobody there, unless it is mapped', async () => {
  const source = path.join(scratch(), 'shared')
  mkdirSync(source)
  writeFileSync(path.join(source, 'file'), 'x')
  for (const each of [source, path.join(source, 'file')]) chownSync(each, 0, 0)
  const look = ['sh', '-c', 'stat -c %u /data/file; touch /data/made 2>/dev/null || echo refused']
  const bind = { type: 'bind' as const, source, target: '/data' }
  const plain = await run(await Image.host(), look, { mounts: [bind], security })
  expect(plain.stdout).toBe('65534\nrefused\n')

  const container = await Container.create(await Image.host(), {
    command: ['sleep', '1000'],
    mounts: [{ ...bind, idmap: true }],
    security,
  })
  try {
    await container.start()
    // Root of the container is still nobody on the host.
    expect(readFileSync(`/proc/${container.pid}/status`, 'utf8')).not.toMatch(/^Uid:\s+0\s/m)
    expect((await container.exec(look)).stdout).toBe('0\n')
    expect(statSync(path.join(source, 'made')).uid).toBe(0)
  } finally {
    await container.remove({ force: true })
  }
})

asRoot('files that are put in, injected and taken out keep the owners of the container', async () => {
  const container = await Container.create(await Image.host(), {
    command: ['sleep', '1000'],
    files: { '/injected': { content: 'x', uid: 12, gid: 13 } },
    security,
  })
  try {
    await container.start()
    await container.fs.writeFile('/written', 'x')
    await container.fs.chown('/written', 1000, 1001)
    await expect(container.fs.chown('/written', 1_000_000, 0)).rejects.toMatchObject({
      stage: 'files: /written',
      hint: expect.stringContaining('/etc/subuid'),
      cause: { code: 'EINVAL', syscall: 'chown' },
    })
    const { stdout } = await container.exec(['stat', '-c', '%u:%g', '/injected', '/written'])
    expect(stdout).toBe('12:13\n1000:1001\n')
    const { uid, gid } = await container.fs.stat('/written')
    expect([uid, gid]).toEqual([1000, 1001])
  } finally {
    await container.remove({ force: true })
  }
})

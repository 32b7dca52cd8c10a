/** Descriptors of the host, and directories that they lead to, left open for a container. */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { Container, Image, Pool, run } from '../../lib/index.js'
import { hostImage, python } from '../support/attack.js'
import { hostileRoot } from '../support/naive.js'
import { isRoot, testIf } from '../support/needs.js'
import { removeScratch } from '../support/tree.js'

afterAll(removeScratch)

/** Threads that open directories, sockets and pipes all the time, as careless addons do: not closed on execution. */
const LEAK = `
const fs = require('node:fs'), net = require('node:net')
const kept = []
const again = () => {
  for (let i = 0; i < 40; i++) kept.push(fs.openSync(['/etc', '/etc/passwd', '/', '/dev/null'][i % 4], 'r'))
  if (kept.length > 400) for (const fd of kept.splice(0, 200)) fs.closeSync(fd)
  setImmediate(again)
}
net.createServer().listen(0, '127.0.0.1', again)
`

const LOOK = `
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
names = [os.readlink("/proc/self/fd/%d" % fd) for fd in fds[:3]]
print(fds[:-1], all(name.startswith(("pipe:", "/dev/null", "/dev/pts", "socket:")) for name in names))`

describe('descriptors that the owner has open', () => {
  let workers: Worker[]
  beforeAll(() => {
    workers = Array.from({ length: 8 }, () => new Worker(LEAK, { eval: true }))
  })
  afterAll(async () => {
    await Promise.all(workers.map((worker) => worker.terminate()))
  })

  test('come to no program, however it is started and whoever opens some meanwhile (CVE-2016-9962)', async () => {
    const image = await hostImage()
    const own = Array.from({ length: 300 }, () => openSync('/etc', 'r'))
    await using container = await Container.create(image, { command: ['sleep', '1000'] })
    await container.start()
    await using pool = new Pool(image, { size: 2 })
    const results = await Promise.all(
      Array.from({ length: 12 }, () => [
        run(image, python(LOOK)),
        run(image, python(LOOK), { init: true }),
        container.exec(python(LOOK)),
        pool.run(python(LOOK)),
      ]).flat(),
    )
    for (const { stdout, stderr } of results)
      expect({ stdout, stderr }).toEqual({ stdout: '[0, 1, 2] True\n', stderr: '' })
    // Nor to the first program of a container, or the one that reaps for it.
    const others = `
for pid in ("1", "2"):
    try: print(sorted(os.listdir("/proc/" + pid + "/fd"))[:4])
    except PermissionError: print([])`
    const { stdout } = await run(image, python(others), { init: true })
    for (const line of stdout.trim().split('\n'))
      expect(["['0', '1', '2']", "['0', '1', '2', '3']", '[]']).toContain(line)
    for (const fd of own) closeSync(fd)
  })
})

describe('a working directory among descriptors (CVE-2024-21626)', () => {
  const climb = 'ls ../../../../../../../../etc/shadow ../../../../../../../../outside-of-it 2>/dev/null; pwd -P'

  test('is none, by the image, the options, or for an exec', async () => {
    const own = Array.from({ length: 30 }, () => openSync('/', 'r'))
    const { root } = hostileRoot()
    await using container = await Container.create(await Image.fromRootfs(root), { command: ['/bin/sleep', '1000'] })
    await container.start()
    for (let fd = 0; fd < 40; fd++)
      for (const at of [`/proc/self/fd/${fd}`, `/proc/1/fd/${fd}/etc`]) {
        const image = await Image.fromRootfs(root, { WorkingDir: at })
        for (const attempt of [
          () => run(image, ['/bin/sh', '-c', climb]),
          () => run(image, ['/bin/sh', '-c', climb], { workdir: at }),
          () => container.exec(['/bin/sh', '-c', climb], { workdir: at }),
        ])
          await expect(attempt()).rejects.toMatchObject({ code: 'ERR_CAISSON_ROOTFS' })
      }
    for (const fd of own) closeSync(fd)
  })

  testIf(!isRoot && 'only root changes its root')('leads out of a root where it is entered by name', async () => {
    const { root } = hostileRoot((root) => {
      mkdirSync(path.join(root, 'proc'))
      writeFileSync(path.join(root, '../outside-of-it'), '')
    })
    const fd = openSync(path.dirname(root), 'r')
    const script = 'mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh -c "cd /proc/self/fd/7 && /bin/ls"'
    const stdio = ['ignore', 'pipe', 'pipe', 'ignore', 'ignore', 'ignore', 'ignore', fd] as const
    const { stdout } = spawnSync('unshare', ['-m', 'sh', '-c', script, root], { stdio: [...stdio], encoding: 'utf8' })
    closeSync(fd)
    expect(stdout).toContain('outside-of-it')
  })
})

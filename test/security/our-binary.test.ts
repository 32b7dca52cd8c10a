/** Programs of the host that enter a container, overwritten from inside of it (CVE-2019-5736). */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Container, type CreateOptions } from '../../lib/index.js'
import { begun, hostImage, ourFiles, python, WEAK } from '../support/attack.js'
import { isRoot, testIf } from '../support/needs.js'
import { removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)

const digest = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

/**
 * Holds the file of every program that comes by, and writes to it as soon as it may: while it runs that is ETXTBSY. The
 * program that comes in is given itself to execute, so that it stays a while.
 */
const OVERWRITE = `
import fcntl, json
kept, outcome = {}, {}
def note(name, what): outcome.setdefault(name, {})[what] = True
print("watching")
while not os.path.exists("/stop"):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in ("1", str(os.getpid())): continue
        try:
            fd = os.open("/proc/%s/exe" % pid, os.O_PATH)
            name = os.readlink("/proc/self/fd/%d" % fd)
            if name not in kept and ("canary" in name or "memfd" in name): kept[name] = fd
            else: os.close(fd)
        except OSError as error: note("any", errno.errorcode[error.errno])
    for name, fd in kept.items():
        try:
            w = os.open("/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_APPEND)
            os.write(w, b"overwritten")
            note(name, "done")
        except OSError as error: note(name, errno.errorcode[error.errno])
print(json.dumps({name: sorted(what) for name, what in outcome.items()}))`

interface Attacked {
  container: Container
  finish: () => Promise<Record<string, string[]>>
}

async function attacked(options: CreateOptions): Promise<Attacked> {
  const container = await Container.create(await hostImage(), {
    command: ['sleep', '1000'],
    files: { '/self': { content: '#!/proc/self/exe\n', mode: 0o755 } },
    ...options,
  })
  await container.start()
  const watcher = container.exec(python(OVERWRITE))
  await begun(watcher)
  const finish = async () => {
    await container.exec(['touch', '/stop'])
    const { stdout, stderr } = await watcher
    await container.remove({ force: true })
    expect(stderr).toBe('')
    return JSON.parse(stdout.split('\n')[1] as string) as Record<string, string[]>
  }
  return { container, finish }
}

describe('the file of a program that enters a container (CVE-2019-5736)', () => {
  testIf(!isRoot && 'nsenter is no way into the namespaces of an ordinary user’s container')(
    'is overwritten where it is the host’s, and the container may trace everything',
    async () => {
      const canary = path.join(scratch(), 'canary')
      copyFileSync('/usr/bin/nsenter', canary)
      chmodSync(canary, 0o755)
      const before = digest(canary)
      const { container, finish } = await attacked(WEAK)
      const pid = String(container.pid)
      for (let round = 0; round < 50 && digest(canary) === before; round++)
        spawnSync(canary, ['-t', pid, '-m', '-p', 'sleep', '0.05'])
      const outcome = await finish()
      expect(Object.values(outcome).flat()).toContain('done')
      expect(digest(canary)).not.toBe(before)
    },
  )

  test.each<[string, CreateOptions]>([
    ['by default', {}],
    ['even there', WEAK],
  ])('is not when it is ours: %s', async (_name, options) => {
    const before = ourFiles()
    const { container, finish } = await attacked(options)
    for (let round = 0; round < 30; round++) {
      await container.exec(['/self'])
      await container.exec(['/proc/self/exe', 'x'])
      await container.exec(['true'])
    }
    const outcome = await finish()
    expect(Object.values(outcome).flat()).not.toContain('done')
    for (const name of Object.keys(outcome)) expect(['any', '/memfd:caisson-init (deleted)']).toContain(name)
    expect(ourFiles()).toEqual(before)
  })

  test.each<[string, Record<string, string>]>([
    ['the program is itself', { '/entry': '#!/proc/self/exe\n' }],
    ['the program’s interpreter is a link to itself', { '/entry': '#!/link\n' }],
  ])('starts nothing of ours where %s', async (_name, scripts) => {
    const before = ourFiles()
    const files = Object.fromEntries(Object.entries(scripts).map(([at, content]) => [at, { content, mode: 0o755 }]))
    await using container = await Container.create(await hostImage(), { command: ['/entry'], files })
    await container.fs.symlink('/proc/self/exe', '/link')
    await container.start()
    // What it is then is the init program, which has been told nothing.
    expect((await container.wait()).exitCode).toBe(125)
    expect(ourFiles()).toEqual(before)
  })
})

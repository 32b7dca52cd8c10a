/** Descriptors of the host, and directories that they lead to, left open for a container. */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { hostileRoot } from '../support/naive.js'
import { isRoot, testIf } from '../support/needs.js'
import { compileLibrary } from '../support/program.js'
import { removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)

const LOOK = `
import os
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
names = [os.readlink("/proc/self/fd/%d" % fd) for fd in fds[:3]]
print(fds[:-1], all(name.startswith(("pipe:", "/dev/null", "/dev/pts", "socket:")) for name in names))`

/** Of the first program of a container, and of the one that reaps for it. */
const OTHERS = `
import os
for pid in ("1", "2"):
    try: print(sorted(os.listdir("/proc/" + pid + "/fd"))[:4])
    except PermissionError: print([])`

/** What an owner tells whose descriptors are not closed on execution (test/support/leaky.mjs). */
function leaky<T>(...args: string[]): T {
  const library = path.join(scratch(), 'leaks.so')
  writeFileSync(library, compileLibrary('leaks'))
  const script = path.resolve(__dirname, '../support/leaky.mjs')
  const env = { ...process.env, LOOK, OTHERS }
  const options = { env, encoding: 'utf8', timeout: 60_000, killSignal: 'SIGKILL' } as const
  const { stdout, stderr, signal } = spawnSync(process.execPath, [script, library, ...args], options)
  expect([signal, stderr]).toEqual([null, ''])
  return JSON.parse(stdout)
}

describe('descriptors that the owner has open', () => {
  test('come to no program, however it is started and whoever opens some meanwhile (CVE-2016-9962)', () => {
    const { inside, others, child } = leaky<{ inside: string[]; others: string; child: string }>()
    expect([inside.length, ...new Set(inside)]).toEqual([48, '[0, 1, 2] True\n'])
    for (const line of others.trim().split('\n'))
      expect(["['0', '1', '2']", "['0', '1', '2', '3']", '[]']).toContain(line)
    // Any other child of that process has hundreds of them.
    expect(child.split(',').length).toBeGreaterThan(200)
  }, 70_000)
})

describe('a working directory among descriptors (CVE-2024-21626)', () => {
  test('is none, by the image, the options, or for an exec', () => {
    expect(leaky(hostileRoot().root)).toEqual({ ERR_CAISSON_ROOTFS: 240 })
  }, 70_000)

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

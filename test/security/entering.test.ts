/**
 * A program that enters a running container is for a moment a process of ours: whoever is in there already must get
 * nothing out of it, neither memory nor descriptors nor its root.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, type CreateOptions, run } from '../../lib/index.js'
import { begun, hostImage, ourFiles, python } from '../support/attack.js'
import { isRoot } from '../support/needs.js'

/**
 * Looks at every process that is not its own as fast as it can, and notes what it got of ours: not of the program's. That
 * of another container has another root too: the host's is where the canary is.
 */
const watch = (canary: string, beside: boolean) => `
import json
def host(at): return os.path.exists(at + "${canary}")
BESIDE = ${beside ? 'True' : 'False'}
ROOT = ${isRoot ? 'True' : 'False'}
got, seen, me = {}, 0, str(os.getpid())
def note(what, is_ours):
    if is_ours: got[what] = got.get(what, 0) + 1
def same(one, other):
    one, other = os.stat(one), os.stat(other)
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
def link(at):
    try: return os.readlink(at)
    except PermissionError: return "denied"
def ours(base): return "memfd:caisson" in open(base + "maps").read()
def exe(base):
    fd = os.open(base + "exe", os.O_RDONLY)
    note("exe", "memfd:caisson" in os.readlink("/proc/self/fd/%d" % fd))
    os.close(fd)
def fds(base):
    for fd in os.listdir(base + "fd"): note("fd", "memfd" in os.readlink(base + "fd/" + fd))
def trace(base):
    if call("ptrace", 0x4206, int(base.split("/")[2]), 0, 0) >= 0: note("ptrace", ours(base))
def memory(base):
    os.close(os.open(base + "mem", os.O_RDWR))
    note("mem", ours(base))
def environ(base):
    open(base + "environ", "rb").read()
    note("environ", ours(base))
# A word of ours, to a place of theirs, from an address where nothing is: only who may not is told so.
iov = (ctypes.c_uint64 * 4)(ctypes.addressof(ctypes.create_string_buffer(8)), 8, 4096, 8)
def copied(name):
    def look(base):
        answer = call(name, int(base.split("/")[2]), ctypes.byref(iov), 1, ctypes.byref(iov, 16), 1, 0)
        if answer not in (-errno.EPERM, -errno.ESRCH): note(name, ours(base))
    return look
def taken(base):
    pidfd = call("pidfd_open", int(base.split("/")[2]), 0)
    for fd in range(3, 8):
        if call("pidfd_getfd", pidfd, fd, 0) >= 0: note("pidfd_getfd", ours(base))
    if pidfd >= 0: os.close(pidfd)
def rights(base):
    status = open(base + "status").read()
    note("rights", ROOT and link(base + "exe") in ("denied", "/memfd:caisson-init (deleted)") and int(status.split("CapPrm:")[1].split()[0], 16) >> 21 & 1)
looks = [
    lambda base: BESIDE or rights(base),
    memory,
    environ,
    copied("process_vm_readv"),
    copied("process_vm_writev"),
    taken,
    lambda base: note("maps", ours(base)),
    exe,
    lambda base: note("root", host(base + "root") if BESIDE else not same(base + "root/etc", "/etc")),
    lambda base: note("cwd", host(base + "cwd") if BESIDE else not same(base + "cwd", "/")),
    fds,
    trace,
]
print("watching")
while not os.path.exists("/stop"):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in ("1", me): continue
        base = "/proc/" + pid + "/"
        try: is_ours = link(base + "exe") in ("denied", "/memfd:caisson-init (deleted)")
        except OSError: continue
        if not is_ours: continue
        seen += 1
        for look in looks:
            try: look(base)
            except OSError: pass
    # What was traced is let go.
    try:
        while os.waitpid(-1, os.WNOHANG | 0x40000000)[0]: pass
    except OSError: pass
print(json.dumps({"seen": seen, "got": got}))`

interface Watched {
  seen: number
  got: Record<string, number>
}

const canary = path.join(mkdtempSync(path.join(tmpdir(), 'caisson-canary-')), 'file')
beforeAll(() => writeFileSync(canary, ''))
afterAll(() => rmSync(path.dirname(canary), { recursive: true }))

/** While programs are executed there, or, with `beside`, other containers are started in its pid namespace. */
async function watched(options: CreateOptions, times: number, beside = false): Promise<Watched> {
  const image = await hostImage()
  const enter = (container: Container): PromiseLike<unknown> =>
    beside ? run(image, ['true'], { namespaces: { pid: container }, timeout: 20_000 }) : container.exec(['true'])
  await using container = await Container.create(image, { command: ['sleep', '1000'], ...options })
  await container.start()
  const watcher = container.exec(python(watch(canary, beside)))
  await begun(watcher)
  for (let i = 0; i < times; i++) await enter(container)
  await container.exec(['touch', '/stop'])
  const { stdout, stderr } = await watcher
  expect(stderr).toBe('')
  return JSON.parse(stdout.split('\n')[1] as string)
}

describe('a program that enters', () => {
  test('ends for us, whoever in the container traces it and waits for nothing', async () => {
    await using container = await Container.create(await hostImage(), { command: ['sleep', '1000'] })
    await container.start()
    const tracer = container.exec(
      python(`
print("tracing")
while True:
    for pid in os.listdir("/proc"):
        if pid.isdigit() and pid not in ("1", str(os.getpid())): call("ptrace", 0x4206, int(pid), 0, 0)`),
    )
    await begun(tracer)
    expect(await container.exec(python('import time; time.sleep(0.3); os._exit(7)'))).toMatchObject({
      exitCode: 7,
      reason: 'exit',
    })
    expect(await container.exec(['sleep', '1000'], { timeout: 300 })).toMatchObject({ reason: 'timeout' })
    tracer.kill()
    await tracer
  }, 15_000)

  test('gives nothing away (CVE-2016-9962), and our files stay as they are', async () => {
    const before = ourFiles()
    // What it looks for is there for some ten microseconds.
    let seen = 0
    for (let more = 0; more < 5 && seen === 0; more++) {
      const look = await watched({}, 100)
      expect(look.got).toEqual({})
      seen = look.seen
    }
    expect(seen).toBeGreaterThan(0)
    expect(ourFiles()).toEqual(before)
  })

  test('cannot be hidden from one who may trace everything: then it holds nothing of the host', async () => {
    const security = { capabilities: { add: ['SYS_PTRACE'] }, seccomp: 'unconfined' as const }
    const before = ourFiles()
    let { got } = await watched({ security }, 100)
    // An ordinary user's comes from outside of the container's user namespace, where the right is none.
    if (!isRoot) return expect(got).toEqual({})
    const allowed = ['maps', 'exe', 'environ', 'mem', 'process_vm_readv']
    // What it looks at is gone after some microseconds: one look or the other may come too late a hundred times.
    for (let more = 0; more < 4 && allowed.some((look) => !(look in got)); more++)
      got = { ...got, ...(await watched({ security }, 100)).got }
    expect(Object.keys(got)).toEqual(expect.arrayContaining(allowed))
    // Of a sealed memory file, and no way out: neither a root, nor a right that it has not itself.
    for (const look of ['root', 'cwd', 'rights']) expect(Object.keys(got)).not.toContain(look)
    expect(ourFiles()).toEqual(before)
  })
})

describe('a container that is started among the processes of another', () => {
  test('gives nothing away while it is set up, and our files stay as they are', async () => {
    const before = ourFiles()
    const { seen, got } = await watched({}, 25, true)
    expect(got).toEqual({})
    expect(seen).toBeGreaterThan(0)
    expect(ourFiles()).toEqual(before)
  })

  test('does to one who may trace everything, which has to be asked for', async () => {
    const security = { capabilities: { add: ['SYS_PTRACE'] }, seccomp: 'unconfined' as const }
    let { got } = await watched({ security }, 25, true)
    if (!isRoot) return expect(got).toEqual({})
    for (let more = 0; more < 4 && !('maps' in got); more++) got = (await watched({ security }, 25, true)).got
    expect(Object.keys(got)).toContain('maps')
  })
})

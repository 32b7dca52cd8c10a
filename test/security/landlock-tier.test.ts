/**
 * Programs without namespaces: what Landlock, the filter and the guard keep them from. Each attack is also run on the
 * host by the owner itself, where it must succeed.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { python } from '../support/attack.js'
import { isRoot } from '../support/needs.js'
import { commandWithin, NO_NAMESPACES, type OuterOptions, within } from '../support/outer.js'
import { alive, unusual } from '../support/processes.js'
import { until } from '../support/until.js'

/** Who the owner is: root makes its programs other users, anybody else cannot. */
const OWNERS: Array<[who: string, options: OuterOptions]> = isRoot
  ? [
      ['root', {}],
      ['another user', { uid: 64_321 }],
    ]
  : [['this user', {}]]

const forbid = NO_NAMESPACES

/**
 * Runs an attack in a sandbox and by the owner on the host; what both print, line by line. It is made upon files of the
 * test alone: VICTIM, a directory that the sandbox has not, and SHOWN, one that it may read.
 */
async function both(attack: string, options: OuterOptions, more = ''): Promise<{ kept: string[]; free: string[] }> {
  const script = `
import { execFileSync, execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
const home = mkdtempSync(process.env.HOME + '/victim-')
writeFileSync(home + '/secret', 'secret', { mode: 0o600 })
chmodSync(home, 0o755)
const shown = mkdtempSync(process.env.HOME + '/shown-')
writeFileSync(shown + '/file', 'file', { mode: 0o755 })
chmodSync(shown, 0o755)
const listen = (path) => new Promise((resolve) => { const server = createServer((s) => s.on('error', () => 0)).listen(path, () => resolve(server)) })
const servers = [await listen(home + '/socket'), await listen('\\0caisson-' + process.pid), await listen({ port: 0, host: '127.0.0.1' })]
const env = { VICTIM: home, SHOWN: shown, OWNER: String(process.pid), PORT: String(servers[2].address().port) }
const [file, ...args] = ${JSON.stringify(python(attack))}
const lines = (text) => text.trim().split('\\n')
const { stdout, stderr, exitCode } = await run(await Image.host(), [file, ...args], {
  env, timeout: 20_000, security: { require: 'landlock' },
  mounts: [{ type: 'bind', source: shown, target: shown, readOnly: true }], ${more} })
if (exitCode !== 0) throw new Error(stderr)
const kept = lines(stdout)
const free = lines((await promisify(execFile)(file, args, { env: { ...env, PATH: '/usr/bin:/bin' }, cwd: home })).stdout)
for (const server of servers) server.close()
show({ kept, free })`
  return within(script, { forbid, ...options })
}

describe.each(OWNERS)('a program of %s, in Landlock and a filter alone,', (_, options) => {
  test('reads, lists, changes and makes no file of its owner', async () => {
    const { kept, free } = await both(
      `
v = os.environ["VICTIM"]
print(tried(lambda: open(v + "/secret").read()))
print(tried(lambda: os.listdir(v)))
print(tried(lambda: open(v + "/secret", "w").close()))
print(tried(lambda: open(v + "/new", "w").close()))
print(tried(lambda: os.truncate(v + "/secret", 0)))
print(tried(lambda: os.link(v + "/secret", "stolen")))
print(tried(lambda: os.rename(v + "/secret", v + "/moved")))
print(tried(lambda: os.mkdir(v + "/directory")))`,
      options,
    )
    expect(free).toEqual(free.map(() => 'done'))
    expect(kept).not.toContain('done')
  })

  test('changes no mode, owner, time or attribute of a file of its owner', async () => {
    const { kept, free } = await both(
      `
v = os.environ["VICTIM"] + "/secret"
print(tried(lambda: os.chmod(v, 0o777)))
print(tried(lambda: os.utime(v, (1, 1))))
print(tried(lambda: os.setxattr(v, "user.x", b"y")))
print(tried(lambda: os.chown(v, os.getuid(), os.getgid())))`,
      options,
    )
    expect(free).toEqual(free.map((word, i) => (i === 2 ? word : 'done')))
    expect(kept).not.toContain('done')
  })

  test('changes nothing of what it may read either', async () => {
    const { kept, free } = await both(
      `
import fcntl
def on(path, work):
    fd = os.open(path, os.O_RDONLY)
    try: work(fd)
    finally: os.close(fd)
shown = os.environ["SHOWN"]
file = shown + "/file"
print(len(open(file).read()) == 4 and os.listdir(shown) == ["file"])
for path in (file, shown):
    print(tried(lambda: os.chmod(path, 0o755)))
    print(tried(lambda: on(path, lambda fd: os.fchmod(fd, 0o755))))
    print(tried(lambda: on(path, lambda fd: os.utime(fd))))
    print(tried(lambda: on(path, lambda fd: os.setxattr(fd, "user.x", b"y"))))
print(tried(lambda: os.truncate(file, 4)))
print(tried(lambda: os.close(os.open(file, 3 | os.O_TRUNC))))
print(tried(lambda: os.close(os.open(file, os.O_RDONLY | os.O_TRUNC))))`,
      options,
    )
    expect([kept.shift(), free.shift()]).toEqual(['True', 'True'])
    expect(free.filter((word) => word !== 'done' && word !== 'EOPNOTSUPP')).toEqual([])
    expect(kept).not.toContain('done')
  })

  test('signals, limits, slows and looks into no process of its owner', async () => {
    const { kept, free } = await both(
      `
import resource
p = int(os.environ["OWNER"])
print(tried(lambda: os.kill(p, 0)))
print(tried(lambda: resource.prlimit(p, resource.RLIMIT_CORE, resource.prlimit(p, resource.RLIMIT_CORE))))
print(tried(lambda: os.setpriority(os.PRIO_PROCESS, p, os.getpriority(os.PRIO_PROCESS, p))))
print(tried(lambda: os.sched_setaffinity(p, os.sched_getaffinity(p))))
print(tried(lambda: open("/proc/%d/environ" % p).read()))
print(tried(lambda: open("/proc/%d/cmdline" % p).read()))
print(tried(lambda: os.listdir("/proc")))
print(tried(lambda: os.listdir("/proc/%d/root/" % p)))`,
      options,
    )
    expect(free).toEqual(free.map(() => 'done'))
    expect(kept).not.toContain('done')
  })

  test('traces no process of its owner', async () => {
    const { kept } = await both(
      `
p = int(os.environ["OWNER"])
PTRACE_SEIZE = 0x4206
print(word(call("ptrace", PTRACE_SEIZE, p, 0, 0)))
buffer = ctypes.create_string_buffer(16)
class Vector(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
v = Vector(ctypes.addressof(buffer), 16)
print(word(call("process_vm_readv", p, ctypes.byref(v), 1, ctypes.byref(v), 1, 0)))
fd = call("pidfd_open", p, 0)
print(word(call("pidfd_getfd", fd, 0, 0)) if fd >= 0 else word(fd))`,
      options,
    )
    expect(kept.join(' ')).not.toContain('done')
  })

  test('reaches no socket, by path, name, address or a pair', async () => {
    const { kept, free } = await both(
      `
import socket
v, port = os.environ["VICTIM"], int(os.environ["PORT"])
def unix(address): socket.socket(socket.AF_UNIX).connect(address)
print(tried(lambda: unix(v + "/socket")))
name = "\\0caisson-" + os.environ["OWNER"]
print(*sorted({tried(lambda: unix(each)) for each in (name, name.ljust(108, "\\0"))})[-1:])
print(tried(lambda: socket.create_connection(("127.0.0.1", port))))
print(tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))))
print(tried(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)))
print(tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)))
print(tried(lambda: socket.socketpair()))`,
      options,
    )
    expect(free).toEqual(free.map(() => 'done'))
    expect(kept.slice(0, -1)).not.toContain('done')
    expect(kept.at(-1)).toBe('done')
  })

  test('has TCP when the network is the host’s, and still no other socket', async () => {
    const { kept } = await both(
      `
import socket
v, port = os.environ["VICTIM"], int(os.environ["PORT"])
print(tried(lambda: socket.create_connection(("127.0.0.1", port))))
print(tried(lambda: socket.socket(socket.AF_UNIX).connect(v + "/socket")))
print(tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)))`,
      options,
      `network: 'host',`,
    )
    expect(kept[0]).toBe('done')
    expect(kept.slice(1)).not.toContain('done')
  })

  test('has no shared memory, queues, watches, rings or namespaces of others', async () => {
    const { kept } = await both(
      `
print(word(call("shmget", 0, 4096, 0o1600)), word(call("msgget", 0, 0o1600)), word(call("semget", 0, 1, 0o1600)))
print(word(call("mq_open", b"/caisson", 0o102, 0o600, 0)))
print(word(call("inotify_add_watch", call("inotify_init1", 0), os.environ["VICTIM"].encode(), 0xfff)))
print(word(call("io_uring_setup", 1, ctypes.create_string_buffer(512))))
print(word(call("unshare", 0x10000000)), word(call("keyctl", 0, -3, 0)))
print(tried(lambda: open("/dev/shm/x", "w").close()), tried(lambda: open("/tmp/x", "w").close()))
print(tried(lambda: open("/dev/tty", "w").close()))`,
      options,
    )
    expect(kept.join(' ')).not.toContain('done')
  })

  test('leaves nothing behind, however it hides', async () => {
    const [mark, free] = [unusual(), unusual()]
    const daemons = (mark: string) => `
import time
null = os.open("/dev/null", os.O_RDWR)
def daemon():
    if os.fork(): return
    for fd in range(3): os.dup2(null, fd)
    for leave in (os.setsid, lambda: os.setpgid(0, 0)):
        if os.fork(): os._exit(0)
        try: leave()
        except OSError: pass
    os.execvp("sleep", ["sleep", "${mark}"])
for i in range(20): daemon()
time.sleep(0.5)
print("hidden", flush=True)`
    // From one process to the next: gone whenever somebody has read its number.
    const hopper = `
if os.fork() == 0:
    for fd in range(3): os.dup2(null, fd)
    while True:
        if os.fork(): os._exit(0)
time.sleep(0.3)
print(os.fork() >= 0, flush=True)`
    const kept = await within<string>(
      `import { execFileSync } from 'node:child_process'
      const [file, ...args] = ${JSON.stringify(python(daemons(mark) + hopper))}
      const { stdout } = await run(await Image.host(), [file, ...args], { security: { require: 'landlock' }, timeout: 10_000 })
      execFileSync(file, ${JSON.stringify(python(daemons(free)).slice(1))}, { env: { PATH: '/usr/bin:/bin' } })
      show(stdout)`,
      { forbid, ...options },
    )
    expect(kept).toMatch(/hidden/)
    const left = alive(free)
    for (const pid of left) process.kill(Number(pid), 'SIGKILL')
    expect(left).toHaveLength(20)
    expect(alive(mark)).toEqual([])
  }, 60_000)

  test.each(['timeout', 'kill -9 of the owner'])('ends by %s with all that it has started', async (how) => {
    const mark = unusual()
    const code = `
import time
for i in range(10):
    if os.fork() == 0:
        try: os.setsid()
        except OSError: pass
        if os.fork(): os._exit(0)
        libc.prctl(1, 0)
        os.execvp("sleep", ["sleep", "${mark}"])
libc.prctl(1, 0)
print("started", flush=True)
time.sleep(1000)`
    const script = `
const program = run(await Image.host(), ${JSON.stringify(python(code))}, {
  security: { require: 'landlock' }, timeout: ${how === 'timeout' ? 1500 : 60_000} })
for await (const { data } of program) process.stdout.write(data)
show((await program).reason)`
    const { words, options: more, home } = commandWithin(script, { forbid, ...options })
    const owner = spawn(words[0] as string, words.slice(1), { ...more, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    owner.stdout.on('data', (data) => {
      output += data
    })
    // All have become `sleep`: before that the word is in the command lines of others.
    await until(() => output.includes('started') && alive(`sleep\0${mark}`).length === 10, 20_000)
    if (how !== 'timeout') owner.kill('SIGKILL')
    await new Promise((resolve) => owner.once('close', resolve))
    await until(() => alive(mark).length === 0, 3000)
    expect(alive(mark)).toEqual([])
    if (how === 'timeout') expect(output).toContain('"timeout"')
    const owners = `${home}/root/owners`
    await until(() => readdirSync(owners).length === 0, 3000)
    expect(readdirSync(owners)).toEqual([])
    expect(existsSync(`${home}/root/run/owners`) && readdirSync(`${home}/root/run/owners`)).toEqual([])
  })

  test('has no capabilities and can get none', async () => {
    const status = await within<string>(
      `const { stdout } = await run(await Image.host(), ['cat', '/proc/self/status'], { security: { require: 'landlock' } })
      show(stdout)`,
      { forbid, ...options },
    )
    expect(status).toMatch(/CapPrm:\s*0+\n/)
    expect(status).toMatch(/CapEff:\s*0+\n/)
    expect(status).toMatch(/NoNewPrivs:\s*1/)
  })
})

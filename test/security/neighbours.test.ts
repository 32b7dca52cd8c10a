/** Two containers side by side that try to meet. */
import { randomInt } from 'node:crypto'
import { Container } from '../../lib/index.js'
import { begun, hostImage, python } from '../support/attack.js'

describe('two containers', () => {
  let first: Container
  let second: Container
  beforeAll(async () => {
    const make = (options = {}) =>
      hostImage().then((image) => Container.create(image, { command: ['sleep', '1000'], ...options }))
    first = await make()
    await first.start()
    second = await make()
    await second.start()
  })
  afterAll(async () => {
    await first.remove({ force: true })
    await second.remove({ force: true })
  })
  const inOne = async (container: Container, code: string) => {
    const { stdout, stderr } = await container.exec(python(code))
    expect(stderr).toBe('')
    return stdout.trim()
  }

  /** Something that one leaves, and whether another finds it; and one that shares what it lies in. */
  const meeting = async (leave: string, find: string, shared: object) => {
    expect(await inOne(first, leave)).toBe('done')
    expect(await inOne(first, find)).toBe('done')
    await using partner = await Container.create(await hostImage(), { command: ['sleep', '1000'], ...shared })
    await partner.start()
    expect(await inOne(partner, find)).toBe('done')
    return inOne(second, find)
  }

  const key = randomInt(1, 2 ** 30)
  test('share no System V memory', async () => {
    const leave = `print(word(call("shmget", ${key}, 4096, 0o1666)))`
    const find = `print(word(call("shmget", ${key}, 0, 0)))`
    expect(await meeting(leave, find, { namespaces: { ipc: first } })).toBe('ENOENT')
  })

  test('share no message queues', async () => {
    const leave = `print(tried(lambda: open("/dev/mqueue/q${key}", "w").close()))`
    const find = `print(word(call("mq_open", b"q${key}", 0, 0, 0)))`
    expect(await meeting(leave, find, { namespaces: { ipc: first } })).toBe('ENOENT')
  })

  test('share no sockets without a file', async () => {
    const listening = first.exec(
      python(`import socket, time
s = socket.socket(socket.AF_UNIX); s.bind("\\0q${key}"); s.listen()
print("listening"); time.sleep(1000)`),
    )
    await begun(listening)
    const find = `import socket
print(tried(lambda: socket.socket(socket.AF_UNIX).connect("\\0q${key}")))`
    expect(await meeting('print("done")', find, { network: first })).toBe('ECONNREFUSED')
    listening.kill()
    await listening
  })

  test('see and signal none of each other’s processes', async () => {
    const marked = first.exec(['sleep', '4242'])
    const find = `
def sleeper():
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        try:
            if b"4242" in open("/proc/" + pid + "/cmdline", "rb").read().split(b"\\0"): return os.kill(int(pid), 0)
        except FileNotFoundError: pass
    raise OSError(errno.ESRCH, "")
print(tried(sleeper))`
    await marked.pid
    expect(await meeting('print("done")', find, { namespaces: { pid: first } })).toBe('ESRCH')
    marked.kill()
    await marked
  })

  test('share no writable files, and neither can write to what both read', async () => {
    const leave = 'print(tried(lambda: open("/tmp/left", "w").close()))'
    const find = 'print(tried(lambda: open("/tmp/left").close()))'
    expect(await meeting(leave, find, { namespaces: { mnt: first } })).toBe('ENOENT')
    expect(await inOne(first, 'print(tried(lambda: os.open("/usr/bin/env", os.O_WRONLY)))')).toMatch(/^(EROFS|EACCES)$/)
  })

  test('have names, clocks and networks of their own', async () => {
    const look = 'print(*(os.readlink("/proc/self/ns/" + n) for n in "pid mnt uts ipc net cgroup time".split()))'
    const [one, other] = await Promise.all([inOne(first, look), inOne(second, look)])
    const shared = one.split(' ').filter((namespace) => other.split(' ').includes(namespace))
    expect(shared).toEqual([])
  })
})

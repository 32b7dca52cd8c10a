// What a volume with a size holds, and what gets round it. CAISSON_ROOT lies on a file system with quotas of projects.
// Prints what happened as JSON. With the argument `brief`: without what another file system makes no difference to.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Container, Image, run, Volume } from '../../dist/index.js'

const MIB = 1 << 20
const target = '/data'
const brief = process.argv[2] === 'brief'
const image = await Image.host()
const seen = {}

const python = (script) => ['python3', '-c', script]
/** Writes until it is refused, or until four times the size is there. Prints bytes and the errno. */
const fillWith = (file) => `
import os
def fill():
    done = 0
    try:
        with open('${file}', 'wb', 0) as f:
            for _ in range(${(4 * 8 * MIB) / 65536}):
                done += f.write(b'x' * 65536)
        return done, 0
    except OSError as e:
        return done, e.errno
`
/** Gives the file system another idea of what belongs to the project; prints the errno of each way. */
const ESCAPE = `
import ctypes, fcntl, struct
libc = ctypes.CDLL(None, use_errno=True)
def attempt(call):
    try:
        call()
        return 0
    except OSError as e:
        return e.errno
def project(path, number, inherit):
    fd = os.open(path, os.O_RDONLY)
    now = bytearray(28)
    fcntl.ioctl(fd, 0x801c581f, now)
    flags, = struct.unpack_from('I', now, 0)
    struct.pack_into('I', now, 0, flags if inherit else flags & ~0x200)
    struct.pack_into('I', now, 12, number)
    fcntl.ioctl(fd, 0x401c5820, bytes(now))
def flags(path):
    fd = os.open(path, os.O_RDONLY)
    now = bytearray(8)
    fcntl.ioctl(fd, 0x80086601, now)
    number, = struct.unpack('l', now)
    fcntl.ioctl(fd, 0x40086602, struct.pack('l', number & ~0x20000000))
def upper_half():
    fd = os.open('${target}/own', os.O_RDONLY)
    if libc.syscall(16 if os.uname().machine == 'x86_64' else 29, fd, ctypes.c_ulong(0xdead0000401c5820), ctypes.create_string_buffer(28)) < 0:
        raise OSError(ctypes.get_errno(), '')
os.makedirs('${target}/own', exist_ok=True)
ways = [attempt(lambda: project('${target}/own', 0, False)), attempt(lambda: flags('${target}/own')), attempt(upper_half)]
`
const escapeScript = python(`${fillWith(`${target}/own/escaped`)}${ESCAPE}print(ways, *fill())`)

const told = async (command, options) => {
  const { stdout, stderr } = await run(image, command, options)
  return stdout.trim() || stderr.trim()
}

const volume = await Volume.create({ name: 'bounded', size: '8m' })
const mounts = [{ type: 'volume', source: 'bounded', target }]
seen.size = volume.size
seen.written = await told(python(`${fillWith(`${target}/file`)}print(*fill())`), { mounts })
seen.usage = (await volume.usage()).bytes
// Also by whoever is in the container later, and by who owns the file and is not root.
if (!brief) {
  // Landlock would keep the neighbour out.
  const security = { landlock: 'off' }
  const container = await Container.create(image, { mounts, security, command: ['sleep', '60'] })
  await container.start()
  const clear = ['sh', '-c', `rm -rf ${target}/* && chmod 1777 ${target} && echo clear`]
  seen.cleared = (await container.exec(clear)).stdout.trim()
  seen.escapeByExec = (await container.exec(escapeScript)).stdout.trim()
  await container.exec(clear)
  seen.escapeByUser = (await container.exec(escapeScript, { user: '1000' })).stdout.trim()
  await container.exec(clear)
  // In its namespace of processes its mounts are in reach.
  const shared = escapeScript.with(2, escapeScript[2].replaceAll(target, `/proc/1/root${target}`))
  seen.escapeByNeighbour = await told(shared, { namespaces: { pid: container }, security })
  await container.remove({ force: true })
}
const clear = () => run(image, ['sh', '-c', `rm -rf ${target}/*`], { mounts })
await clear()
seen.escapeByRun = await told(escapeScript, { mounts })
await clear()
if (!brief) {
  seen.escapeByUnconfined = await told(escapeScript, { mounts, security: { seccomp: 'unconfined' } })
  await clear()
  seen.escapeByInside = await told(escapeScript, { mounts, security: { userns: 'auto' } })
  await clear()
}
// Without the filter, as a bind of the same directory, every way is open.
seen.escapeWeakened = await told(escapeScript, { mounts: [{ type: 'bind', source: volume.path, target }] })
await clear()
const many = `
import os
made = 0
try:
    for made in range(5000): open('${target}/%d' % made, 'x').close()
except OSError as e:
    print(made, e.errno)
`
seen.files = await told(python(many), { mounts })

const refusal = (work) =>
  work.then(
    () => 'done',
    ({ code, message }) => `${code}: ${message}`,
  )
seen.otherSize = await refusal(Volume.create({ name: 'bounded', size: '9m' }))
seen.sameSize = await refusal(Volume.create({ name: 'bounded', size: 8 * MIB }))
await refusal(run(image, ['true'], { mounts: [{ type: 'volume', source: 'free', target }] }))
seen.unbounded = await refusal(run(image, ['true'], { mounts: [{ ...mounts[0], source: 'free', size: '8m' }] }))
seen.unnamed = await told(python(`${fillWith(`${target}/file`)}print(*fill())`), {
  mounts: [{ type: 'volume', target, size: '2m' }],
})
seen.left = (await Volume.list()).map(({ name }) => name)

/** The bounds that the file system has for a project, in blocks. */
const boundsOf = (project) =>
  execFileSync('python3', [
    '-c',
    `
import ctypes, os, struct
fd = os.open('${process.env.CAISSON_ROOT}', os.O_RDONLY)
quota = ctypes.create_string_buffer(112)
libc = ctypes.CDLL(None, use_errno=True)
Q_XGETQUOTA = (ord('X') << 8) + 3
if libc.syscall(443, fd, Q_XGETQUOTA << 8 | 2, ${project}, quota) < 0: print(0)
else: print(struct.unpack_from('Q', quota, 8)[0])
`,
  ])
    .toString()
    .trim()
const { quota } = JSON.parse(readFileSync(path.join(volume.path, '../volume.json'), 'utf8'))
seen.bounds = boundsOf(quota.project)
await volume.remove()
seen.boundsAfterwards = boundsOf(quota.project)
process.stdout.write(JSON.stringify(seen))

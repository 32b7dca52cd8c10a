// What is done while a system call fails. Each gives a text that is the same every time, unless something is different
// for the program inside.
import { readlinkSync } from 'node:fs'
import { Container, Image, Pool, run } from 'caisson'

const NAMESPACES = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']

/** All that protects a program, as it sees it itself. */
const LOOK = `
  grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|SigBlk|SigIgn|NSpid)' /proc/self/status
  while read -r id parent device root at options rest; do echo "$at $options \${rest#*- }"; done </proc/self/mountinfo
  for name in ${NAMESPACES.join(' ')}; do readlink /proc/self/ns/$name; done
  ls /proc/self/fd; cat /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj; umask; pwd; env
  ls -l /dev; cat /etc/passwd /file; hostname`

/** What differs between two containers is made the same. */
function normalise(text, id) {
  const own = NAMESPACES.map((name) => readlinkSync(`/proc/self/ns/${name}`))
  return text
    .replace(/^[a-z_]+:\[\d+\]$/gm, (link) => (own.includes(link) ? `the host's ${link}` : link.replace(/\d+/, 'own')))
    .replace(/(lowerdir|upperdir|workdir)=[^ ,]*/g, '$1')
    .replace(/\b[0-9a-f]{64}\b/g, 'ID')
    .replace(/\b[0-9a-f]{12}\b/g, 'ID')
    .replace(/^NSpid:.*$/m, 'NSpid')
    .replaceAll(id ?? '\0', 'ID')
    .replace(/ \w{3} +\d+ +\d\d:\d\d /g, ' ')
}

const OPTIONS = { limits: { memory: '64m', pids: 64 }, files: { '/file': 'content' }, hostname: 'host' }

const image = await Image.host()

let count = 0

/** A container's whole life, in one call. */
async function runOne() {
  // Options that are always new: otherwise the next container's room is made meanwhile, and taken for what is left.
  const options = { ...OPTIONS, stopTimeout: 10_000 + count++ }
  const { stdout, stderr, exitCode, reason } = await run(image, ['sh', '-c', LOOK], options)
  return normalise(`${stdout}${stderr}${exitCode} ${reason}`)
}

/** The same, where most of it was made before. */
async function room() {
  const { stdout, stderr, exitCode, reason } = await run(image, ['sh', '-c', LOOK], OPTIONS)
  return normalise(`${stdout}${stderr}${exitCode} ${reason}`)
}
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
/** Until the next one is. */
room.before = () => pause(50)
/** Until as many wait as ever may: later there are never more. */
room.warm = async () => {
  await Promise.all(Array.from({ length: 12 }, room))
  await pause(300)
}

let kept

/** A program beside another one, for which nothing was made before: its options are always new. */
async function exec() {
  return execWith({ workdir: `/${'./'.repeat(count++ % 200)}` })
}

/** The same, where a process waits for it. */
async function ahead() {
  return execWith({})
}
ahead.before = () => pause(50)
ahead.warm = async () => {
  await ahead()
  await Promise.all(Array.from({ length: 12 }, ahead))
  await pause(300)
}

async function execWith(options) {
  if (!kept) {
    kept = await Container.create(image, { ...OPTIONS, command: ['sleep', '1000'] })
    await kept.start()
  }
  const { stdout, stderr, exitCode, reason } = await kept.exec(['sh', '-c', LOOK], options)
  return normalise(`${stdout}${stderr}${exitCode} ${reason}`, kept.id)
}

/** A program that a container has waited for. */
async function pool() {
  const prepared = new Pool(image, { ...OPTIONS, size: 1 })
  try {
    await prepared.ready()
    const { stdout, stderr, exitCode, reason } = await prepared.run(['sh', '-c', LOOK])
    return normalise(`${stdout}${stderr}${exitCode} ${reason}`)
  } finally {
    await prepared[Symbol.asyncDispose]()
  }
}

/** A container that is kept: every step of its life. Whatever fails, it can be removed. */
async function life() {
  const container = await Container.create(image, {
    ...OPTIONS,
    command: ['sh', '-c', `${LOOK}; read line`],
    tty: false,
  })
  try {
    await container.start()
    await container.fs.writeFile('/written', 'text')
    const text = await container.fs.readFile('/written', 'utf8')
    await container.stop({ timeout: 0 })
    return text
  } finally {
    await container.remove({ force: true }).catch(async (error) => {
      await container.remove({ force: true })
      throw error
    })
  }
}

const LOOK_OUT = `
import socket
def tried(work):
    try: return work()
    except OSError: return 'nothing'
print(tried(lambda: socket.gethostbyname('name.test') != ''), tried(lambda: socket.gethostbyname('other.test')))
for place in ('name.test', 80), ('93.184.216.34', 80), ('2606:4700::1111', 80):
    print(tried(lambda: socket.create_connection(place, timeout=5).recv(1)))
print(socket.if_nameindex(), open('/etc/resolv.conf').read())`

/** A container with an egress policy, which denies. */
async function egress() {
  const policy = ({ protocol, host }) =>
    protocol === 'dns' && host === 'name.test' ? { rewrite: '127.0.0.1:9' } : 'deny'
  const { stdout, stderr, exitCode } = await run(image, ['sh', '-c', 'exec python3 -c "$0"', LOOK_OUT], {
    egress: policy,
  })
  return `${stdout}${stderr}${exitCode}`
}

export const OPERATIONS = { run: runOne, room, exec, ahead, pool, life, egress }

export async function end() {
  await kept?.remove({ force: true })
}

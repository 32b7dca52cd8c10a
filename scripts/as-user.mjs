// Runs a command as an ordinary user, from this checkout, with a part of every cgroup hierarchy of its own or without.
//   node scripts/as-user.mjs [--bare] [--machine] COMMAND [ARGUMENT...]
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(import.meta.dirname, '..')
const USER = 'caisson-test'

/** Its uid, gid and home. The account is made when it is missing; with it come its subordinate ids. */
export function account() {
  const find = () =>
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find(([name]) => name === USER)
  if (!find()) execFileSync('useradd', ['--create-home', '--shell', '/bin/sh', USER], { stdio: 'inherit' })
  const [, , uid, gid, , home] = find()
  return { uid, gid, home }
}

/** The directory of this process in each cgroup hierarchy. */
function ownCgroups() {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n')
  return readFileSync('/proc/self/cgroup', 'utf8')
    .trim()
    .split('\n')
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
    .filter(([, controllers]) => !controllers.startsWith('name='))
    .map(([, controllers, where]) => {
      const mount = mounts
        .map((line) => line.split(' '))
        .findLast((fields) => {
          const [type, , options] = fields.slice(fields.indexOf('-') + 1)
          if (controllers === '') return type === 'cgroup2'
          return type === 'cgroup' && controllers.split(',').every((name) => options.split(',').includes(name))
        })
      return mount && path.join(mount[4], mount[3] === '/' ? where : '/')
    })
    .filter((directory) => directory !== undefined)
}

/** `main` is where the command is; a v1 cpuset takes no process before it has processors and memory. */
function delegate(uid, gid) {
  return ownCgroups().map((own) => {
    const top = path.join(own, `${USER}-${process.pid}`)
    const main = path.join(top, 'main')
    for (const directory of [top, main]) {
      mkdirSync(directory)
      for (const name of ['cpuset.cpus', 'cpuset.mems']) {
        const above = path.join(directory, '..', name)
        if (existsSync(above) && readFileSync(above, 'utf8').trim())
          execFileSync('/bin/sh', ['-c', 'cat "$1" > "$2"', 'sh', above, path.join(directory, name)])
      }
    }
    const controllers = path.join(top, 'cgroup.controllers')
    if (existsSync(controllers))
      for (const name of readFileSync(controllers, 'utf8').trim().split(' ').filter(Boolean))
        spawnSync('/bin/sh', ['-c', `echo +${name} > "$1"`, 'sh', path.join(own, 'cgroup.subtree_control')])
    execFileSync('chown', ['-R', `${uid}:${gid}`, top])
    return top
  })
}

const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

/** Processes there, by number. What has ended already only waits for whoever is its parent now, and does not count. */
function running(directory) {
  const found = new Map()
  if (!existsSync(directory)) return found
  for (const pid of readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean))
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      if (command !== '') found.set(Number(pid), command)
    } catch {
      // It has ended by itself.
    }
  return found
}

/** Watchdogs have work to do when their owners have ended. */
const GRACE_MS = 5000

/** What the command has left running there, podman's pause process for one, is ended, and told. */
function endLeftovers(directories) {
  const all = () => new Map(directories.flatMap((directory) => [...running(directory)]))
  for (const end = Date.now() + GRACE_MS; all().size > 0 && Date.now() < end; ) pause(50)
  for (const [pid, command] of all()) {
    console.error(`left running by ${USER}: ${pid} ${command}`)
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}

/** From the deepest on. The kernel may need a moment after the last process; what is in use then is somebody's. */
function removeCgroup(directory) {
  if (!existsSync(directory)) return undefined
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeCgroup(path.join(directory, entry.name))
  for (let attempt = 0; ; attempt++)
    try {
      return rmdirSync(directory)
    } catch (error) {
      if (error.code === 'ENOENT') return undefined
      if (attempt === 20) return console.error(`${directory}: ${error.message}`)
      pause(100)
    }
}

/** Of others' directories a user may pass none; then the checkout is shown in another place, to this command alone. */
function reachable(uid, gid) {
  return (
    spawnSync('/bin/sh', ['-c', 'test -r package.json'], { cwd: root, uid: Number(uid), gid: Number(gid) }).status === 0
  )
}

/**
 * As spawnSync; `bare`: without cgroups. The command's working directory is the checkout. `setup` is done before, by
 * root, in a mount namespace of their own; `machine`: and in a network namespace, with a neighbour (test/support/machine.sh).
 * `around`: words before the command, a program of root's that starts it.
 */
export function spawnAsUser(command, { bare = false, machine = false, setup, around = [], ...options } = {}) {
  const { uid, gid, home } = account()
  const cgroups = bare ? [] : delegate(uid, gid)
  const elsewhere = reachable(uid, gid) ? undefined : mkdtempSync(path.join(tmpdir(), 'caisson-checkout-'))
  const script = `
    for directory in ${cgroups.map((top) => `'${top}/main'`).join(' ')}; do echo $$ > $directory/cgroup.procs || exit 125; done
    ${elsewhere ? `mount --bind '${root}' '${elsewhere}' && cd '${elsewhere}' || exit 125` : ''}
    ${machine ? `uid=${uid} gid=${gid}; . test/support/machine.sh` : ''}
    ${setup ?? ''}
    exec "$@"`
  const become = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
  const shell = ['/bin/sh', '-c', script, 'sh', ...around, ...become, ...command]
  const unshare = ['unshare', '--mount', '--propagation', 'private', ...(machine ? ['--net'] : [])]
  const [file, ...args] = elsewhere || setup || machine ? [...unshare, ...shell] : shell
  const env = { PATH: process.env.PATH, HOME: home, USER, LANG: process.env.LANG ?? 'C.UTF-8', ...options.env }
  try {
    return spawnSync(file, args, { cwd: root, ...options, env })
  } finally {
    endLeftovers(cgroups.map((top) => path.join(top, 'main')))
    for (const top of cgroups) removeCgroup(top)
    if (elsewhere) rmSync(elsewhere, { recursive: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const command = process.argv.slice(2)
  const flags = new Set()
  while (command[0]?.startsWith('--')) flags.add(command.shift())
  const options = { bare: flags.has('--bare'), machine: flags.has('--machine'), stdio: 'inherit' }
  const { status, error } = spawnAsUser(command, options)
  if (error) console.error(error.message)
  process.exit(status ?? 125)
}

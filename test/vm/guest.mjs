// Runs a command in a virtual machine with pure cgroup v2, with the project as it is now.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { describeArchitecture, qemu } from './architectures.mjs'
import { cacheDirectory, capture, findCommand, project, sweep, temporaryPath, Unavailable } from './cache.mjs'
import { foreignParts } from './foreign.mjs'
import { emptyDisk, initramfs, modulesDisk, packagesDisk, projectDisk } from './images.mjs'
import { kernel as chooseKernel } from './kernel.mjs'
import { accelerator, boot } from './qemu.mjs'
import { rootDisk } from './rootfs.mjs'

const TOOLS = { mke2fs: 'e2fsprogs', cpio: 'cpio', depmod: 'kmod', busybox: 'busybox-static', 'dpkg-deb': 'dpkg' }
const SWAP_MIB = 512
/** How long before the end the guest says what it is waiting for. The machine boots in less. */
const LAST_WORDS_S = 15

/**
 * Runs `command` (words) in the project's directory, as root or as `tester` (uid 1000, with subordinate ids and a
 * delegated cgroup). Its output goes to the streams `stdout` and `stderr`; what it writes to the directory
 * $CAISSON_VM_OUT is afterwards in `output`.
 *
 * `architecture`: x64 or arm64; this machine's own if none is given.
 *
 * Gives `{ exitCode, accelerator, kernel }`. Throws Unavailable when this machine cannot run it.
 */
export async function runInGuest(command, options = {}) {
  const {
    user = 'root',
    architecture: name = process.arch,
    timeoutMs = 480_000,
    memoryMib = 2048,
    stdout = process.stdout,
    stderr = process.stderr,
    output,
    signal,
  } = options
  const architecture = describeArchitecture(name)
  qemu(architecture)
  for (const [tool, name] of Object.entries(TOOLS))
    if (!findCommand(tool)) throw new Unavailable(`${tool} is not installed (Debian: ${name})`)
  if (user !== 'root' && user !== 'tester') throw new Error(`the guest has no user ${user}`)

  sweep()
  const parts = name === process.arch ? ownParts() : foreignParts(architecture)
  const { kernel, disks } = parts
  const directory = temporaryPath('run')
  mkdirSync(directory)
  const inside = (name) => path.join(directory, name)
  let interrupted
  try {
    disks.project = inside('project')
    projectDisk(disks.project, inside('project.d'))
    disks.swap = inside('swap')
    emptyDisk(disks.swap, SWAP_MIB)
    const limit = `${Math.max(1, timeoutMs / 1000 - LAST_WORDS_S)}\n`
    const script = `exec ${command.map(quote).join(' ')}\n`
    initramfs(parts, inside('initramfs'), inside('initramfs.d'), { project, user, limit, command: script })
    const shape = {
      architecture,
      kernel,
      initramfs: inside('initramfs'),
      memoryMib,
      disks,
      timeoutMs,
      signal,
      consoleFile: inside('console'),
    }
    const accelerated = accelerator(architecture, kernel, shape.initramfs)
    const ports = { stdout, stderr, files: inside('files'), status: inside('status') }
    const ended = await boot({ ...shape, accelerator: accelerated, ports })
    interrupted = ended.interrupted
    const told = path.join(cacheDirectory, 'console.log')
    if (existsSync(shape.consoleFile)) renameSync(shape.consoleFile, told)
    signal?.throwIfAborted()
    if (ended.killed) throw new Error(`the virtual machine was ended after ${timeoutMs / 1000} s; see ${told}`)
    const exitCode = existsSync(ports.status) ? readFileSync(ports.status, 'utf8').trim() : ''
    if (!/^\d+$/.test(exitCode)) throw new Error(`the virtual machine ended early (${ended.status}); see ${told}`)
    if (output) {
      mkdirSync(output, { recursive: true })
      capture('tar', ['-C', output, '-xf', ports.files, '--no-same-owner', '--no-same-permissions'])
    }
    return { exitCode: Number(exitCode), accelerator: accelerated, kernel: kernel.version }
  } finally {
    rmSync(directory, { recursive: true, force: true })
    // As if there had been no handler, now that nothing is left.
    if (interrupted) process.kill(process.pid, interrupted)
  }
}

function ownParts() {
  const kernel = chooseKernel()
  const disks = { root: rootDisk(), modules: modulesDisk(kernel), packages: packagesDisk() }
  return { kernel, busybox: findCommand('busybox'), disks }
}

function quote(word) {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

// Disks and the initramfs.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { cached, capture, project } from './cache.mjs'
import { moduleFiles } from './kernel.mjs'

const MIB = 1 << 20

/** Copies a file, a link or an empty directory with its mode and time; the owner is whoever copies. */
export function copyEntry(source, target) {
  const status = lstatSync(source)
  if (status.isDirectory()) mkdirSync(target, { recursive: true })
  else if (status.isSymbolicLink()) return symlinkSync(readlinkSync(source), target)
  else if (status.isFile()) copyFileSync(source, target)
  else return
  chmodSync(target, status.mode & 0o7777)
  if (status.isFile()) utimesSync(target, status.atime, status.mtime)
}

export function copyTree(source, target, skip = () => false) {
  copyEntry(source, target)
  if (!lstatSync(source).isDirectory()) return
  for (const name of readdirSync(source))
    if (!skip(path.join(source, name))) copyTree(path.join(source, name), path.join(target, name), skip)
}

/**
 * An ext4 file system with what is in `directory`, all of it root's. It is sparse: `freeMib` costs nothing until it is
 * written to, and the guest writes to a snapshot.
 */
export function makeExt4(directory, file, freeMib) {
  const used = Number(/^\d+/.exec(capture('du', ['-s', '--apparent-size', '--block-size=1M', directory]))[0])
  const inodes = Number(/^\d+/.exec(capture('du', ['-s', '--inodes', directory]))[0])
  emptyDisk(file, Math.ceil((used + inodes / 256) * 1.1) + 16 + freeMib)
  const mke2fs = ['mke2fs', '-q', '-F', '-t', 'ext4', '-m', '0', '-O', '^has_journal', '-E', 'lazy_itable_init=1']
  mke2fs.push('-N', String(inodes + 1024 + freeMib * 64), '-d', directory, file)
  // In a user namespace that maps only us, what is ours is root's.
  const [command, ...args] = process.getuid() === 0 ? mke2fs : ['unshare', '--map-root-user', '--', ...mke2fs]
  capture(command, args)
}

/** All of the kernel's modules, for those that it loads by itself when they are first used. */
export function modulesDisk({ root, version }) {
  const [, which] = path.basename(root).split('-')
  return cached(`modules-${which}`, [version, root], (file) =>
    makeExt4(path.join(root, 'lib/modules', version), file, 0),
  )
}

/** The npm packages as they are installed. */
export function packagesDisk() {
  const lock = path.join(project, 'node_modules/.package-lock.json')
  return cached('packages', [readFileSync(lock, 'utf8'), process.arch], (file) =>
    makeExt4(path.join(project, 'node_modules'), file, 0),
  )
}

/** What of the project is not built or installed elsewhere. */
const LEFT_OUT = new Set(['node_modules', '.git', 'coverage', 'addon/build', 'addon/build-arm64'])
const JEST_CACHE = '.cache/jest'

function leftOut(file) {
  const at = path.relative(project, file)
  return LEFT_OUT.has(at) || (path.dirname(at) === path.dirname(JEST_CACHE) && at !== JEST_CACHE)
}

/** The project as it is now. `directory` is for putting it together. */
export function projectDisk(file, directory) {
  copyTree(project, directory, leftOut)
  mkdirSync(path.join(directory, 'node_modules'))
  makeExt4(directory, file, 64)
}

/** An empty one, which takes no room until it is written to. */
export function emptyDisk(file, mib) {
  const handle = openSync(file, 'w')
  ftruncateSync(handle, mib * MIB)
  closeSync(handle)
}

/** Modules without which there is no disk, then those that containers use. ext4 is built in with Debian. */
const MODULES = ['virtio_pci', 'virtio_blk', 'virtio_console', 'overlay']
const ON_DEMAND = ['veth', 'bridge', 'br_netfilter', 'nf_tables', 'nft_chain_nat', 'nft_masq', 'tun', 'dummy', 'loop']

/** `busybox`, the modules, the two scripts of guest/, and `files` (contents by name) in /vm. */
export function initramfs({ kernel, busybox }, file, directory, files) {
  const inside = (at) => path.join(directory, at)
  for (const at of ['bin', 'dev', 'proc', 'sys', 'root', 'modules', 'vm']) mkdirSync(inside(at), { recursive: true })
  copyFileSync(busybox, inside('bin/busybox'))
  const order = moduleFiles(kernel, MODULES).map((source, index) => {
    const name = `${String(index).padStart(3, '0')}-${path.basename(source)}`
    copyFileSync(source, inside(`modules/${name}`))
    return name
  })
  writeFileSync(inside('modules/order'), `${order.join('\n')}\n`)
  copyFileSync(path.join(import.meta.dirname, 'guest/init.sh'), inside('init'))
  copyFileSync(path.join(import.meta.dirname, 'guest/start.sh'), inside('vm/start'))
  writeFileSync(inside('vm/modules'), `${ON_DEMAND.join('\n')}\n`)
  for (const [name, content] of Object.entries(files)) writeFileSync(inside(`vm/${name}`), content)
  for (const at of ['bin/busybox', 'init', 'vm/start']) chmodSync(inside(at), 0o755)
  pack(directory, file)
}

/** The kernel unpacks it as root, so that owners in it do not matter; -R says so even when others make it. */
function pack(directory, file) {
  const names = execFileSync('find', ['.', '-print0'], { cwd: directory })
  const archive = execFileSync('cpio', ['-o', '-0', '-H', 'newc', '-R', '0:0', '--quiet'], {
    cwd: directory,
    input: names,
    maxBuffer: 256 * MIB,
  })
  writeFileSync(file, archive)
}

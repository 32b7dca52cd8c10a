// The guest's root: packages of this machine's Debian, as they are installed here, and Node. Nothing is fetched, and
// programs and libraries are those that the rest of the tests use.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { cached, capture, findCommand, Unavailable } from './cache.mjs'
import { copyEntry, makeExt4 } from './images.mjs'

/** With all that they depend on. Those that are not installed here are left out. */
const PACKAGES = [
  'base-files bash bubblewrap busybox-static coreutils crun dash debianutils diffutils e2fsprogs findutils grep gzip',
  'hostname iproute2 iptables kmod libc-bin libcap2-bin mawk mount nftables passwd procps python3 runc sed strace',
  'stress-ng tar uidmap util-linux xfsprogs xz-utils zstd',
].flatMap((line) => line.split(' '))
const NEEDED = ['bash', 'busybox-static', 'coreutils', 'dash', 'kmod', 'mount', 'passwd', 'uidmap', 'util-linux']

/** Parts of packages that no test looks at. */
const LEFT_OUT =
  /^\/usr\/(share\/(doc|man|info|locale|lintian|bug|bash-completion|zsh|i18n)|lib\/debug)(\/|$)|^\/(boot|var)\//

const DIRECTORIES =
  'dev etc home mnt opt proc root run srv sys tmp usr/bin usr/sbin usr/lib usr/local/bin var/lib var/tmp'
const MERGED = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']
export const FREE_MIB = 6 * 1024

const FILES = {
  'etc/passwd': `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
tester:x:1000:1000:tester:/home/tester:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
  'etc/group': 'root:x:0:\ndaemon:x:1:\ntty:x:5:\nshadow:x:42:\ntester:x:1000:\nnogroup:x:65534:\n',
  'etc/subuid': 'tester:100000:65536\n',
  'etc/subgid': 'tester:100000:65536\n',
  'etc/hostname': 'caisson-vm\n',
  'etc/hosts': '127.0.0.1\tlocalhost caisson-vm\n::1\tlocalhost\n',
  'etc/resolv.conf': '',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nsubid: files\nhosts: files\n',
}

/** The path of the disk; made when it is missing or packages here have changed. */
export function rootDisk() {
  const packages = closure()
  const missing = NEEDED.filter((name) => !packages.has(name))
  if (missing.length > 0) throw new Unavailable(`not installed: ${missing.join(' ')}`)
  const versions = [...packages].map(([name, { version }]) => `${name} ${version}`).sort()
  const recipe = readFileSync(import.meta.filename, 'utf8')
  return cached('root', [versions, process.version, process.execPath, recipe], (file) => {
    const directory = `${file}.d`
    try {
      assemble(directory, [...packages.keys()])
      makeExt4(directory, file, FREE_MIB)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
}

/** Installed packages by name: those above and what they depend on. */
function closure() {
  if (!findCommand('dpkg-query')) throw new Unavailable('this is no Debian: there is no dpkg-query')
  const fields = ['Package', 'Version', 'db:Status-Status', 'Pre-Depends', 'Depends', 'Provides']
  const format = fields.map((field) => `\${${field}}`).join('\t')
  const installed = new Map()
  const providers = new Map()
  for (const line of capture('dpkg-query', ['-W', `-f=${format}\n`]).split('\n')) {
    const [name, version, status, before, depends, provides] = line.split('\t')
    if (status !== 'installed') continue
    installed.set(name, { version, depends: `${before},${depends}` })
    for (const each of names(provides)) providers.set(each, name)
  }
  const wanted = new Map()
  const add = (name) => {
    if (wanted.has(name)) return
    wanted.set(name, installed.get(name))
    for (const group of installed.get(name).depends.split(',')) {
      const candidates = names(group, '|')
      const direct = candidates.find((each) => installed.has(each))
      const found = direct ?? candidates.map((each) => providers.get(each)).find((each) => each !== undefined)
      if (found) add(found)
    }
  }
  for (const name of PACKAGES) if (installed.has(name)) add(name)
  return wanted
}

/** Package names of a list such as `libc6 (>= 2.36), python3:any | python`. */
function names(list, separator = ',') {
  return list
    .split(separator)
    .map((entry) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(entry)?.[1])
    .filter((name) => name !== undefined)
}

function assemble(directory, packages) {
  const inside = (at) => path.join(directory, at)
  for (const at of DIRECTORIES.split(' ')) mkdirSync(inside(at), { recursive: true })
  for (const at of MERGED) {
    if (!lstatSync(`/${at}`, { throwIfNoEntry: false })?.isSymbolicLink()) continue
    mkdirSync(inside(readlinkSync(`/${at}`)), { recursive: true })
    symlinkSync(readlinkSync(`/${at}`), inside(at))
  }
  const paths = capture('dpkg-query', ['-L', ...packages]).split('\n')
  for (const at of [...new Set(paths)].sort()) if (at.startsWith('/')) copyPackaged(at, inside(at))
  copyAlternatives(inside)
  copyNode(inside)
  writeAccounts(directory)
  chmodSync(inside('root'), 0o700)
  for (const at of ['tmp', 'var/tmp']) chmodSync(inside(at), 0o1777)
  capture('ldconfig', ['-r', directory])
}

/** Who there is, and who the machine is. */
export function writeAccounts(directory) {
  for (const [at, content] of Object.entries(FILES)) writeFileSync(path.join(directory, at), content)
}

function copyPackaged(at, target) {
  if (at === '/.' || LEFT_OUT.test(at) || !existsSync(at)) return
  if (lstatSync(target, { throwIfNoEntry: false })) return
  try {
    copyEntry(at, target)
  } catch (error) {
    // Only root may read some (/etc/sudoers and its like); a test that needs one is not run by anybody else.
    if (error.code !== 'EACCES') throw error
  }
}

/** Such as /usr/bin/awk -> /etc/alternatives/awk -> /usr/bin/mawk: made at installation, in no package. */
function copyAlternatives(inside) {
  const database = '/var/lib/dpkg/alternatives'
  mkdirSync(inside('etc/alternatives'), { recursive: true })
  for (const name of existsSync(database) ? readdirSync(database) : []) {
    const link = readFileSync(path.join(database, name), 'utf8').split('\n')[1]
    const choice = path.join('/etc/alternatives', name)
    if (!link || !existsSync(choice) || !existsSync(inside(readlinkSync(choice)))) continue
    for (const at of [choice, link])
      if (!lstatSync(inside(at), { throwIfNoEntry: false })) symlinkSync(readlinkSync(at), inside(at))
  }
}

/** From wherever it is installed, with its libraries. */
function copyNode(inside) {
  copyFileSync(process.execPath, inside('usr/local/bin/node'))
  for (const [, library] of capture('ldd', [process.execPath]).matchAll(/(\/\S+) \(0x/g)) {
    if (existsSync(inside(library))) continue
    mkdirSync(path.dirname(inside(library)), { recursive: true })
    copyFileSync(library, inside(library))
  }
}

// Installs and builds what is missing, so that a fresh clone works with one command. Node alone is needed before.
//   node scripts/setup.mjs --for demo|test|bench
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '..')
const purpose = process.argv[process.argv.indexOf('--for') + 1] ?? 'demo'

/** Debian packages by the command, or the file, that they bring. */
const BUILD = { cmake: 'cmake', 'g++': 'g++', make: 'make' }
/** Networks of ordinary users. */
const USER_MODE = { pasta: 'passt', slirp4netns: 'slirp4netns' }
const DEMO = { ...BUILD, ...USER_MODE, busybox: 'busybox-static', 'docker-registry': 'docker-registry' }
const PEERS = {
  bwrap: 'bubblewrap',
  busybox: 'busybox-static',
  crun: 'crun',
  runc: 'runc',
  podman: 'podman',
  buildah: 'buildah',
  dockerd: 'docker.io',
  umoci: 'umoci',
  skopeo: 'skopeo',
  git: 'git',
  mmdebstrap: 'mmdebstrap',
  strace: 'strace',
  newuidmap: 'uidmap',
  ip: 'iproute2',
  nft: 'nftables',
  dig: 'bind9-dnsutils',
  curl: 'curl',
  lsns: 'util-linux',
  bsdtar: 'libarchive-tools',
  zstd: 'zstd',
  setfattr: 'attr',
  'docker-registry': 'docker-registry',
  'docker-compose': 'docker-compose',
  htpasswd: 'apache2-utils',
  openssl: 'openssl',
  '/usr/include/seccomp.h': 'libseccomp-dev',
}
/** To check the addon's core with: the fuzzers need clang, and for its compression the libraries of others. */
const CHECKS = {
  clang: 'clang',
  '/usr/lib/clang/14/lib': 'libclang-rt-dev', // where Debian 12 has it; elsewhere apt finds it installed
  valgrind: 'valgrind',
  '/usr/lib/llvm-14/include/c++/v1': 'libc++-dev',
  [`/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-musl`]: 'musl-dev',
}
const HEADERS = { '/usr/include/zlib.h': 'zlib1g-dev', '/usr/include/zstd.h': 'libzstd-dev' }
/** For the virtual machines of test/vm: that of this machine's architecture, and of arm64 elsewhere. */
const MACHINE = {
  mke2fs: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  depmod: 'kmod',
  cpio: 'cpio',
}
const X64 = { 'qemu-system-x86_64': 'qemu-system-x86' }
const ARM64 = { 'qemu-system-aarch64': 'qemu-system-arm' }
const CROSS = { 'aarch64-linux-gnu-g++': 'g++-aarch64-linux-gnu' }
const machine = process.arch === 'arm64' ? { ...MACHINE, ...ARM64 } : { ...MACHINE, ...X64, ...ARM64, ...CROSS }
const wanted =
  {
    demo: DEMO,
    test: { ...BUILD, ...USER_MODE, ...PEERS, ...CHECKS, ...HEADERS, ...machine },
    bench: { ...BUILD, ...PEERS },
  }[purpose] ?? BUILD

function found(command) {
  if (command.startsWith('/')) return existsSync(command)
  const places = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  if (path.isAbsolute(command)) return existsSync(command)
  return places.some((directory) => existsSync(path.join(directory, command)))
}

function run(command, args, options = {}) {
  execFileSync(command, args, { cwd: root, stdio: 'inherit', ...options })
}

function installPackages() {
  const missing = Object.entries(wanted).filter(([command]) => !found(command))
  if (missing.length === 0) return
  const packages = [...new Set(missing.map(([, name]) => name))]
  if (process.getuid() !== 0 || !found('apt-get')) {
    console.error(`setup: not installed, and only root on Debian can: ${packages.join(' ')}`)
    return
  }
  console.log(`setup: installing ${packages.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '-qq'], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

/** Runs `work` unless the files that it depends on are as they were when it last succeeded. */
function onceFor(name, inputs, outputs, work) {
  const hash = createHash('sha256').update(process.version)
  for (const input of inputs)
    for (const file of filesBelow(path.join(root, input))) hash.update(file).update(readFileSync(file))
  const digest = hash.digest('hex')
  const stamp = path.join(root, '.cache', name)
  const current = existsSync(stamp) && readFileSync(stamp, 'utf8') === digest
  if (current && outputs.every((output) => existsSync(path.join(root, output)))) return
  work()
  mkdirSync(path.dirname(stamp), { recursive: true })
  writeFileSync(stamp, digest)
}

function filesBelow(at) {
  if (!existsSync(at)) return []
  if (!statSync(at).isDirectory()) return [at]
  return readdirSync(at)
    .filter((name) => !name.startsWith('build') && name !== 'node_modules')
    .sort()
    .flatMap((name) => filesBelow(path.join(at, name)))
}

installPackages()
onceFor('npm', ['package-lock.json'], ['node_modules'], () => {
  // Not "npm ci": it refuses the lock file where a registry lacks the optional packages for other systems.
  console.log('setup: installing npm packages')
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'])
})
onceFor('addon', ['addon', 'scripts/build-addon.mjs'], ['addon/build/Release/caisson.node'], () => {
  console.log('setup: building the addon')
  run(process.execPath, ['scripts/build-addon.mjs'])
})
onceFor('lib', ['lib', 'tsup.config.ts', 'tsconfig.json'], ['dist/index.js'], () => {
  console.log('setup: building the library')
  run(process.execPath, ['node_modules/tsup/dist/cli-default.js', '--silent'])
})

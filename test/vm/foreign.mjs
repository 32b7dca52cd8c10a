// The parts of a machine of another architecture than this one's: Debian's packages, unpacked and never installed; the
// npm packages and Node as npm has them for it; and the addon, made by a cross compiler.
import { copyFileSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { cached, capture, findCommand, project, Unavailable } from './cache.mjs'
import { makeExt4, modulesDisk } from './images.mjs'
import { describeKernel } from './kernel.mjs'
import { FREE_MIB, writeAccounts } from './rootfs.mjs'

const PACKAGES = [
  'bash bubblewrap busybox-static coreutils dash debianutils diffutils e2fsprogs findutils grep gzip hostname iproute2',
  'gcc kmod libc-bin libc6-dev libstdc++6 mawk mount passwd procps python3 sed strace tar uidmap util-linux',
].flatMap((line) => line.split(' '))

/** What installing them would have made. */
const LINKS = { 'bin/sh': 'dash', 'usr/bin/awk': 'mawk' }

/** `{ kernel, busybox, disks }`, as a machine of this architecture has them from what is installed here. */
export function foreignParts(architecture) {
  for (const [tool, name] of [
    ['mmdebstrap', 'mmdebstrap'],
    [architecture.compiler, architecture.compilerPackage],
  ])
    if (!findCommand(tool)) throw new Unavailable(`${tool} is not installed (Debian: ${name})`)
  capture(process.execPath, [path.join(project, 'scripts/build-addon.mjs'), '--arch', architecture.name])
  const tree = unpacked(architecture)
  const kernel = describeKernel(tree)
  const disks = {
    root: cached(`root-${architecture.name}`, [tree], (file) => makeExt4(tree, file, FREE_MIB)),
    modules: modulesDisk(kernel),
    packages: npmPackages(architecture),
  }
  return { kernel, busybox: path.join(tree, 'bin/busybox'), disks }
}

function unpacked({ name, debian, kernel }) {
  const recipe = readFileSync(import.meta.filename, 'utf8')
  return cached(`debian-${name}`, [process.version, recipe], (directory) => {
    const include = [...PACKAGES, kernel].join()
    const hooks = ['--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr', '--skip=output/dev']
    fetched(() =>
      capture('mmdebstrap', [
        `--architectures=${debian}`,
        '--variant=extract',
        `--include=${include}`,
        ...hooks,
        'bookworm',
        directory,
      ]),
    )
    for (const [at, target] of Object.entries(LINKS))
      if (!lstatSync(path.join(directory, at), { throwIfNoEntry: false })) symlinkSync(target, path.join(directory, at))
    writeAccounts(directory)
    capture('depmod', ['-b', directory, describeKernel(directory).version])
    takeNode(name, path.join(directory, 'usr/local/bin/node'))
  })
}

/** Of the same major version as this one. */
function takeNode(name, target) {
  const directory = `${target}.d`
  mkdirSync(directory, { recursive: true })
  const [major] = process.versions.node.split('.')
  fetched(() => capture('npm', ['pack', '--silent', `node-linux-${name}@${major}`], { cwd: directory }))
  const [archive] = readdirSync(directory)
  capture('tar', ['-C', directory, '-xzf', path.join(directory, archive), 'package/bin/node'])
  renameSync(path.join(directory, 'package/bin/node'), target)
  rmSync(directory, { recursive: true })
}

function npmPackages({ name }) {
  const lock = readFileSync(path.join(project, 'package-lock.json'), 'utf8')
  return cached(`packages-${name}`, [lock], (file) => {
    const directory = `${file}.d`
    mkdirSync(directory)
    try {
      for (const each of ['package.json', 'package-lock.json'])
        copyFileSync(path.join(project, each), path.join(directory, each))
      const options = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']
      const machine = [`--cpu=${name}`, '--os=linux', '--libc=glibc']
      fetched(() => capture('npm', ['install', ...options, ...machine], { cwd: directory }))
      makeExt4(path.join(directory, 'node_modules'), file, 0)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
}

/** What cannot be had without a network is no fault of what is tested. */
function fetched(work) {
  try {
    work()
  } catch (error) {
    throw new Unavailable(
      `cannot be fetched: ${String(error.stderr || error.message)
        .trim()
        .split('\n')
        .at(-1)}`,
    )
  }
}

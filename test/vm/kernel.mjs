// The guest's kernel: a Debian package, unpacked and never installed.
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { describeArchitecture } from './architectures.mjs'
import { cacheDirectory, cached, capture, temporaryPath, Unavailable } from './cache.mjs'

/**
 * Which one: CAISSON_VM_KERNEL, a package (as linux-image-6.12.9+bpo-cloud-amd64) or a file (.deb); else the newest
 * that apt knows of, or the one that was unpacked before, so that a second run needs no network.
 *
 * Gives `{ version, image, root }`; the modules are in `root`/lib/modules/`version`.
 */
export function kernel(wanted = process.env.CAISSON_VM_KERNEL) {
  if (wanted?.endsWith('.deb')) {
    const file = path.resolve(wanted)
    const status = statSync(file, { throwIfNoEntry: false })
    if (!status) throw new Error(`CAISSON_VM_KERNEL: there is no ${file}`)
    return describeKernel(cached('kernel-own', [file, status.mtimeMs], (at) => unpack(file, at)))
  }
  if (!wanted) {
    const kept =
      existsSync(cacheDirectory) && readdirSync(cacheDirectory).find((entry) => entry.startsWith('kernel-newest-'))
    if (kept) return describeKernel(path.join(cacheDirectory, kept))
  }
  const packageName = wanted || newest()
  return describeKernel(
    cached(wanted ? 'kernel-own' : 'kernel-newest', [packageName], (at) => download(packageName, at)),
  )
}

function newest() {
  // The package that names the newest one of the distribution for virtual machines.
  const { kernel: name } = describeArchitecture(process.arch)
  const found = newestKnown(name) ?? (update() && newestKnown(name))
  if (!found) throw new Unavailable(`apt does not know ${name}: as root, run apt-get update`)
  return found
}

function newestKnown(name) {
  try {
    return /Depends: (linux-image-\S+)/.exec(capture('apt-cache', ['depends', name]))?.[1]
  } catch {
    return undefined
  }
}

/** Lists that are old name packages that the mirrors no longer have. False when there are no newer ones for us. */
function update() {
  if (process.getuid() !== 0) return false
  try {
    capture('apt-get', ['update', '-qq'])
    return true
  } catch {
    return false
  }
}

function download(packageName, target) {
  const directory = temporaryPath('download')
  mkdirSync(directory)
  const fetch = () => capture('apt-get', ['download', '-qq', packageName], { cwd: directory })
  try {
    try {
      fetch()
    } catch (error) {
      if (!update()) throw error
      fetch()
    }
    const file = readdirSync(directory).find((entry) => entry.endsWith('.deb'))
    unpack(path.join(directory, file), target)
  } catch (error) {
    throw new Unavailable(`${packageName} cannot be fetched: ${reason(error)}`)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function unpack(file, target) {
  capture('dpkg-deb', ['-x', file, target])
  // Where newer packages have their modules.
  if (!existsSync(path.join(target, 'lib')) && existsSync(path.join(target, 'usr/lib')))
    symlinkSync('usr/lib', path.join(target, 'lib'))
  const { root, version } = describeKernel(target)
  // The package does this when it is installed.
  capture('depmod', ['-b', root, version])
}

export function describeKernel(root) {
  const boot = path.join(root, 'boot')
  const image = existsSync(boot) && readdirSync(boot).find((entry) => entry.startsWith('vmlinuz-'))
  if (!image) throw new Unavailable(`there is no kernel in ${root}`)
  return { root, version: image.slice('vmlinuz-'.length), image: path.join(boot, image) }
}

/** The modules that `names` need, in the order to load them; those built into the kernel are left out. */
export function moduleFiles({ root, version }, names) {
  const files = names.flatMap((name) =>
    capture('modprobe', ['-d', root, '-S', version, '--show-depends', name])
      .split('\n')
      .map((line) => /^insmod (\S+)/.exec(line)?.[1])
      .filter((file) => file !== undefined),
  )
  return [...new Set(files)]
}

/** What a program said of its failure; apt's own word comes after its warnings. */
function reason(error) {
  const text = String(error.stderr || error.message)
  return /^E: .*/m.exec(text)?.[0] ?? text.trim().split('\n')[0]
}

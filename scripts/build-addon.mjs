// Builds the native addon, and copies it to where the published package looks for it.
//   node scripts/build-addon.mjs [--arch arm64]     (for another architecture: Debian's g++-aarch64-linux-gnu)
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, renameSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'

const root = path.resolve(import.meta.dirname, '..')
const { arch } = parseArgs({ options: { arch: { type: 'string', default: process.arch } } }).values
const foreign = arch !== process.arch
const output = path.join(root, 'addon', foreign ? `build-${arch}` : 'build')
const cmakeJs = path.join(root, 'node_modules/cmake-js/bin/cmake-js')
const options = foreign ? ['--arch', arch, `--CDCMAKE_TOOLCHAIN_FILE=${path.join(root, 'addon', `${arch}.cmake`)}`] : []
execFileSync(
  process.execPath,
  [cmakeJs, 'compile', '-d', path.join(root, 'addon'), '-O', output, ...options, '--silent'],
  {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  },
)
// Debian's cross compilers are for glibc.
const libc = foreign || process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl'
const target = path.join(root, 'prebuilds', `linux-${arch}-${libc}`)
mkdirSync(target, { recursive: true })
// Never over the one that another process has in its memory.
const beside = path.join(target, `caisson-${process.pid}.node`)
copyFileSync(path.join(output, 'Release/caisson.node'), beside)
renameSync(beside, path.join(target, 'caisson.node'))

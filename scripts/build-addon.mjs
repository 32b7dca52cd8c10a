// Builds the native addon, and copies it to where the published package looks for it.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, renameSync } from 'node:fs'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '..')
const cmakeJs = path.join(root, 'node_modules/cmake-js/bin/cmake-js')
execFileSync(process.execPath, [cmakeJs, 'compile', '-d', path.join(root, 'addon'), '--silent'], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
})
const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl'
const target = path.join(root, 'prebuilds', `${process.platform}-${process.arch}-${libc}`)
mkdirSync(target, { recursive: true })
// Never over the one that another process has in its memory.
const beside = path.join(target, `caisson-${process.pid}.node`)
copyFileSync(path.join(root, 'addon/build/Release/caisson.node'), beside)
renameSync(beside, path.join(target, 'caisson.node'))

/** Finds the addon that is for this machine, and loads it: nothing else does. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { CaissonError } from '../errors.js'

/** What the addon exports; a coded error where it cannot be had. */
export function loadAddon(): unknown {
  if (process.platform !== 'linux')
    throw new CaissonError(
      'ERR_CAISSON_UNSUPPORTED_PLATFORM',
      `caisson runs containers on Linux, not on ${process.platform}`,
      {
        stage: 'load',
        hint: 'Run the program on Linux: a server, a virtual machine, or WSL 2.',
      },
    )
  const root = packageRoot()
  const names = [
    `addon/build/Release/caisson.node`,
    `prebuilds/${process.platform}-${process.arch}-${libc()}/caisson.node`,
  ].map((name) => path.join(root, name))
  const found = names.find((name) => existsSync(name))
  if (!found)
    throw new CaissonError(
      'ERR_CAISSON_UNSUPPORTED_PLATFORM',
      `caisson has no addon for ${process.platform}-${process.arch} with ${libc()}`,
      {
        stage: 'load',
        hint: `In a clone of caisson run "npm run build:addon"; an installed package should hold ${names[1]}.`,
      },
    )
  try {
    return createRequire(path.join(root, 'package.json'))(found)
  } catch (error) {
    throw new CaissonError(
      'ERR_CAISSON_UNSUPPORTED_PLATFORM',
      `caisson's addon cannot be loaded: ${(error as Error).message}`,
      {
        stage: 'load',
        hint: `Rebuild it for this machine ("npm run build:addon"), or check that ${found} is for ${process.arch} and ${libc()}.`,
        cause: error as Error,
      },
    )
  }
}

/** The C library that Node runs on, by the loader that its file names: process.report knows too, and takes 20 ms to say so. */
function libc(): 'musl' | 'glibc' {
  const beginning = Buffer.alloc(4096)
  const fd = openSync('/proc/self/exe', 'r')
  try {
    readSync(fd, beginning, 0, beginning.length, 0)
  } finally {
    closeSync(fd)
  }
  return beginning.includes('/ld-musl-') ? 'musl' : 'glibc'
}

/** The directory with our package.json, from lib/native (sources) or dist (bundled). */
export function packageRoot(): string {
  let directory = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(directory, 'package.json')) && directory !== path.dirname(directory))
    directory = path.dirname(directory)
  return directory
}

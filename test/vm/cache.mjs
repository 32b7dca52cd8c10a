// What the virtual machine is made of is built once for its inputs and kept in .cache/vm.
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'

export const project = path.resolve(import.meta.dirname, '../..')
export const cacheDirectory = path.join(project, '.cache/vm')

/** It cannot run on this machine, which is no fault of what is tested. */
export class Unavailable extends Error {}

const PLACES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
export const PATH = PLACES.join(':')

export function findCommand(name) {
  return PLACES.map((place) => path.join(place, name)).find((file) => existsSync(file))
}

/** Its output as text. Only root's PATH has the sbin directories on Debian. */
export function capture(command, args, options = {}) {
  return execFileSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    env: { ...process.env, LC_ALL: 'C', PATH },
  })
}

/** A path in the cache for a while; `sweep` removes it if we are killed before we can. */
export function temporaryPath(name) {
  mkdirSync(cacheDirectory, { recursive: true })
  return path.join(cacheDirectory, `.${process.pid}-${randomBytes(4).toString('hex')}-${name}`)
}

/** Removes what processes have left that are no more. */
export function sweep() {
  mkdirSync(cacheDirectory, { recursive: true })
  for (const name of readdirSync(cacheDirectory)) {
    const pid = /^\.(\d+)-/.exec(name)?.[1]
    if (pid && !existsSync(`/proc/${pid}`)) rmSync(path.join(cacheDirectory, name), { recursive: true, force: true })
  }
}

/**
 * The file or directory `name` for these inputs: as it is in the cache, or made by `build(temporary path)`. It appears
 * by a rename, so that another run at the same time sees it whole or not at all. Those of other inputs are removed.
 */
export function cached(name, inputs, build) {
  const digest = createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 16)
  const made = path.join(cacheDirectory, `${name}-${digest}`)
  if (existsSync(made)) return made
  const temporary = temporaryPath(name)
  console.error(`vm: making ${name}`)
  try {
    build(temporary)
    for (const other of readdirSync(cacheDirectory))
      if (other.startsWith(`${name}-`) && /^[0-9a-f]{16}$/.test(other.slice(name.length + 1)))
        rmSync(path.join(cacheDirectory, other), { recursive: true, force: true })
    renameSync(temporary, made)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  return made
}

// What this process holds of the machine on behalf of containers, to be compared before and after. Needs --expose-gc.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'

const entries = (directory) => {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch {
    return []
  }
}

/** Directories of this process in the cgroup hierarchies. */
function ownCgroups(at, depth = 0) {
  return entries(at)
    .filter((entry) => entry.isDirectory())
    .map((entry) => path.join(at, entry.name))
    .flatMap((full) => {
      if (path.basename(full).startsWith(`caisson-${process.pid}-`)) return [full]
      return depth < 5 ? ownCgroups(full, depth + 1) : []
    })
}

const below = (directory) =>
  entries(directory)
    .filter((entry) => entry.isDirectory())
    .map((entry) => path.join(directory, entry.name))

/** Of descriptors the kind alone: their numbers and what is behind them change. Some network namespaces are in stock. */
function descriptors() {
  const kinds = {}
  for (const name of readdirSync('/proc/self/fd'))
    try {
      const kind = readlinkSync(`/proc/self/fd/${name}`).replace(/:\[\d+\]$/, '')
      if (kind !== 'net' && kind !== `/proc/${process.pid}/fd`) kinds[kind] = (kinds[kind] ?? 0) + 1
    } catch {}
  return kinds
}

function children() {
  return readdirSync('/proc/self/task').flatMap((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ').filter(Boolean)
    } catch {
      return []
    }
  })
}

export class Holdings {
  #root
  #cgroups = ownCgroups('/sys/fs/cgroup')
  #before

  /** As it is now, is as it should be: after the first container, when what is kept for all is there. */
  constructor(root) {
    this.#root = root
    this.#before = this.#look()
  }

  #look() {
    const owners = below(path.join(this.#root, 'run/owners'))
    const directories = [
      ...owners.map((owner) => path.join(owner, 'containers')),
      path.join(this.#root, 'run/names'),
      ...below(path.join(this.#root, 'owners')).map((owner) => path.join(owner, 'containers')),
    ]
    return {
      ...descriptors(),
      children: children().length,
      cgroups: this.#cgroups.flatMap(below).length,
      mounts: readFileSync('/proc/self/mountinfo', 'utf8').split('\n').length,
      directories: directories.flatMap(entries).length,
    }
  }

  /** What there is more of than before; the kernel is given a second. undefined: nothing. */
  async left(milliseconds = 1000) {
    for (const until = Date.now() + milliseconds; ; ) {
      const now = this.#look()
      const more = Object.keys(now).filter((key) => now[key] > (this.#before[key] ?? 0))
      if (more.length === 0) return undefined
      if (Date.now() > until) {
        const words = more.map((key) => `${key}: ${this.#before[key] ?? 0} -> ${now[key]}`)
        this.#before = now // told once
        return words
      }
      // Some descriptors are held by objects of JavaScript.
      globalThis.gc()
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
}

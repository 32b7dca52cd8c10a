/** What owners with these process ids have left on the machine, by the names that they give to their cgroups. */
import { type Dirent, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

/** Below this no cgroup of a container lies, seen from the mount point. */
const DEPTH = 8

/** Of a directory of somebody else, which may go at any time. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch {
    return []
  }
}

const ownersIn = (text: string) => [...text.matchAll(/caisson-(\d+)-/g)].map(([, pid]) => Number(pid))

export class Leftovers {
  readonly #pids: ReadonlySet<number>

  constructor(pids: Iterable<number>) {
    this.#pids = new Set(pids)
  }

  #ours(text: string): boolean {
    return ownersIn(text).some((pid) => this.#pids.has(pid))
  }

  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          if (!this.#ours(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))) return false
          return /^State:\s(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] !== 'Z'
        } catch {
          return false
        }
      })
  }

  cgroups(): string[] {
    const found: string[] = []
    const walk = (at: string, depth: number) => {
      for (const entry of entriesOf(at)) {
        if (!entry.isDirectory()) continue
        const full = path.join(at, entry.name)
        if (this.#ours(entry.name)) found.push(full)
        else if (depth < DEPTH) walk(full, depth + 1)
      }
    }
    walk('/sys/fs/cgroup', 0)
    return found
  }
}

/** Mounts below a data directory, seen from here. */
export function mountsOf(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(directory))
}

/** What the next start of caisson removes from a data directory. */
export function directoriesOf(directory: string): string[] {
  const below = (at: string) => entriesOf(at).map(({ name }) => path.join(at, name))
  return ['run/owners', 'run/names', 'owners'].flatMap((part) => below(path.join(directory, part)))
}

/** What `check` still finds when it is asked for so long. */
export async function settle<T>(check: () => T[], ms: number): Promise<T[]> {
  for (const until = Date.now() + ms; check().length > 0 && Date.now() < until; )
    await new Promise((resolve) => setTimeout(resolve, 10))
  return check()
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Dirent, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'

const root = path.resolve(__dirname, '../..')
const ROUNDS = Number(process.env.CAISSON_KILL_ROUNDS ?? 200)
/** Owners at a time, beside each other in the same directories. */
const TOGETHER = 4

/** Of a cgroup of somebody else, which may go at any time. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch {
    return []
  }
}

/** What the owners with these process ids could have left. */
class Leftovers {
  readonly #directory: string
  readonly #pids: ReadonlySet<number>

  constructor(directory: string, pids: ReadonlySet<number>) {
    this.#directory = directory
    this.#pids = pids
  }

  #ours(text: string): boolean {
    return [...text.matchAll(/caisson-(\d+)-/g)].some(([, pid]) => this.#pids.has(Number(pid)))
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

  mounts(): string[] {
    return readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(this.#directory))
  }

  cgroups(): string[] {
    const found: string[] = []
    const walk = (at: string, depth: number) => {
      for (const entry of entriesOf(at)) {
        if (!entry.isDirectory()) continue
        const full = path.join(at, entry.name)
        if (this.#ours(entry.name)) found.push(full)
        else if (depth < 5) walk(full, depth + 1)
      }
    }
    walk('/sys/fs/cgroup', 0)
    return found
  }

  directories(): string[] {
    const below = (at: string) => entriesOf(at).map(({ name }) => path.join(at, name))
    return ['run/owners', 'run/names', 'owners'].flatMap((part) => below(path.join(this.#directory, part)))
  }
}

describe('when the owner is killed', () => {
  let directory: string
  let owners: ChildProcess[]
  beforeEach(() => {
    directory = mkdtempSync('/tmp/caisson-left-')
    owners = []
  })
  afterEach(() => {
    for (const owner of owners) owner.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  })

  const owner = (script: string) => {
    const child = spawn(process.execPath, [script], {
      cwd: root,
      env: { ...process.env, CAISSON_ROOT: directory },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    owners.push(child)
    return child
  }
  const settle = async (check: () => unknown[], ms: number) => {
    for (const until = Date.now() + ms; check().length > 0 && Date.now() < until; )
      await new Promise((resolve) => setTimeout(resolve, 10))
    return check()
  }
  const left = () => new Leftovers(directory, new Set(owners.map((child) => child.pid as number)))

  /** Some are killed before their first container, some in the middle of everything. */
  const killSometime = async (early: boolean) => {
    const child = owner('test/support/load.mjs')
    const exited = once(child, 'exit')
    if (!early) await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), exited])
    await new Promise((resolve) => setTimeout(resolve, Math.random() * (early ? 400 : 150)))
    // It did not end by itself.
    const alive = child.kill('SIGKILL')
    await exited
    return alive
  }

  test(
    'nothing runs a second later, and nothing is left after the next start',
    async () => {
      for (let round = 0; round < ROUNDS; round += TOGETHER) {
        const first = owners.length
        const alive = await Promise.all(Array.from({ length: TOGETHER }, (_, i) => killSometime(i % 4 === 0)))
        expect(alive).toEqual(alive.map(() => true))
        const now = new Leftovers(directory, new Set(owners.slice(first).map((child) => child.pid as number)))
        const processes = await settle(() => now.processes(), 1000)
        expect({ round, processes, mounts: now.mounts() }).toEqual({ round, processes: [], mounts: [] })
      }
      await settle(() => left().cgroups(), 2000)
      const next = owner('test/support/once.mjs')
      await once(next, 'exit')
      expect(await settle(() => left().cgroups(), 1000)).toEqual([])
      expect(await settle(() => left().directories(), 1000)).toEqual([])
      expect([...left().processes(), ...left().mounts()]).toEqual([])
    },
    ROUNDS * 3000 + 30_000,
  )
})

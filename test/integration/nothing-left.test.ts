import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Dirent, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'

const root = path.resolve(__dirname, '../..')
const ROUNDS = Number(process.env.CAISSON_KILL_ROUNDS ?? 200)

/** Of a cgroup of somebody else, which may go at any time. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch {
    return []
  }
}

/** What the owners with these process ids could have left: processes, cgroups, mounts, directories. */
function leftovers(directory: string, pids: ReadonlySet<number>) {
  const ours = (text: string) => [...text.matchAll(/caisson-(\d+)-/g)].some(([, pid]) => pids.has(Number(pid)))
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        const state = /^State:\s(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
        return ours(cgroup) && state !== 'Z'
      } catch {
        return false
      }
    })
  const cgroups: string[] = []
  const walk = (at: string, depth: number) => {
    for (const entry of entriesOf(at)) {
      if (!entry.isDirectory()) continue
      const full = path.join(at, entry.name)
      if (ours(entry.name)) cgroups.push(full)
      else if (depth < 5) walk(full, depth + 1)
    }
  }
  walk('/sys/fs/cgroup', 0)
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(directory))
  const below = (at: string): string[] => (existsSync(at) ? readdirSync(at).map((name) => path.join(at, name)) : [])
  const directories = [
    ...below(path.join(directory, 'run/owners')),
    ...below(path.join(directory, 'run/names')),
    ...below(path.join(directory, 'owners')),
  ]
  return { processes, cgroups, mounts, directories }
}

const NOTHING = { processes: [], cgroups: [], mounts: [], directories: [] }

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
  const left = () => leftovers(directory, new Set(owners.map((child) => child.pid as number)))
  const settle = async (check: () => boolean, ms: number) => {
    for (const until = Date.now() + ms; !check() && Date.now() < until; )
      await new Promise((resolve) => setTimeout(resolve, 10))
  }

  test(
    'nothing runs a second later, and nothing is left after the next start',
    async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const child = owner('test/support/load.mjs')
        // Some are killed before their first container, some in the middle of everything.
        if (round % 4 > 0) await once(child.stdout as NodeJS.ReadableStream, 'data')
        await new Promise((resolve) => setTimeout(resolve, Math.random() * (round % 4 > 0 ? 150 : 400)))
        child.kill('SIGKILL')
        await once(child, 'exit')
        await settle(() => left().processes.length === 0, 1000)
        const { processes, mounts } = left()
        expect({ round, processes, mounts }).toEqual({ round, processes: [], mounts: [] })
      }
      await settle(() => left().cgroups.length === 0, 2000)
      const next = owner('test/support/once.mjs')
      await once(next, 'exit')
      await settle(() => left().cgroups.length === 0, 1000)
      await settle(() => left().directories.length === 0, 1000)
      expect(left()).toEqual(NOTHING)
    },
    ROUNDS * 3000 + 30_000,
  )
})

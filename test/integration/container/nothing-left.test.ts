import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Image, run } from '../../../lib/index.js'
import { storeBox } from '../../support/build.js'
import { directoriesOf, Leftovers, mountsOf, settle } from '../../support/leftovers.js'
import { compileProgram } from '../../support/program.js'

const root = path.resolve(__dirname, '../../..')
const ROUNDS = Number(process.env.CAISSON_KILL_ROUNDS ?? 200)
/** Owners at a time, beside each other in the same directories. A new one begins when one is dead, and nothing of it runs. */
const TOGETHER = 4

/** What owners are doing (test/support/load.mjs): each two of these. */
const KINDS = 'orphan limits life execs deaf paused pool volume terminal archive egress build'.split(' ')

const random = (below: number) => Math.floor(Math.random() * below)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Children of this process that have ended and were not waited for. */
function zombies(): string[] {
  const children = readdirSync('/proc/self/task').flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
  )
  return children.filter((pid) => {
    try {
      return /^State:\sZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
    } catch {
      return false
    }
  })
}

test('starts that are aborted at any instant leave no process, not even one that has ended', async () => {
  const image = await Image.host()
  await run(image, ['true'])
  for (let i = 0; i < 300; i++) {
    const controller = new AbortController()
    const work = run(image, ['sleep', '1000'], { signal: controller.signal, stopTimeout: 1000 + i }).catch(
      () => undefined,
    )
    await pause(random(8))
    controller.abort()
    await work
  }
  expect(await settle(zombies, 2000)).toEqual([])
}, 60_000)

describe('when the owner is killed', () => {
  let directory: string
  let owners: ChildProcess[]
  beforeEach(async () => {
    directory = mkdtempSync('/tmp/caisson-left-')
    process.env.CAISSON_ROOT = directory
    owners = []
    writeFileSync(path.join(directory, 'deaf'), compileProgram('deaf'))
    await storeBox()
  })
  afterEach(() => {
    for (const owner of owners) owner.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  })

  const owner = (script: string, ...args: string[]) => {
    const child = spawn(process.execPath, [script, ...args], {
      cwd: root,
      env: { ...process.env, CAISSON_ROOT: directory, DEAF: path.join(directory, 'deaf') },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    owners.push(child)
    return child
  }
  const left = () => new Leftovers(owners.map((child) => child.pid as number))

  /** Some are killed before their first container, some in the middle of everything. */
  const killSometime = async (round: number) => {
    const early = round % 5 === 0
    const kinds = [KINDS[round % KINDS.length] as string, KINDS[random(KINDS.length)] as string]
    const child = owner('test/support/load.mjs', ...kinds)
    const exited = once(child, 'exit')
    if (!early) await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), exited])
    // Most work takes less than a tenth of a second, some of it longer.
    await pause(early ? random(300) : random(random(5) === 0 ? 250 : 80))
    const alive = child.kill('SIGKILL')
    await exited
    const now = new Leftovers([child.pid as number])
    const processes = await settle(() => now.processes(), 1000)
    return { round, kinds, alive, processes }
  }

  test(
    'nothing runs a second later, and nothing is left after the next start',
    async () => {
      let next = 0
      const oneAfterTheOther = async () => {
        while (next < ROUNDS) {
          const { round, kinds, ...rest } = await killSometime(next++)
          // It did not end by itself.
          expect({ round, kinds, ...rest }).toEqual({ round, kinds, alive: true, processes: [] })
        }
      }
      await Promise.all(Array.from({ length: TOGETHER }, oneAfterTheOther))
      expect(mountsOf(directory)).toEqual([])
      await settle(() => left().cgroups(), 2000)
      await once(owner('test/support/once.mjs'), 'exit')
      expect(await settle(() => left().cgroups(), 1000)).toEqual([])
      expect(await settle(() => directoriesOf(directory), 1000)).toEqual([])
      expect([...left().processes(), ...mountsOf(directory)]).toEqual([])
    },
    ROUNDS * 3000 + 30_000,
  )
})

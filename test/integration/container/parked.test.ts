import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { Container, Image } from '../../../lib/index.js'
import { isRoot, testIf } from '../../support/needs.js'

const root = path.resolve(__dirname, '../../..')

/** What waits for the next exec of `owner` (addon/core/parked.h): children of it that execute our init program. */
function parked(owner = process.pid): number[] {
  const found: number[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const status = readFileSync(`/proc/${name}/status`, 'utf8')
      if (!new RegExp(`^PPid:\\s${owner}$`, 'm').test(status)) continue
      if (readlinkSync(`/proc/${name}/exe`).includes('memfd:caisson-init') && !/^Name:\scaisson-/m.test(status))
        found.push(Number(name))
    } catch {
      // It has ended meanwhile.
    }
  }
  return found
}

async function until(check: () => boolean, ms = 1000): Promise<boolean> {
  for (const end = Date.now() + ms; !check() && Date.now() < end; ) await new Promise((wait) => setTimeout(wait, 10))
  return check()
}

/** Whoever executes one program after the other in a container finds a process made ahead that waits for the next. */
describe('what waits for the next exec', () => {
  let image: Image
  let container: Container
  beforeAll(async () => {
    image = await Image.host()
  })
  beforeEach(async () => {
    container = await Container.create(image, { command: ['sleep', '1000'], limits: { pids: 64 } })
    await container.start()
  })
  afterEach(async () => {
    await container.remove({ force: true })
    expect(await until(() => parked().length === 0)).toBe(true)
  })
  const sh = async (script: string) => (await container.exec(['sh', '-c', script])).stdout.trim()
  /** On a busy machine it may not come about at once; then it is tried again for one of the next. */
  const someWait = async () => {
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 3; i++) await container.exec(['true'])
      if (await until(() => parked().length > 0, 2000)) return
    }
    throw new Error('nothing waits')
  }

  testIf(!isRoot && 'without cgroups nothing is made ahead')(
    'is outside of the container: not seen, not counted, and not looked into',
    async () => {
      await someWait()
      expect((await container.top()).map(({ command }) => command)).toEqual(['sleep'])
      expect((await container.stats()).pids).toBe(1)
      expect(await sh('ls /proc | grep -c "^[0-9]"')).toMatch(/^[2-5]$/)
      expect(await until(() => parked().length > 0)).toBe(true)
      for (const pid of parked()) {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8')
        expect(status).toMatch(/^NSpid:\t\d+$/m)
        expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).not.toContain(container.id)
        // Neither descriptors of the owner's, nor its environment.
        expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toBe('')
      }
    },
  )

  test('is for one program: each has a status, a process id and a priority of its own', async () => {
    const seen = new Set<string>()
    for (let i = 0; i < 30; i++) {
      const { exitCode, stdout } = await container.exec([
        'sh',
        '-c',
        `echo $$; cut -d' ' -f19 /proc/self/stat; exit ${i}`,
      ])
      expect(exitCode).toBe(i)
      const [pid, nice] = stdout.trim().split('\n')
      expect(nice).toBe('0')
      seen.add(pid as string)
    }
    expect(seen.size).toBe(30)
  })

  test('is of this life of its container, and of no other', async () => {
    for (let round = 0; round < 3; round++) {
      await sh('true')
      await sh('touch /dev/shm/mark')
      await sh('true')
      await until(() => parked().length > 0, 200)
      await container.restart({ timeout: 0 })
      expect(await sh('ls -A /dev/shm; [ /proc/1/ns/mnt -ef /proc/self/ns/mnt ] && echo same')).toBe('same')
    }
    await container.stop({ timeout: 0 })
    expect(await until(() => parked().length === 0)).toBe(true)
    await expect(container.exec(['true'])).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
  })

  test('starts nothing in a container that is paused, and obeys new limits', async () => {
    await sh('true')
    await sh('true')
    await until(() => parked().length > 0, 200)
    await container.pause()
    await expect(container.exec(['true'])).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    await container.resume()
    expect(await sh('echo on')).toBe('on')
    await container.update({ limits: { pids: 4 } })
    const { stderr } = await container.exec(['sh', '-c', 'for i in 1 2 3 4 5 6; do sleep 1 & done'])
    expect(stderr).toMatch(/fork|Resource temporarily unavailable/)
  })

  testIf(!isRoot && 'without cgroups nothing is made ahead')(
    'may be killed by anybody: the next one starts',
    async () => {
      await someWait()
      const killed = parked()
      for (const pid of killed) process.kill(pid, 'SIGKILL')
      // A signal takes its moment; one that is still on its way ends the exec that came before it, as it would any.
      expect(await until(() => !parked().some((pid) => killed.includes(pid)))).toBe(true)
      for (let i = 0; i < 4; i++) expect(await sh('echo on')).toBe('on')
    },
  )

  testIf(!isRoot && 'without cgroups nothing is made ahead')(
    'may be killed before it has read what to do: another one starts the program',
    async () => {
      /** Stopped when it is taken, and killed then. */
      const robbed = async <T>(exec: () => T): Promise<Awaited<T>> => {
        await someWait()
        const waiting = parked()
        for (const pid of waiting) process.kill(pid, 'SIGSTOP')
        const execution = exec()
        await new Promise((wait) => setTimeout(wait, 20))
        for (const pid of waiting) process.kill(pid, 'SIGKILL')
        return await execution
      }
      expect(await robbed(() => sh('echo $$; echo on'))).toMatch(/^\d+\non$/)
      const input = { input: 'typed' }
      expect(await robbed(() => container.exec(['sh', '-c', 'cat; echo beside >&2; exit 3'], input))).toMatchObject({
        exitCode: 3,
        stdout: 'typed',
        stderr: 'beside\n',
      })
      const streamed = await robbed(() => {
        const execution = container.exec(['sh', '-c', 'cat; exit 4'])
        execution.stdin.end('streamed')
        return { execution, text: text(execution.stdout) }
      })
      expect([await streamed.text, (await streamed.execution).exitCode]).toEqual(['streamed', 4])
      expect(await robbed(() => container.exec(['tty'], { tty: true }))).toMatchObject({ exitCode: 0 })
      // Whoever gives up meanwhile has his way.
      const given = new AbortController()
      const aborted = robbed(() => {
        setTimeout(() => given.abort(), 21)
        return container.exec(['sleep', '1000'], { signal: given.signal })
      })
      expect(
        await aborted.then(
          ({ reason }) => reason,
          ({ code }) => code,
        ),
      ).toMatch(/^(aborted|ERR_CAISSON_ABORTED)$/)
    },
  )

  testIf(!isRoot && 'without cgroups nothing is made ahead')('ends with its owner within a second', async () => {
    const directory = mkdtempSync('/tmp/caisson-parked-')
    const owner = spawn(process.execPath, ['test/support/execs.mjs'], {
      cwd: root,
      env: { ...process.env, CAISSON_ROOT: directory },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const pid = owner.pid as number
      await once(createInterface({ input: owner.stdout }), 'line')
      expect(await until(() => parked(pid).length > 0)).toBe(true)
      const waiting = parked(pid)
      owner.kill('SIGKILL')
      await once(owner, 'exit')
      // The dead wait for the host's init, whenever that looks.
      const runs = (each: number) => {
        try {
          return !/^State:\s+Z/m.test(readFileSync(`/proc/${each}/status`, 'utf8'))
        } catch {
          return false
        }
      }
      expect(await until(() => !waiting.some(runs))).toBe(true)
    } finally {
      owner.kill('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
    }
  })
})

/** Calls that come while the container ends, or is being started. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Container, Image, type Limits, Wait } from '../../../lib/index.js'

const ROUNDS = 16

describe('calls at the same time', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  const sleeper = (options = {}) => Container.create(image, { command: ['sleep', '1000'], ...options })
  /** What it ended in, and what became of it. */
  const outcome = (call: Promise<unknown>) =>
    call.then(
      (value) => ({ value, code: undefined }),
      (error) => ({ value: undefined, code: error.code as string }),
    )

  test('what is executed while it is killed is killed with it, or was too late', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      await using container = await sleeper()
      await container.start()
      const execs = [1, 2, 3].map(() => outcome(container.exec(['true'])))
      await sleep(round / 2)
      execs.push(outcome(container.exec(['true'])))
      await container.kill()
      execs.push(outcome(container.exec(['true'])))
      for (const { value, code } of await Promise.all(execs))
        if (code !== undefined) expect([round, code]).toEqual([round, 'ERR_CAISSON_INVALID_STATE'])
        else expect(['exit', 'signal']).toContain((value as { reason: string }).reason)
      expect(container.state).toBe('exited')
    }
  })

  test.each<[string, Limits]>([
    ['that it had', { pids: 77 }],
    ['that it did not have', { cpuset: '0', pids: 77 }],
  ])('limits %s hold from its next start on when it ends meanwhile', async (_, limits) => {
    for (let round = 0; round < ROUNDS; round++) {
      await using container = await sleeper()
      await container.start()
      const updated = container.update({ limits })
      await sleep(round / 2)
      await container.restart({ timeout: 0 })
      await updated
      expect([round, container.state]).toEqual([round, 'running'])
      expect([round, (await container.stats()).pidsLimit]).toEqual([round, 77])
      if (limits.cpuset !== undefined) expect((await container.exec(['nproc'])).stdout).toBe('1\n')
    }
  })

  test('who kills it while it starts has killed it, and who starts it is told so', async () => {
    const seen = new Set<string | undefined>()
    for (let round = 0; round < 3 * ROUNDS; round++) {
      await using container = await sleeper()
      const started = outcome(container.start())
      await sleep(round / 4)
      const killed = await outcome(container.kill())
      const { code } = await started
      seen.add(code)
      if (killed.code === undefined) {
        expect([round, container.state]).toEqual([round, 'exited'])
        expect([undefined, 'ERR_CAISSON_ABORTED']).toContain(code)
      } else expect([round, killed.code, code]).toEqual([round, 'ERR_CAISSON_INVALID_STATE', undefined])
    }
    expect(seen).toContain('ERR_CAISSON_ABORTED')
  })

  test('what is stopped while it is being paused is told so', async () => {
    const command = ['sh', '-c', 'trap "exit 5" TERM; echo up; while :; do sleep 0.02; done']
    for (let round = 0; round < 6; round++) {
      await using container = await Container.create(image, { command })
      await container.start()
      await container.waitFor(Wait.log(/up/))
      const paused = outcome(container.pause())
      await sleep(round / 4)
      await container.stop({ timeout: '20s' })
      expect([round, (await container.wait()).exitCode]).toEqual([round, 5])
      await paused
      expect(container.state).toBe('exited')
    }
  })

  test('it is removed and updated, paused and restarted at once', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const container = await sleeper()
      await container.start()
      const calls = [
        container.pause(),
        container.update({ limits: { cpuset: '0' } }),
        container.restart({ timeout: 0 }),
        container.resume(),
      ].map(outcome)
      await sleep(round)
      await container.remove({ force: true })
      for (const { code } of await Promise.all(calls))
        expect([undefined, 'ERR_CAISSON_INVALID_STATE', 'ERR_CAISSON_ABORTED']).toContain(code)
      expect(container.state).toBe('removed')
    }
  })
})

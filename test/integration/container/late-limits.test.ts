import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { cgroupHost, isWritable, parseProcCgroup } from '../../../lib/cgroup/host.js'
import { Container, type Execution, Image, type Limits } from '../../../lib/index.js'
import { testIf } from '../../support/needs.js'

describe('limits of a kind that a container did not have, on cgroup v1', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  const sleeper = (options = {}) => Container.create(image, { command: ['sleep', '1000'], ...options })

  /** Its directories in the hierarchy of a controller: at most one. */
  const directories = (controller: string, name: string) => {
    const own = cgroupHost().legacy.find(({ controllers }) => controllers.includes(controller))?.own as string
    const below = readdirSync(own).map((owner) => path.join(own, owner, name))
    return below.filter((directory) => existsSync(directory))
  }
  const procs = (directory: string) => readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n').length - 1
  const onLegacy = testIf(
    !cgroupHost().legacy.some(({ controllers, own }) => controllers.includes('cpuset') && isWritable(own)) &&
      'there is no cgroup v1 with these controllers',
  )

  onLegacy('are for all that runs in it, whoever starts more of it meanwhile, and for later starts', async () => {
    await using container = await Container.create(image, {
      command: ['sh', '-c', 'while :; do sleep 0.01 & sleep 0.01 & wait; done'],
    })
    await container.start()
    const busy = container.exec(['sh', '-c', 'while :; do sleep 0.01 & wait; done'])
    const many: Execution[] = []
    const more = setInterval(() => many.push(container.exec(['sleep', '1000'])), 3)
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(directories('cpuset', container.id)).toEqual([])
    await container.update({ limits: { cpuset: '1', cpus: 1.5 } })
    clearInterval(more)
    await Promise.all(many.map(({ pid }) => pid))
    const all = (await container.top()).map(({ pid }) => pid).filter((pid) => existsSync(`/proc/${pid}`))
    expect(all.length).toBeGreaterThan(many.length)
    for (const pid of all) {
      const text = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => undefined)
      if (text === undefined) continue
      expect(text).toMatch(new RegExp(`^\\d+:cpuset:.*${container.id}$`, 'm'))
      expect(text).toMatch(new RegExp(`^\\d+:(cpu|.*\\bcpu\\b.*):.*${container.id}`, 'm'))
    }
    expect((await container.exec(['nproc'])).stdout).toBe('1\n')
    expect(container.state).toBe('running')
    busy.kill()
    await container.restart({ timeout: 0 })
    expect((await container.exec(['nproc'])).stdout).toBe('1\n')
    expect(directories('cpuset', container.id).map(procs)).toEqual([expect.any(Number)])
    await container.stop({ timeout: 0 })
    expect([...directories('cpuset', container.id), ...directories('cpu', container.id)]).toEqual([])
  })

  onLegacy('that cannot be had change nothing; one that is paused stays so', async () => {
    await using container = await sleeper()
    await container.start()
    const refused = { code: 'ERR_CAISSON_CGROUP', stage: 'cgroup: cpuset' }
    await expect(container.update({ limits: { cpuset: '4000' } })).rejects.toMatchObject(refused)
    expect(directories('cpuset', container.id)).toEqual([])
    expect((await container.exec(['nproc'])).stdout).toBe(`${availableParallelism()}\n`)
    await container.pause()
    await Promise.all([
      container.update({ limits: { cpuset: '1' } }),
      container.update({ limits: { cpuset: '0' } }),
      container.update({ limits: { cpus: 0.5 } }),
    ])
    expect(container.state).toBe('paused')
    await container.resume()
    expect(await container.exec(['taskset', '-p', '1'])).toMatchObject({
      stdout: expect.stringMatching(/mask: 1\n$/),
    })
    await container.remove({ force: true })
    expect([...directories('cpuset', container.id), ...directories('cpu', container.id)]).toEqual([])
  })

  /** What the kernel says of a process's group. */
  const isFrozen = (pid: number) => {
    const { unified, legacy } = cgroupHost()
    const freezer = unified ?? legacy.find(({ controllers }) => controllers.includes('freezer'))
    const places = parseProcCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))
    const place = places.find(({ controllers }) =>
      unified ? controllers.length === 0 : controllers.includes('freezer'),
    )
    const directory = path.join(freezer?.mountpoint as string, place?.path as string)
    if (!unified) return readFileSync(path.join(directory, 'freezer.state'), 'utf8') === 'FROZEN\n'
    return readFileSync(path.join(directory, 'cgroup.events'), 'utf8').includes('frozen 1')
  }

  onLegacy('that come while it is paused and resumed leave it as it was asked for last', async () => {
    const kinds = [{ cpuset: '0' }, { cpus: 1.5 }]
    for (let round = 0; round < 12; round++) {
      await using container = await sleeper()
      await container.start()
      const changes: Array<Promise<void>> = [container.update({ limits: kinds[round % 2] as Limits })]
      // At another moment of the update each time, which takes some milliseconds.
      for (const until = performance.now() + round; performance.now() < until; ) await turn()
      changes.push(container.pause())
      if (round % 3 === 0) changes.push(container.resume(), container.pause())
      await Promise.all(changes)
      expect([round, container.state, isFrozen(container.pid as number)]).toEqual([round, 'paused', true])
    }
  })

  onLegacy('that come while it ends leave neither a cgroup nor a state that is not true', async () => {
    for (let round = 0; round < 12; round++) {
      await using container = await sleeper()
      await container.start()
      const update = container.update({ limits: { cpuset: '0', cpus: 1.5 } }).catch((error) => error)
      const pause = round % 2 ? container.pause().catch((error) => error) : undefined
      for (const until = performance.now() + round; performance.now() < until; ) await turn()
      await container.kill()
      for (const failed of [await update, await pause])
        if (failed !== undefined) expect([round, failed.code]).toEqual([round, expect.stringMatching(/^ERR_CAISSON_/)])
      expect([round, container.state]).toEqual([round, 'exited'])
      const left = () => [...directories('cpuset', container.id), ...directories('cpu', container.id)]
      expect([round, left()]).toEqual([round, []])
      await container.start()
      expect((await container.exec(['true'])).exitCode).toBe(0)
      await container.remove({ force: true })
      expect([round, left()]).toEqual([round, []])
    }
  })
})

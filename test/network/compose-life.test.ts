import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { Container, Network, type Project, Volume } from '../../lib/index.js'
import { noBusybox } from '../support/busybox-image.js'
import { CLI } from '../support/command.js'
import { attempt, Lan, noLan, shell, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'
import { Projects, read, SERVE, SLEEP, statesOf } from '../support/projects.js'

const missing = noLan || noBusybox
const it = testIf(missing)
const lan = Lan.forTests(missing)
const projects = new Projects(missing)

/** `caisson compose up` of the file. */
const spawnUp = () =>
  spawn(process.execPath, [CLI, 'compose', '-f', projects.file, '-p', 'p', 'up'], { env: process.env })

describe('a project, in the course of time', () => {
  it('up again changes what has changed, and nothing else', async () => {
    const file = (more: string) => `
services:
  a: {image: box, command: ${SLEEP}}
  b: {image: box, command: ${SLEEP}, ${more}}
  c: {image: box, command: ${SLEEP}, depends_on: {b: {condition: service_started, restart: true}}}
  d: {image: box, command: ${SLEEP}, scale: 3}
`
    const ids = async (p: Project) => Object.fromEntries((await p.ps()).map(({ name, id }) => [name, id]))
    const first = await projects.load(file('environment: {A: 1}'))
    await first.up()
    try {
      const before = await ids(first)
      expect(Object.keys(before)).toHaveLength(6)
      await first.up()
      expect(await ids(first)).toEqual(before)
      const second = await projects.load(file('environment: {A: 2}'))
      await second.up({ scale: { d: 1 } })
      const after = await ids(second)
      expect(Object.keys(after)).toEqual(['p-a-1', 'p-b-1', 'p-c-1', 'p-d-1'])
      expect([after['p-a-1'], after['p-d-1']]).toEqual([before['p-a-1'], before['p-d-1']])
      expect(after['p-b-1']).not.toBe(before['p-b-1'])
      expect(after['p-c-1']).not.toBe(before['p-c-1'])
      await (await Container.get('p-a-1')).kill()
      await second.up()
      expect((await statesOf(second))['p-a-1']).toBe('running')
      // An up that fails leaves the others as they were.
      const third = await projects.load(
        `${file('environment: {A: 2}')}  e: {image: box, command: [nope], networks: [more]}\nnetworks: {more: }\n`,
      )
      await expect(third.up()).rejects.toMatchObject({ code: 'ERR_CAISSON_COMMAND_NOT_FOUND' })
      expect(Object.keys(await ids(third))).not.toContain('p-e-1')
      expect((await statesOf(third))['p-a-1']).toBe('running')
      const networks = (await Network.list()).map(({ name }) => name)
      expect([networks.includes('p_default'), networks.includes('p_more')]).toEqual([true, false])
    } finally {
      await first.down({ timeout: 0 })
    }
  }, 60_000)

  it('what was there before a start that fails stays', async () => {
    const outer = await Network.create({ name: 'outer' })
    const before = await Volume.create({ name: 'p_old', labels: { 'com.docker.compose.project': 'p' } })
    try {
      const p = await projects.load(`
services:
  a: {image: box, command: ${SLEEP}, volumes: [old:/old, new:/new], networks: [outer, own], stop_signal: SIGKILL}
  b: {image: box, command: [nope], depends_on: [a], networks: [own]}
volumes: {old: , new: }
networks: {own: , outer: {external: true}}
`)
      await expect(p.up()).rejects.toMatchObject({ code: 'ERR_CAISSON_COMMAND_NOT_FOUND' })
      expect((await Volume.list()).map(({ name }) => name)).toEqual(['p_old'])
      expect((await Network.list()).map(({ name }) => name).filter((name) => name !== 'bridge')).toEqual(['outer'])
    } finally {
      await before.remove()
      await outer.remove()
    }
  })

  it('an abort ends the start', async () => {
    const p = await projects.load(`
services:
  a: {image: box, command: [sleep, "9"], healthcheck: {test: [CMD, "false"], interval: 10s}, stop_grace_period: 0s}
  b: {image: box, command: ${SLEEP}, depends_on: {a: {condition: service_healthy}}}
`)
    await expect(p.up({ signal: AbortSignal.timeout(300) })).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
  })

  it('another process sees it, cannot bring it up, and takes it down', async () => {
    const p = await projects.load(`
services:
  a: {image: box, command: [sh, -c, "echo one; trap 'echo bye; exit 0' TERM; sleep 1000 & wait"]}
`)
    const child = spawnUp()
    let out = ''
    child.stdout.on('data', (chunk) => (out += chunk))
    child.stderr.on('data', (chunk) => (out += chunk))
    const ended = once(child, 'exit')
    await until(() => out.includes('one'))
    expect(await statesOf(p)).toEqual({ 'p-a-1': 'running' })
    expect(await read(p)).toEqual(['a: one'])
    await expect(p.up()).rejects.toMatchObject({ code: 'ERR_CAISSON_NAME_IN_USE' })
    const followed = read(p, { follow: true })
    await p.down()
    expect((await followed)[0]).toBe('a: bye')
    expect((await ended)[0]).toBe(0)
    expect(out).toBe('p-a-1 | one\np-a-1 | bye\n')
    expect(await p.ps()).toEqual([])
  })

  it('Ctrl-C takes all down, and a kill -9 too', async () => {
    const p = await projects.load(`
services:
  a: {image: box, command: [sh, -c, "echo one; trap 'echo bye; exit 0' TERM; sleep 1000 & wait"]}
  b: {image: box, command: ${SERVE('b')}, depends_on: [a], ports: ["8081:80"], stop_grace_period: 0s}
`)
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const child = spawnUp()
      let out = ''
      child.stdout.on('data', (chunk) => (out += chunk))
      const ended = once(child, 'exit')
      await until(async () => out.includes('one') && (await p.ps()).length === 2)
      child.kill(signal)
      expect(await ended).toEqual(signal === 'SIGINT' ? [130, null] : [null, 'SIGKILL'])
      if (signal === 'SIGINT') expect(out).toContain('bye')
      await until(async () => (await p.ps()).length === 0)
      await until(() => (attempt(`ss -Hltn 'sport = 8081'`) ?? '') === '')
      await until(() => !shell('ip -o link show').includes('cnp-'))
      await until(async () => (await Container.list()).length === 0)
    }
    await p.down()
    expect(readdirSync(path.join(lan.root, 'networks')).filter((name) => name.startsWith('p_'))).toEqual([])
  }, 60_000)
})

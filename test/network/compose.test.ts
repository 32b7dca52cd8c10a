import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, compose, Network, type Project, Volume } from '../../lib/index.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import { busyboxImage, noBusybox } from '../support/busybox-image.js'
import { CLI } from '../support/command.js'
import { attempt, HERE, Lan, noLan, shell, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'
import { storeImage } from '../support/store-images.js'

const missing = noLan || noBusybox
const it = testIf(missing)
const lan = Lan.forTests(missing)
const directory = mkdtempSync(path.join(tmpdir(), 'caisson-compose-'))
const SERVE = (text: string) => `["sh", "-c", "while :; do echo ${text} | busybox nc -l -p 80; done"]`
const SLEEP = `["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]`

async function project(text: string, options: object = {}): Promise<Project> {
  const file = path.join(directory, 'compose.yaml')
  writeFileSync(file, text)
  return compose(file, { projectName: 'p', env: {}, ...options })
}
/** `caisson compose up` of it. */
const spawnUp = () => {
  const words = ['compose', '-f', path.join(directory, 'compose.yaml'), '-p', 'p', 'up']
  return spawn(process.execPath, [CLI, ...words], { env: process.env })
}
const states = async (each: Project) => Object.fromEntries((await each.ps()).map(({ name, state }) => [name, state]))
const read = async (each: Project, options: object = {}) => {
  const lines: string[] = []
  for await (const { service, data } of each.logs(options)) lines.push(`${service}: ${data.toString().trim()}`)
  return lines.sort()
}

async function nothingLeft(): Promise<void> {
  expect(await Container.list({ labels: { 'com.docker.compose.project': 'p' } })).toEqual([])
  expect((await Network.list()).map(({ name }) => name).filter((name) => name !== 'bridge')).toEqual([])
  expect(await Volume.list()).toEqual([])
}

describe('a project', () => {
  beforeAll(async () => {
    if (!missing) await storeImage((await imageRoots()).store, busyboxImage(), 'docker.io/library/box:latest')
  })
  afterAll(() => rmSync(directory, { recursive: true }))
  afterEach(async () => {
    if (!missing) await nothingLeft()
  })

  it('services by name and alias, through a published port, on networks apart; volumes, secrets, labels', async () => {
    writeFileSync(path.join(directory, 'secret.txt'), 'secret\n')
    writeFileSync(path.join(directory, 'vars.env'), 'FROM_FILE=1\nBOTH=file\n')
    const p = await project(`
services:
  web:
    image: box
    command: ${SERVE('hello')}
    ports: ["8080:80"]
    networks: {front: , back: {aliases: [other]}}
  db:
    image: box
    command: ${SERVE('data')}
    networks: [back]
    volumes: [data:/data]
    environment: {BOTH: own}
    env_file: vars.env
    secrets: [plain, {source: long, target: /key, mode: 0400, uid: "5"}]
    stop_grace_period: 100ms
  far: {image: box, command: ${SLEEP}, networks: [front]}
networks: {front: , back: {internal: true}}
volumes: {data: {labels: {a: b}}}
secrets: {plain: {file: ./secret.txt}, long: {content: longer}}
`)
    await p.up()
    try {
      expect(await states(p)).toEqual({ 'p-web-1': 'running', 'p-db-1': 'running', 'p-far-1': 'running' })
      await until(() => attempt(`busybox nc -w 1 ${HERE} 8080 </dev/null`)?.includes('hello') ?? false)
      await until(() => lan.tries(`busybox nc -w 1 ${HERE} 8080 </dev/null`)?.includes('hello') ?? false)
      const [web, db, far] = await Promise.all(['web', 'db', 'far'].map((name) => Container.get(`p-${name}-1`)))
      const from = async (container: Container | undefined, name: string) =>
        (await container?.exec(['busybox', 'nc', '-w', '1', name, '80']))?.stdout.trim()
      for (const name of ['db', 'p-db-1']) await until(async () => (await from(web, name)) === 'data')
      await until(async () => (await from(db, 'other')) === 'hello')
      expect(await from(far, 'db')).toBe('')
      const inside = await db?.exec([
        'sh',
        '-c',
        'env; cat /run/secrets/plain /key; stat -c "%a %u" /key; echo x > /key; echo kept > /data/file',
      ])
      expect(inside?.stdout).toContain('FROM_FILE=1')
      expect(inside?.stdout).toContain('BOTH=own')
      expect(inside?.stdout).toContain('secret\nlonger400 5')
      expect(inside?.stderr).toContain('Read-only file system')
      expect((await db?.diff())?.map(({ path }) => path)).not.toContain('/run/secrets/plain.content')
      expect((await Volume.get('p_data')).labels).toMatchObject({ a: 'b', 'com.docker.compose.volume': 'data' })
      const [info] = await Container.list({ name: 'p-web-1' })
      expect(info?.labels).toMatchObject({
        'com.docker.compose.service': 'web',
        'com.docker.compose.container-number': '1',
      })
      await p.down({ timeout: 0 })
      expect((await Volume.list()).map(({ name }) => name)).toEqual(['p_data'])
    } finally {
      await p.down({ volumes: true, timeout: 0 })
    }
  }, 60_000)

  it('volumes and networks of another project are used with a warning, and no network that is less closed', async () => {
    const told = jest.spyOn(process, 'emitWarning').mockImplementation()
    const label = 'com.docker.compose'
    const volume = await Volume.create({ name: 'theirs', labels: { [`${label}.project`]: 'q' } })
    const bare = await Volume.create({ name: 'bare' })
    const labels = { [`${label}.project`]: 'q', [`${label}.network`]: 'n' }
    const network = await Network.create({ name: 'shared', labels, lasting: false })
    const text = (more: string) => `
services: {a: {image: box, command: ${SLEEP}, networks: [n], volumes: ["v:/v", "w:/w"]}}
networks: {n: {name: shared${more}}}
volumes: {v: {name: theirs}, w: {name: bare}}
`
    try {
      const p = await project(text(''))
      await p.up()
      const a = await Container.get('p-a-1')
      expect(network.definition.id).toBe((await Network.get('shared')).id)
      expect((await network.inspect()).containers.map(({ id }) => id)).toEqual([a.id])
      await p.down({ volumes: true, timeout: 0 })
      expect(told.mock.calls.map(([message]) => message).sort()).toEqual([
        expect.stringMatching(/^the network shared was made for the project q; write external/),
        expect.stringMatching(/^the volume bare was not made for a project; /),
        expect.stringMatching(/^the volume theirs was made for the project q; /),
      ])
      // They are not the project's to remove.
      expect((await Volume.list()).map(({ name }) => name)).toEqual(['bare', 'theirs'])
      expect((await network.inspect()).name).toBe('shared')
      await expect((await project(text(', internal: true'))).up()).rejects.toMatchObject({
        code: 'ERR_CAISSON_NAME_IN_USE',
      })
      await expect((await project(text('').replace(/\bn\b/g, 'm'))).up()).rejects.toMatchObject({
        code: 'ERR_CAISSON_NAME_IN_USE',
      })
    } finally {
      told.mockRestore()
      await network.remove()
      for (const each of [volume, bare]) await each.remove()
    }
  }, 30_000)

  it('volumes of another service, input that stays open, no log, domains to search', async () => {
    writeFileSync(path.join(directory, 'bound.txt'), 'bound\n')
    const p = await project(`
services:
  holder:
    image: box
    command: ["sh", "-c", "echo kept > /data/file; echo own > /own/file; trap 'exit 0' TERM; sleep 1000 & wait"]
    volumes: [data:/data, /own, ./bound.txt:/bound.txt, /elsewhere]
  user:
    image: box
    command: sh
    stdin_open: true
    volumes_from: ["holder:ro"]
    tmpfs: /elsewhere
    dns_search: corp.test
    dns_opt: ["ndots:3"]
    stop_signal: SIGKILL
  shell: {image: box, command: sh, stdin_open: true, tty: true, stop_signal: SIGKILL}
  ended: {image: box, command: sh}
  silent: {image: box, command: ["sh", "-c", "echo printed; read line"], stdin_open: true, logging: {driver: none}, stop_signal: SIGKILL}
volumes: {data: }
`)
    await p.up()
    try {
      await until(async () => (await states(p))['p-ended-1'] === 'exited')
      const user = await Container.get('p-user-1')
      const script =
        'cat /data/file /own/file /bound.txt; echo x > /own/file; mount | grep -c elsewhere; cat /etc/resolv.conf'
      let seen = ''
      await until(async () => {
        seen = (await user.exec(['sh', '-c', `{ ${script}; } 2>&1`])).stdout
        return seen.includes('own')
      })
      expect(seen).toMatch(/^kept\nown\nbound\n.*Read-only file system\n1\n/)
      expect(seen).toMatch(/^search corp\.test\noptions ndots:3$/m)
      expect(await states(p)).toMatchObject({
        'p-user-1': 'running',
        'p-shell-1': 'running',
        'p-silent-1': 'running',
      })
      expect(await read(p, { services: ['silent'] })).toEqual([])
    } finally {
      await p.down({ volumes: true })
    }
  })

  it('health and completion order the start; what they print, in one stream', async () => {
    const p = await project(`
services:
  last: {image: box, command: [echo, last], depends_on: {db: {condition: service_healthy}, job: {condition: service_completed_successfully}, opt: {condition: service_healthy, required: false}}}
  job: {image: box, command: [sh, -c, "echo job; sleep 0.3; echo done"], depends_on: [db]}
  db: {image: box, command: [sh, -c, "sleep 0.3; touch /up; echo up; exec sleep 1000"], healthcheck: {test: [CMD, stat, /up], interval: 50ms, retries: 100}, stop_grace_period: 0s}
  opt: {image: box, command: ["false"], profiles: [never]}
`)
    await p.up()
    try {
      const times: Record<string, number> = {}
      await until(async () => {
        for await (const { data, time } of p.logs()) times[data.toString().trim()] = time.getTime()
        return 'last' in times
      })
      expect(Object.keys(times).sort()).toEqual(['done', 'job', 'last', 'up'])
      expect(times.last).toBeGreaterThan(Math.max(times.up as number, times.done as number))
      expect((await p.ps()).map(({ service, health }) => [service, health])).toEqual([
        ['last', 'none'],
        ['job', 'none'],
        ['db', 'healthy'],
      ])
      expect(await read(p, { services: ['job'], tail: 1 })).toEqual(['job: done'])
    } finally {
      await p.down()
    }
  })

  it('a dependency that becomes unhealthy, exits, or cannot start fails the whole, and leaves nothing', async () => {
    const failing = async (db: string, condition: string) => {
      const p = await project(`
services:
  web: {image: box, command: ${SLEEP}, depends_on: {db: {condition: ${condition}}}, volumes: [v:/v]}
  other: {image: box, command: ${SLEEP}, volumes: [v:/v]}
  db: {image: box, ${db}, stop_grace_period: 0s}
volumes: {v: }
`)
      const error = await p.up().catch((error) => error)
      await nothingLeft()
      return error
    }
    const unhealthy = await failing(
      'command: [sleep, "9"], healthcheck: {test: [CMD, "false"], interval: 50ms, retries: 2}',
      'service_healthy',
    )
    expect(unhealthy).toMatchObject({ code: 'ERR_CAISSON_DEPENDENCY', location: { line: 3 } })
    expect(unhealthy.message).toContain('web waits for db (service_healthy): p-db-1: it is unhealthy')
    expect((await failing('command: [sh, -c, "exit 3"]', 'service_completed_successfully')).message).toContain(
      'it exited with 3',
    )
    expect((await failing('command: [sleep, "9"]', 'service_healthy')).message).toContain('it has no health check')
    expect((await failing('command: [sh, -c, "exit 3"], healthcheck: {test: x}', 'service_healthy')).message).toContain(
      'ended before it was healthy',
    )
    expect(await failing('command: [nope]', 'service_started')).toMatchObject({
      code: 'ERR_CAISSON_COMMAND_NOT_FOUND',
      location: { line: 5 },
    })
    expect(await failing('command: [nope], mem_limit: 1', 'service_started')).toMatchObject({ location: { line: 5 } })
  }, 60_000)

  it('each container has a port of the range of its service, and none has another', async () => {
    const p = await project(
      `services:\n  web: {image: box, command: ${SLEEP}, ports: ["127.0.0.1:8100-8101:80"], scale: 2}\n`,
    )
    await p.up()
    try {
      const web = await Promise.all(['p-web-1', 'p-web-2'].map((name) => Container.get(name)))
      expect(web.map((each) => each.port(80).port).sort()).toEqual([8100, 8101])
      const error = await p.up({ scale: { web: 3 } }).catch((error) => error)
      expect(error).toMatchObject({ code: 'ERR_CAISSON_PORT_IN_USE' })
      expect(error.message).toContain('8100 to 8101')
    } finally {
      await p.down({ timeout: 0 })
    }
  })

  it('up again changes what has changed, and nothing else', async () => {
    const file = (more: string) => `
services:
  a: {image: box, command: ${SLEEP}}
  b: {image: box, command: ${SLEEP}, ${more}}
  c: {image: box, command: ${SLEEP}, depends_on: {b: {condition: service_started, restart: true}}}
  d: {image: box, command: ${SLEEP}, scale: 3}
`
    const ids = async (p: Project) => Object.fromEntries((await p.ps()).map(({ name, id }) => [name, id]))
    const first = await project(file('environment: {A: 1}'))
    await first.up()
    try {
      const before = await ids(first)
      expect(Object.keys(before)).toHaveLength(6)
      await first.up()
      expect(await ids(first)).toEqual(before)
      const second = await project(file('environment: {A: 2}'))
      await second.up({ scale: { d: 1 } })
      const after = await ids(second)
      expect(Object.keys(after)).toEqual(['p-a-1', 'p-b-1', 'p-c-1', 'p-d-1'])
      expect([after['p-a-1'], after['p-d-1']]).toEqual([before['p-a-1'], before['p-d-1']])
      expect(after['p-b-1']).not.toBe(before['p-b-1'])
      expect(after['p-c-1']).not.toBe(before['p-c-1'])
      await (await Container.get('p-a-1')).kill()
      await second.up()
      expect((await states(second))['p-a-1']).toBe('running')
      // An up that fails leaves the others as they were.
      const third = await project(
        `${file('environment: {A: 2}')}  e: {image: box, command: [nope], networks: [more]}\nnetworks: {more: }\n`,
      )
      await expect(third.up()).rejects.toMatchObject({ code: 'ERR_CAISSON_COMMAND_NOT_FOUND' })
      expect(Object.keys(await ids(third))).not.toContain('p-e-1')
      expect((await states(third))['p-a-1']).toBe('running')
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
      const p = await project(`
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
    const p = await project(`
services:
  a: {image: box, command: [sleep, "9"], healthcheck: {test: [CMD, "false"], interval: 10s}, stop_grace_period: 0s}
  b: {image: box, command: ${SLEEP}, depends_on: {a: {condition: service_healthy}}}
`)
    await expect(p.up({ signal: AbortSignal.timeout(300) })).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
  })

  it('namespaces of another service', async () => {
    const p = await project(`
services:
  a: {image: box, command: ${SERVE('shared')}, stop_grace_period: 0s}
  b: {image: box, command: ${SLEEP}, network_mode: "service:a", pid: "service:a", ipc: "service:a"}
`)
    await p.up()
    try {
      const b = await Container.get('p-b-1')
      await until(async () => (await b.exec(['busybox', 'nc', '-w', '1', '127.0.0.1', '80'])).stdout.includes('shared'))
      expect((await b.exec(['busybox', 'ps'])).stdout).toContain('nc -l -p 80')
    } finally {
      await p.down()
    }
  })

  it('another process sees it, cannot bring it up, and takes it down', async () => {
    const p = await project(`
services:
  a: {image: box, command: [sh, -c, "echo one; trap 'echo bye; exit 0' TERM; sleep 1000 & wait"]}
`)
    const child = spawnUp()
    let out = ''
    child.stdout.on('data', (chunk) => (out += chunk))
    child.stderr.on('data', (chunk) => (out += chunk))
    const ended = once(child, 'exit')
    await until(() => out.includes('one'))
    expect(await states(p)).toEqual({ 'p-a-1': 'running' })
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
    const p = await project(`
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

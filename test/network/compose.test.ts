import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, Network, Volume } from '../../lib/index.js'
import { noBusybox } from '../support/busybox-image.js'
import { attempt, HERE, Lan, noLan, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'
import { nothingLeft, Projects, read, SERVE, SLEEP, statesOf } from '../support/projects.js'

const missing = noLan || noBusybox
const it = testIf(missing)
const lan = Lan.forTests(missing)
const projects = new Projects(missing)

describe('a project', () => {
  it('services by name and alias, through a published port, on networks apart; volumes, secrets, labels', async () => {
    writeFileSync(path.join(projects.directory, 'secret.txt'), 'secret\n')
    writeFileSync(path.join(projects.directory, 'vars.env'), 'FROM_FILE=1\nBOTH=file\n')
    const p = await projects.load(`
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
      expect(await statesOf(p)).toEqual({ 'p-web-1': 'running', 'p-db-1': 'running', 'p-far-1': 'running' })
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
      const p = await projects.load(text(''))
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
      await expect((await projects.load(text(', internal: true'))).up()).rejects.toMatchObject({
        code: 'ERR_CAISSON_NAME_IN_USE',
      })
      await expect((await projects.load(text('').replace(/\bn\b/g, 'm'))).up()).rejects.toMatchObject({
        code: 'ERR_CAISSON_NAME_IN_USE',
      })
    } finally {
      told.mockRestore()
      await network.remove()
      for (const each of [volume, bare]) await each.remove()
    }
  }, 30_000)

  it('volumes of another service, input that stays open, no log, domains to search', async () => {
    writeFileSync(path.join(projects.directory, 'bound.txt'), 'bound\n')
    const p = await projects.load(`
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
      await until(async () => (await statesOf(p))['p-ended-1'] === 'exited')
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
      expect(await statesOf(p)).toMatchObject({
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
    const p = await projects.load(`
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
      const p = await projects.load(`
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
    const p = await projects.load(
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

  it('namespaces of another service', async () => {
    const p = await projects.load(`
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
})

/** Networks and published ports by the Engine API, with docker's own client. */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import path from 'node:path'
import { promisify } from 'node:util'
import { Container } from '../../lib/index.js'
import { noBusybox } from '../support/busybox-image.js'
import { BOX, type Engine, noClient, startEngine, storeBox } from '../support/engine.js'
import { Lan, noLan } from '../support/lan.js'
import { findProgram, testIf } from '../support/needs.js'
import { removeScratch, scratch } from '../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const missing = noBusybox || noClient || noLan
const withClient = testIf(missing)
const withCompose = testIf(missing || (!findProgram('docker-compose') && 'no docker-compose (apt: docker-compose)'))
Lan.forTests()

let engine: Engine
const inspect = async (name: string, format: string) => engine.ok('inspect', name, '--format', format)

beforeAll(async () => {
  if (missing) return
  await storeBox({ ExposedPorts: { '81/tcp': {} } })
  engine = await startEngine(root)
}, 60_000)
afterEach(async () => {
  for (const { id } of await Container.list()) await (await Container.get(id)).remove({ force: true })
})
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]()
  removeScratch()
})

withClient('a container is on the default network, and its ports are where they were asked for', async () => {
  await engine.ok('run', '-d', '--name', 'one', '-p', '127.0.0.1:0:80', BOX, 'sleep', '100')
  expect(await engine.ok('port', 'one', '80/tcp')).toMatch(/^127\.0\.0\.1:\d+$/)
  expect(await inspect('one', '{{.NetworkSettings.Networks.bridge.IPAddress}}')).toMatch(/^\d+\.\d+\.\d+\.\d+$/)
  expect(await engine.ok('ps', '--format', '{{.Ports}}')).toMatch(/127\.0\.0\.1:\d+->80\/tcp/)
  await engine.ok('run', '-d', '--name', 'two', '-P', BOX, 'sleep', '100')
  expect(await inspect('two', '{{json .Config.ExposedPorts}} {{json .Config.Cmd}}')).toBe(
    '{"81/tcp":{}} ["sleep","100"]',
  )
  const { networks } = await stats('two')
  expect(networks.eth0).toMatchObject({ rx_errors: 0, tx_dropped: 0, tx_bytes: expect.any(Number) })
  expect(await engine.ok('port', 'two', '81/tcp')).toMatch(/^0\.0\.0\.0:\d+/)
})

/** One sample. */
async function stats(name: string) {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ socketPath: engine.socket, path: `/containers/${name}/stats?stream=0&one-shot=1` }, resolve).on(
      'error',
      reject,
    )
  })
  return JSON.parse(String(Buffer.concat(await answer.toArray())))
}

withClient('networks are made, used, left and removed', async () => {
  await engine.ok('network', 'create', '--subnet', '10.99.8.0/24', '--label', 'a=b', 'net')
  expect(await engine.ok('network', 'ls', '-q', '--filter', 'label=a=b')).toHaveLength(12)
  const flags = ['--network', 'net', '--ip', '10.99.8.7', '--network-alias', 'web']
  await engine.ok('run', '-d', '--name', 'one', ...flags, BOX, 'sleep', '100')
  expect(await inspect('one', '{{.NetworkSettings.Networks.net.IPAddress}}')).toBe('10.99.8.7')
  expect(await engine.ok('network', 'inspect', 'net', '--format', '{{range .Containers}}{{.Name}}{{end}}')).toBe('one')
  expect((await engine.docker(['network', 'rm', 'net'])).stderr).toContain('is used by')
  await engine.ok('run', '-d', '--name', 'two', '--network', 'none', BOX, 'sleep', '100')
  await engine.ok('run', '-d', '--name', 'three', '--network', 'container:one', BOX, 'sleep', '100')
  const space = (name: string) =>
    inspect(name, '{{.State.Pid}}').then((pid) => readFileSync(`/proc/${pid}/net/fib_trie`))
  expect(String(await space('three'))).toContain('10.99.8.7')
  expect(String(await space('two'))).not.toContain('10.99.8.7')
  await engine.ok('network', 'disconnect', 'net', 'one')
  expect(await inspect('one', '{{len .NetworkSettings.Networks}}')).toBe('0')
  await engine.ok('rm', '-f', 'three', 'one')
  await engine.ok('network', 'rm', 'net')
  expect((await engine.docker(['network', 'inspect', 'net'])).stderr).toContain('not found')
  expect((await engine.docker(['network', 'rm', 'bridge'])).stderr).toContain('pre-defined')
  expect((await engine.docker(['run', '--rm', '--network', 'nowhere', BOX, 'true'])).stderr).toContain('not found')
})

withCompose(
  'docker-compose brings a project up: its services know each other, and all of it goes again',
  async () => {
    const file = path.join(root, 'docker-compose.yml')
    const service = { image: BOX, command: 'sleep 100' }
    writeFileSync(path.join(root, 'Dockerfile'), `FROM ${BOX}\nLABEL of=compose`)
    const built = { ...service, image: 'localhost/built:1', build: { context: root, network: 'none' } }
    const services = {
      web: { ...service, volumes: ['data:/data'] },
      other: { ...service, depends_on: ['web'] },
      built,
    }
    // JSON is YAML.
    const write = () => writeFileSync(file, JSON.stringify({ version: '3.4', services, volumes: { data: {} } }))
    write()
    const env = { PATH: process.env.PATH, HOME: root, DOCKER_HOST: engine.server.address }
    const compose = (...args: string[]) =>
      promisify(execFile)('docker-compose', ['-p', 'caisson', '-f', file, ...args], { env })
    await compose('up', '-d')
    expect(await engine.ok('image', 'inspect', 'localhost/built:1', '--format', '{{.Config.Labels.of}}')).toBe(
      'compose',
    )
    expect((await compose('exec', '-T', 'other', '/bin/busybox', 'ping', '-c', '1', 'web')).stdout).toContain(
      '1 packets received',
    )
    // What has changed is made anew, with the old one under another name meanwhile.
    Object.assign(services.web, { environment: { SAID: 'again' } })
    write()
    const before = await engine.ok('ps', '--filter', 'name=web', '--format', '{{.ID}} {{.Names}}')
    await compose('up', '-d', '-t', '0')
    const after = await engine.ok('ps', '--filter', 'name=web', '--format', '{{.ID}} {{.Names}}')
    expect(after.split(' ')[1]).toBe(before.split(' ')[1])
    expect(after).not.toBe(before)
    expect((await compose('exec', '-T', 'web', '/bin/busybox', 'env')).stdout).toContain('SAID=again')
    await compose('down', '-v', '-t', '0')
    expect(await engine.ok('ps', '-aq')).toBe('')
    expect(await engine.ok('volume', 'ls', '-q')).toBe('')
    expect(await engine.ok('network', 'ls', '--format', '{{.Name}}')).toBe('bridge')
  },
  60_000,
)

/** Exports, commits with changes, the use of disk and logins by the Engine API, with docker's own client. */
import { execFileSync } from 'node:child_process'
import { request } from 'node:http'
import path from 'node:path'
import { Container, Image } from '../../../lib/index.js'
import { noBusybox } from '../../support/busybox-image.js'
import { noRegistry, startRegistry } from '../../support/docker-registry.js'
import { BOX, type Engine, noClient, startEngine, storeBox } from '../../support/engine.js'
import { testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const withClient = testIf(noBusybox || noClient)
const RUN = ['run', '--network', 'none']

let engine: Engine
beforeAll(async () => {
  if (noBusybox || noClient) return
  await storeBox()
  engine = await startEngine(root)
}, 60_000)
afterEach(async () => {
  for (const { id } of await Container.list()) await (await Container.get(id)).remove({ force: true, volumes: true })
})
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]()
  removeScratch()
})

for (const [what, flags, script] of [
  ['that has ended', [], 'echo kept > /kept'],
  ['that runs', ['-d', '-v', '/data'], 'echo x > /data/in; echo kept > /kept; exec sleep 100'],
] as const)
  withClient(`docker export of a container ${what}: its files, and none of the system’s`, async () => {
    await engine.ok(...RUN, ...flags, '--name', 'one', BOX, 'sh', '-c', script)
    const live = await Container.get('one')
    if (live.state === 'running') await live.exec(['sh', '-c', 'until test -s /kept; do sleep 0.05; done'])
    const file = path.join(root, 'exported.tar')
    await engine.ok('export', '-o', file, 'one')
    const names = execFileSync('tar', ['-tf', file], { encoding: 'utf8' }).trim().split('\n')
    expect(names).toEqual(expect.arrayContaining(['kept', 'bin/busybox']))
    expect(names.filter((name) => /^\/|^\.\.|^proc\/.|^sys\/.|^dev\/pts\/.|^data\/./.test(name))).toEqual([])
    expect(execFileSync('tar', ['-xOf', file, 'kept'], { encoding: 'utf8' })).toBe('kept\n')
    expect(await Image.list()).toHaveLength(1)
  })

withClient('docker commit --change: the configuration is another, the files are the container’s', async () => {
  await engine.ok(...RUN, '--name', 'two', BOX, 'sh', '-c', 'echo kept > /kept')
  const changes = ['-c', 'CMD ["cat", "/kept"]', '-c', 'ENV A=b C="d e"', '-c', 'LABEL l=m', '-c', 'EXPOSE 80']
  const before = (await Image.list()).length
  const id = await engine.ok('commit', ...changes, 'two', 'localhost/changed:1')
  expect((await Image.list()).length).toBe(before + 1)
  const { config } = await Image.get('localhost/changed:1')
  expect(config).toMatchObject({ Labels: { l: 'm' }, ExposedPorts: { '80/tcp': {} } })
  expect(config.Env).toEqual(expect.arrayContaining(['A=b', 'C=d e']))
  expect((await engine.docker([...RUN, '--rm', id])).stdout).toBe('kept\n')
  for (const change of ['RUN true', 'COPY / /x', 'FROM other'])
    expect(await engine.docker(['commit', '-c', change, 'two'])).toMatchObject({ status: 1 })
  await engine.ok('rm', 'two')
  await engine.ok('rmi', 'localhost/changed:1')
})

withClient('docker system df counts images, containers and volumes', async () => {
  await engine.ok('volume', 'create', 'data')
  await engine.ok(...RUN, '--name', 'three', '-v', 'data:/data', BOX, 'sh', '-c', 'echo 12345 > /data/file')
  const lines = (await engine.ok('system', 'df', '--format', '{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}')).split(
    '\n',
  )
  expect(lines.map((line) => line.replace(/ [\d.]+[kM]B$/, ' SIZE'))).toEqual([
    'Images 1 1 SIZE',
    'Containers 1 0 0B',
    'Local Volumes 1 1 SIZE',
    'Build Cache 0 0 0B',
  ])
  const refused = await post('/system/df?type=other', '', 'GET')
  expect(refused.status).toBe(400)
  await engine.ok('rm', 'three')
  await engine.ok('volume', 'rm', 'data')
})

withClient(
  'as dockerode asks: an empty command is the image’s, and an exec has its code when its output ends',
  async () => {
    const HostConfig = { NetworkMode: 'none' }
    const created = await post('/containers/create', {
      Image: BOX,
      Cmd: ['sleep', '100'],
      HostConfig,
    })
    const { Id: id } = JSON.parse(created.text)
    await post(`/containers/${id}/start`, '')
    for (let i = 0; i < 5; i++) {
      const exec = await post(`/containers/${id}/exec`, { Cmd: ['sh', '-c', 'echo x; exit 3'], AttachStdout: true })
      const { Id: execId } = JSON.parse(exec.text)
      await post(`/exec/${execId}/start`, {})
      expect(JSON.parse((await post(`/exec/${execId}/json`, '', 'GET')).text)).toMatchObject({
        Running: false,
        ExitCode: 3,
      })
    }
    await storeBox({ Cmd: ['echo', 'of the image'] })
    expect(await post('/containers/create', { Image: BOX, Cmd: [], HostConfig })).toMatchObject({ status: 201 })
  },
)

testIf(noBusybox || noClient || noRegistry)('docker login: the registry is asked', async () => {
  await using registry = await startRegistry({ user: ['alice', 'secret'] })
  const login = (password: string) =>
    engine.docker(['login', '-u', 'alice', '--password-stdin', registry.host], { input: password })
  expect(await login('wrong')).toMatchObject({ status: 1 })
  expect(await login('secret')).toMatchObject({ status: 0, stdout: expect.stringContaining('Login Succeeded') })
})

function post(at: string, body: unknown, method = 'POST'): Promise<{ status: number; text: string }> {
  const headers = { 'Content-Type': 'application/json' }
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: engine.socket, method, path: at, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body === '' ? undefined : JSON.stringify(body))
  })
}

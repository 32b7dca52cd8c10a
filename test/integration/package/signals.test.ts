import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  Cgroup,
  Container,
  compose,
  doctor,
  Group,
  Image,
  Namespace,
  Network,
  Pool,
  run,
  storeUsage,
  Volume,
  verifyStore,
  Wait,
} from '../../../lib/index.js'
import { isRoot, testIf } from '../../support/needs.js'

const signal = AbortSignal.abort(new Error('no time'))
const aborted = expect.objectContaining({
  code: 'ERR_CAISSON_ABORTED',
  stage: expect.stringMatching(/./),
  hint: expect.stringMatching(/./),
})

let image: Image
let directory: string
let container: Container
beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'caisson-signals-'))
  image = await Image.host()
  container = await Container.create(image, { command: ['sleep', '1000'] })
  await container.start()
})
afterAll(async () => {
  await container.remove({ force: true })
  rmSync(directory, { recursive: true })
})

describe('a signal that has fired', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['run', () => run(image, ['true'], { signal })],
    ['exec', () => container.exec(['true'], { signal })],
    ['create', () => Container.create(image, { signal })],
    ['fromBundle', () => Container.fromBundle('/nonexistent', { signal })],
    ['list', () => Container.list({ signal })],
    ['get', () => Container.get(container.id, { signal })],
    ['start', () => container.start({ signal })],
    ['wait', () => container.wait({ signal })],
    ['stop', () => container.stop({ signal })],
    ['kill', () => container.kill('SIGKILL', { signal })],
    ['restart', () => container.restart({ signal })],
    ['pause', () => container.pause({ signal })],
    ['remove', () => container.remove({ force: true, signal })],
    ['stats', () => container.stats({ signal })],
    ['top', () => container.top({ signal })],
    ['update', () => container.update({ limits: { pids: 10 }, signal })],
    ['waitFor', () => container.waitFor(Wait.command(['true']), { signal })],
    ['diff', () => container.diff({ signal })],
    ['commit', () => container.commit({ signal })],
    ['fork', () => container.fork(1, { signal })],
    ['connect', () => container.connect(1, { signal })],
    ['putArchive', () => container.putArchive('/', Buffer.alloc(1024), { signal })],
    ['readFile', () => container.fs.readFile('/etc/passwd', { signal })],
    ['writeFile', () => container.fs.writeFile('/x', '', { signal })],
    ['mkdir', () => container.fs.mkdir('/x', { signal })],
    ['readdir', () => container.fs.readdir('/', { signal })],
    ['stat', () => container.fs.stat('/', { signal })],
    ['rm', () => container.fs.rm('/x', { signal })],
    ['rename', () => container.fs.rename('/x', '/y', { signal })],
    ['symlink', () => container.fs.symlink('x', '/y', { signal })],
    ['chmod', () => container.fs.chmod('/', 0o755, { signal })],
    ['chown', () => container.fs.chown('/', 0, 0, { signal })],
    ['Image.pull', () => Image.pull('localhost:1/none', { signal })],
    ['Image.build', () => Image.build({ dockerfile: { text: 'FROM scratch' }, signal })],
    ['Image.load', () => Image.load(directory, { signal })],
    ['Image.host', () => Image.host({ signal })],
    ['Image.get', () => Image.get('none', { signal })],
    ['Image.list', () => Image.list({ signal })],
    ['Image.prune', () => Image.prune({ signal })],
    ['image.tag', () => image.tag('none', { signal })],
    ['image.history', () => image.history({ signal })],
    ['image.inspect', () => image.inspect({ signal })],
    ['image.remove', () => image.remove({ signal })],
    ['Namespace.list', () => Namespace.list({ signal })],
    ['Namespace.of', () => Namespace.of(process.pid, 'net', { signal })],
    ['Namespace.create', () => Namespace.create('net', { signal })],
    ['Namespace.open', () => Namespace.open('/proc/self/ns/net', { signal })],
    ['Cgroup.root', () => Cgroup.root({ signal })],
    ['Cgroup.of', () => Cgroup.of(process.pid, { signal })],
    ['Cgroup.create', () => Cgroup.create('signals', {}, { signal })],
    ['Network.create', () => Network.create({ signal })],
    ['Network.get', () => Network.get('none', { signal })],
    ['Network.list', () => Network.list({ signal })],
    ['Network.prune', () => Network.prune({ signal })],
    ['Volume.create', () => Volume.create({ signal })],
    ['Volume.get', () => Volume.get('none', { signal })],
    ['Volume.list', () => Volume.list({ signal })],
    ['Volume.prune', () => Volume.prune({ signal })],
    ['Group.create', () => Group.create({ containers: [{ image }], signal })],
    ['compose', () => compose({ services: {} }, { signal })],
    ['verifyStore', () => verifyStore({ signal })],
    ['storeUsage', () => storeUsage({ signal })],
    ['doctor', () => doctor({ signal })],
  ])('%s does nothing', async (_, call) => {
    await expect(call()).rejects.toEqual(aborted)
  })

  test('it has changed nothing', async () => {
    expect(container.state).toBe('running')
    expect(container.inspect().limits).toEqual({})
    expect(await container.fs.readdir('/')).not.toContain('x')
  })
})

test('what is no signal is refused', async () => {
  const wrong = { signal: 'soon' } as never
  for (const call of [() => container.top(wrong), () => Image.list(wrong), () => doctor(wrong)])
    await expect(call()).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
})

test('nobody waits for what a signal gave up', async () => {
  const waiting = AbortSignal.timeout(50)
  await expect(container.wait({ signal: waiting })).rejects.toEqual(aborted)
  const pool = new Pool('localhost:1/none', { size: 1 })
  await expect(pool.ready({ signal })).rejects.toEqual(aborted)
  await pool[Symbol.asyncDispose]()
})

test('a program is killed while its image is fetched', async () => {
  const sockets: Socket[] = []
  const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
  await new Promise((resolve) => silent.once('listening', resolve))
  const name = `localhost:${(silent.address() as { port: number }).port}/box`
  const execution = run(name, ['true'])
  const output: unknown[] = []
  const reading = (async () => {
    for await (const chunk of execution) output.push(chunk)
  })()
  setTimeout(() => execution.kill(), 100)
  expect(await execution).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'signal', stdout: '' })
  await reading
  expect(output).toEqual([])
  const strict = run(name, ['true'], { throwOnError: true })
  strict.kill()
  await expect(strict).rejects.toMatchObject({ code: 'ERR_CAISSON_COMMAND_FAILED', result: { signal: 'SIGKILL' } })
  await expect(run(name, ['true'], { signal: AbortSignal.timeout(100) })).rejects.toEqual(aborted)
  // In a pool it is the same, with a terminal and without.
  const pool = new Pool(name, { size: 1 })
  for (const options of [{}, { tty: true }]) {
    const waiting = pool.run(['true'], options)
    setTimeout(() => waiting.kill(), 50)
    expect(await waiting).toMatchObject({ signal: 'SIGKILL', reason: 'signal' })
    await expect(pool.run(['true'], { ...options, signal: AbortSignal.timeout(50) })).rejects.toEqual(aborted)
  }
  await pool[Symbol.asyncDispose]()
  silent.close()
  for (const socket of sockets) socket.destroy()
})

testIf(!isRoot && 'only root has cgroups for certain')(
  'the root of all cgroups is neither killed nor removed',
  async () => {
    const root = await Cgroup.root()
    for (const call of [() => root.kill(), () => root.remove(), () => root.freeze()])
      await expect(call()).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    // Disposed of is only the object.
    const own = await Cgroup.of(process.pid)
    await own[Symbol.asyncDispose]()
    expect((await own.procs()).length).toBeGreaterThan(0)
  },
)

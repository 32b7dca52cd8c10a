/** The Engine API with docker's own client. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import path from 'node:path'
import { frame } from '../../../lib/engine/stream-format.js'
import { Container, Image, Wait } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { busyboxImage, noBusybox } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { BOX, type Engine, noClient, startEngine, storeBox, takenOver, written } from '../../support/engine.js'
import { testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'
import { until } from '../../support/until.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const withClient = testIf(noBusybox || noClient)
const withRegistry = testIf(noBusybox || noClient || noRegistry)

let engine: Engine
let registry: DockerRegistry

/** Without a network: those of this machine are others' tests. */
const RUN = ['run', '--rm', '--network', 'none']
const run = (flags: string[], command: string[], options = {}) =>
  engine.docker([...RUN, ...flags, BOX, ...command], options)
const sh = (script: string) => ['sh', '-c', script]

beforeAll(async () => {
  if (noBusybox || noClient) return
  await storeBox({ Env: ['OF=image'], Labels: { of: 'image' } })
  engine = await startEngine(root)
  if (!noRegistry) registry = await startRegistry()
}, 60_000)
afterEach(async () => {
  for (const { id } of await Container.list()) await (await Container.get(id)).remove({ force: true, volumes: true })
})
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]()
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

withClient('docker version and docker info know the server', async () => {
  expect(await engine.ok('version', '--format', '{{.Server.APIVersion}} {{.Server.Os}}')).toMatch(/^1\.\d+ linux$/)
  expect(await engine.ok('info', '--format', '{{.Images}} {{.DefaultRuntime}}')).toBe('1 caisson')
})

withClient('docker run: output of both streams, input, and the exit code', async () => {
  expect(await run([], sh('echo out; echo err >&2; exit 4'))).toEqual({ status: 4, stdout: 'out\n', stderr: 'err\n' })
  expect(await run(['-i'], ['cat'], { input: 'typed\n' })).toMatchObject({ status: 0, stdout: 'typed\n' })
  expect(await run(['-e', 'A=b', '-w', '/bin', '-u', '1000'], sh('echo $A $OF; pwd; id -u'))).toMatchObject({
    stdout: 'b image\n/bin\n1000\n',
  })
  expect((await run([], sh('exit 255'))).status).toBe(255)
  expect((await run([], ['nothere'])).status).toBe(127)
  expect((await run([], ['/etc/passwd'])).status).toBe(126)
  expect(await Container.list()).toEqual([])
})

withClient('docker run: a line without an end comes at once, and megabytes come whole', async () => {
  const child = spawn('docker', ['-H', engine.server.address, ...RUN, '-i', BOX, 'sh', '-c', 'printf ready; cat'])
  const output: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  await until(() => Buffer.concat(output).toString() === 'ready')
  child.stdin.end('more')
  const status = await new Promise((resolve) => child.once('close', resolve))
  expect([status, Buffer.concat(output).toString()]).toEqual([0, 'readymore'])
  const big = 'x'.repeat(4 << 20)
  expect((await run(['-i'], ['cat'], { input: big })).stdout).toBe(big)
})

withClient('docker run -t: a terminal, of the size of the client', async () => {
  const { status, stdout } = await run(['-t'], sh('test -t 1 && stat -c %t /dev/console; exit 3'), { terminal: true })
  expect([status, stdout.trim()]).toEqual([3, '88'])
})

withClient('docker run -d, ps, logs, exec, inspect, stop, rm', async () => {
  const id = await engine.ok(
    'run',
    '-d',
    '--name',
    'one',
    '--network',
    'none',
    '--label',
    'a=b',
    BOX,
    ...sh('trap "exit 5" TERM; echo up; while :; do sleep 0.05; done'),
  )
  expect(
    await engine.ok('ps', '--no-trunc', '--filter', 'label=a=b', '--format', '{{.ID}} {{.Names}} {{.State}}'),
  ).toBe(`${id} one running`)
  expect(await engine.ok('ps', '-q', '--filter', 'label=a=c')).toBe('')
  expect(
    await engine.ok(
      'inspect',
      'one',
      '--format',
      '{{.State.Status}} {{.Config.Image}} {{.HostConfig.NetworkMode}} {{.Config.Labels.of}}',
    ),
  ).toBe(`running ${BOX} none image`)
  expect(await engine.docker(['exec', 'one', ...sh('echo in; echo bad >&2; exit 7')])).toEqual({
    status: 7,
    stdout: 'in\n',
    stderr: 'bad\n',
  })
  expect(await engine.docker(['exec', '-i', 'one', 'cat'], { input: 'typed' })).toMatchObject({ stdout: 'typed' })
  expect(await engine.docker(['exec', 'one', 'nothere'])).toMatchObject({ status: 127 })
  expect(await engine.docker(['exec', '-t', 'one', ...sh('test -t 1; echo $?')], { terminal: true })).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^0\r/),
  })
  expect(await engine.ok('top', 'one')).toContain('sh -c trap')
  await engine.ok('pause', 'one')
  expect(await engine.ok('ps', '--filter', 'status=paused', '--format', '{{.Names}}')).toBe('one')
  await engine.ok('unpause', 'one')
  const stats = () => engine.docker(['stats', '--no-stream', '--format', 'json', 'one'])
  const sample = async () => {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      get({ socketPath: engine.socket, path: '/containers/one/stats?stream=0' }, resolve).on('error', reject)
    })
    return JSON.parse(String(Buffer.concat(await answer.toArray())))
  }
  expect(await sample()).toMatchObject({ name: '/one', pids_stats: { current: expect.any(Number) } })
  // On a busy machine docker's client reads on behind a whole answer, and tells of the EOF there: then it is asked again.
  const first = await stats()
  const { stdout } = first.status === 0 ? first : await stats()
  expect(JSON.parse(stdout)).toMatchObject({ Name: 'one' })
  await engine.ok('stop', 'one')
  expect(await engine.ok('wait', 'one')).toBe('5')
  expect(await sample()).toMatchObject({ name: '/one', pids_stats: {}, read: '0001-01-01T00:00:00Z' })
  expect(await engine.ok('logs', 'one')).toBe('up')
  expect(await engine.ok('ps', '-a', '--filter', 'exited=5', '--format', '{{.Status}}')).toMatch(/^Exited \(5\)/)
  await engine.ok('start', 'one')
  await engine.ok('kill', 'one')
  expect(await engine.ok('wait', 'one')).toBe('137')
  await engine.ok('restart', 'one')
  expect((await engine.docker(['rm', 'one'])).stderr).toContain('container is running')
  await engine.ok('rm', '-f', 'one')
  expect((await engine.docker(['inspect', 'one'])).status).toBe(1)
})

withClient('docker logs: followed to the end, the last lines, with times', async () => {
  await engine.ok(
    'run',
    '-d',
    '--name',
    'two',
    '--network',
    'none',
    BOX,
    ...sh('for i in 1 2 3; do echo $i; sleep 0.1; done; echo e >&2'),
  )
  expect(await engine.docker(['logs', '-f', 'two'])).toEqual({ status: 0, stdout: '1\n2\n3\n', stderr: 'e\n' })
  expect((await engine.docker(['logs', '--tail', '2', 'two'])).stdout).toBe('3\n')
  expect((await engine.docker(['logs', '-t', 'two'])).stdout).toMatch(/^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z 1$/m)
  expect((await engine.docker(['logs', '--since', '1h', 'two'])).stdout).toBe('1\n2\n3\n')
})

withClient('docker attach: what comes from now on, for as many as want it', async () => {
  await engine.ok('run', '-di', '--name', 'three', '--network', 'none', BOX, 'cat')
  const [one, two] = [
    engine.docker(['attach', 'three'], { input: '' }),
    engine.docker(['attach', '--no-stdin', 'three']),
  ]
  const live = await Container.get('three')
  // Not before both are attached: there is no word of that but theirs.
  await new Promise((resolve) => setTimeout(resolve, 500))
  const typed = live.attach()
  typed.stdin?.write('hello\n')
  typed.stdin?.end()
  expect(await one).toMatchObject({ status: 0, stdout: 'hello\n' })
  expect(await two).toMatchObject({ status: 0, stdout: 'hello\n' })
})

withClient('an attach with logs has what was printed before, too; without a stream that alone', async () => {
  await engine.ok('run', '-di', '--name', 'before', '--network', 'none', BOX, ...sh('echo a; echo e >&2; cat'))
  const live = await Container.get('before')
  await live.waitFor(Wait.log('e'))
  const at = '/containers/before/attach?stdout=1&stderr=1'
  const past = await takenOver(engine.socket, `${at}&logs=1`)
  const [out, err] = [frame('stdout', Buffer.from('a\n')), frame('stderr', Buffer.from('e\n'))]
  // In whatever order: they come by two pipes.
  expect([past.includes(out), past.includes(err), past.length]).toEqual([true, true, out.length + err.length])
  expect(await takenOver(engine.socket, '/containers/before/attach?stderr=1&logs=1')).toEqual(err)
  expect(await takenOver(engine.socket, at)).toHaveLength(0)
  const [one, two] = [takenOver(engine.socket, `${at}&logs=1&stream=1`), takenOver(engine.socket, `${at}&stream=1`)]
  // Not before both are attached.
  await new Promise((resolve) => setTimeout(resolve, 500))
  const { stdin } = live.attach()
  stdin?.end('more\n')
  const more = frame('stdout', Buffer.from('more\n'))
  expect(await two).toEqual(more)
  const whole = await one
  expect(whole.subarray(-more.length)).toEqual(more)
  expect(whole.length).toBe(past.length + more.length)
})

withClient('docker cp into a container and out of it, and docker diff', async () => {
  await engine.ok('create', '--name', 'four', '--network', 'none', BOX, 'true')
  const file = written(root, 'sent', 'content')
  await engine.ok('cp', file, 'four:/etc/sent')
  const back = path.join(root, 'back')
  await engine.ok('cp', 'four:/etc/sent', back)
  expect(readFileSync(back, 'utf8')).toBe('content')
  expect(await engine.ok('diff', 'four')).toBe('C /etc\nA /etc/sent')
  expect((await engine.docker(['cp', 'four:/nothere', back])).stderr).toContain('no such file or directory')
})

withClient('docker commit makes an image of what a container has changed', async () => {
  await engine.ok('run', '--name', 'nine', '--network', 'none', BOX, ...sh('echo kept > /kept'))
  await engine.ok('commit', '-m', 'why', 'nine', 'localhost/kept:1')
  const { stdout } = await engine.docker([...RUN, 'localhost/kept:1', 'cat', '/kept'])
  expect(stdout).toBe('kept\n')
  await engine.ok('rm', 'nine')
  await engine.ok('rmi', 'localhost/kept:1')
  expect(await engine.ok('builder', 'prune', '-f')).toContain('Total')
})

withClient('docker save, load, tag, history, images and rmi', async () => {
  const archive = path.join(root, 'saved.tar')
  await engine.ok('tag', BOX, 'localhost/box:2')
  await engine.ok('save', '-o', archive, 'localhost/box:2')
  expect(await engine.ok('rmi', 'localhost/box:2')).toBe('Untagged: localhost/box:2')
  expect(await engine.ok('load', '-i', archive)).toContain('Loaded image: localhost/box:2')
  expect(await engine.ok('images', '--format', '{{.Repository}}:{{.Tag}}')).toContain('localhost/box:2')
  expect(await engine.ok('image', 'inspect', BOX, '--format', '{{.Os}} {{index .Config.Env 0}}')).toBe('linux OF=image')
  expect((await engine.docker(['history', BOX])).status).toBe(0)
  await engine.ok('rmi', 'localhost/box:2')
  expect((await engine.docker(['image', 'inspect', 'localhost/box:2'])).stderr).toContain('No such image')
})

withRegistry('docker pull, and a run of what is not here, from a registry; docker push', async () => {
  const name = `${registry.host}/team/pulled:1`
  await storeImage((await imageRoots()).store, busyboxImage({ Env: ['OF=registry'] }), name)
  expect(await engine.ok('push', name)).toContain('digest: sha256:')
  await engine.ok('rmi', name)
  expect(await engine.docker([...RUN, name, ...sh('echo $OF')])).toMatchObject({ status: 0, stdout: 'registry\n' })
  await engine.ok('rmi', name)
  expect(await engine.ok('pull', name)).toContain('Status: Downloaded newer image')
  expect((await Image.get(name)).config.Env).toEqual(['OF=registry'])
  expect((await engine.docker(['pull', `${registry.host}/team/none:1`])).status).not.toBe(0)
})

withClient('volumes: made, mounted, listed, in use, removed', async () => {
  await engine.ok('volume', 'create', '--label', 'a=b', 'data')
  expect(await run(['-v', 'data:/data'], sh('echo kept > /data/file'))).toMatchObject({ status: 0 })
  expect(await run(['-v', 'data:/data:ro'], sh('cat /data/file; touch /data/x 2>/dev/null || echo ro'))).toMatchObject({
    stdout: 'kept\nro\n',
  })
  expect(await engine.ok('volume', 'ls', '-q', '--filter', 'label=a=b')).toBe('data')
  await engine.ok('create', '--name', 'five', '--network', 'none', '-v', 'data:/data', BOX)
  expect((await engine.docker(['volume', 'rm', 'data'])).stderr).toContain('is used by')
  await engine.ok('rm', 'five')
  expect(await engine.ok('volume', 'rm', 'data')).toBe('data')
})

withClient('limits and protections reach the container', async () => {
  expect(
    (await run(['--pids-limit', '5', '--read-only', '--cap-drop', 'ALL'], sh('touch /x 2>/dev/null || echo ro')))
      .stdout,
  ).toBe('ro\n')
  await engine.ok('create', '--name', 'six', '--network', 'none', '--memory', '64m', '--cpus', '0.5', BOX)
  expect((await Container.get('six')).inspect().limits).toMatchObject({ memory: 64 << 20, cpus: 0.5 })
  expect((await run(['--runtime', 'other'], ['true'])).stderr).toContain('Runtime')
})

withClient('docker events tells what happens', async () => {
  const since = `${Date.now() / 1000}`
  await run(['--name', 'seven'], ['true'])
  const told = await engine.ok(
    'events',
    '--since',
    since,
    '--until',
    // The client cuts `0s` to whole seconds.
    `${Date.now() / 1000 + 0.2}`,
    '--filter',
    'container=seven',
    '--format',
    '{{.Action}}',
  )
  expect(told.split('\n')).toEqual(['create', 'start', 'die', 'destroy'])
})

withClient('a container gets another name', async () => {
  await engine.ok('create', '--name', 'eight', '--network', 'none', BOX)
  await engine.ok('create', '--name', 'ten', '--network', 'none', BOX)
  await engine.ok('rename', 'eight', 'nine')
  expect(await engine.ok('inspect', '--format', '{{.Name}}', 'nine')).toBe('/nine')
  expect((await engine.docker(['inspect', 'eight'])).stderr).toMatch(/no such object/i)
  expect((await engine.docker(['rename', 'nine', 'ten'])).stderr).toContain(
    'The container name "/ten" is already in use',
  )
  expect((await engine.docker(['rename', 'nine', '.x'])).stderr).toMatch(/name must be|letters, digits/)
  expect(await engine.ok('ps', '-a', '--filter', 'name=nine', '--format', '{{.Names}}')).toBe('nine')
  await engine.ok('create', '--name', 'eight', '--network', 'none', BOX)
  const told = await engine.ok(
    ...['events', '--since', '1', '--until', `${Date.now() / 1000 + 0.2}`, '--filter', 'event=rename'],
    ...['--format', '{{.Actor.Attributes.oldName}} {{.Actor.Attributes.name}}'],
  )
  expect(told).toBe('/eight nine')
})

withClient('what is not there says so', async () => {
  expect((await engine.docker(['search', 'eight'])).stderr).toContain('is not part of')
  expect((await engine.docker(['swarm', 'init'])).stderr).toContain('not a swarm manager')
})

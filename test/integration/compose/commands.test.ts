/** What the command line does to a project that another process holds, and to its images. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, compose, Image, type Project, type ProjectExecution } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { busyboxImage, noBusybox } from '../../support/busybox-image.js'
import { CLI } from '../../support/command.js'
import { noRegistry, startRegistry } from '../../support/docker-registry.js'
import { findProgram, testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

const directory = scratch()
process.env.CAISSON_ROOT = path.join(directory, 'caisson')
const file = path.join(directory, 'compose.yaml')
const withBusybox = testIf(noBusybox)
const withRegistry = testIf(noBusybox || noRegistry)
const withScript = testIf(noBusybox || (!findProgram('script') && 'no script(1), of util-linux'))

const WAIT = "trap 'echo bye; exit 0' TERM; sleep 1000 & wait"
const SERVICES = `
services:
  db: {image: box, command: [sh, -c, "echo db up; ${WAIT}"], network_mode: none}
  web:
    image: box
    command: [sh, -c, "echo web up; ${WAIT}"]
    network_mode: none
    depends_on: [db]
    environment: {OF: file}
  once: {image: box, command: [echo, once], network_mode: none}
`

const arguments_ = (words: readonly string[]) => [CLI, 'compose', '-f', file, '-p', 'commands', ...words]
const call = (...words: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, arguments_(words), {
    encoding: 'utf8',
    env: process.env,
  })
  return { status, stdout, stderr }
}

interface Up {
  child: ChildProcess
  project: Project
  printed(text: string, times?: number): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await what())) {
    if (Date.now() > end) throw new Error('it does not come to that')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function up(): Promise<Up> {
  const child = spawn(process.execPath, arguments_(['up', '--no-color']), { env: process.env })
  let out = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (out += chunk))
  const ended = once(child, 'exit')
  const printed = (text: string, times = 1) =>
    until(() => out.split(text).length > times).catch(() => {
      throw new Error(`${text} is not printed ${times} times, but: ${out}`)
    })
  const project = await compose(file, { projectName: 'commands' })
  await printed('web up')
  return {
    child,
    project,
    printed,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

const states = async (project: Project) =>
  Object.fromEntries((await project.ps()).map(({ service, state }) => [service, state]))

async function told({ stdout, stderr, ended }: ProjectExecution) {
  const read = async (stream: AsyncIterable<Buffer>) => {
    let text = ''
    for await (const chunk of stream) text += chunk
    return text
  }
  const [out, err, { exitCode, signal }] = await Promise.all([read(stdout), read(stderr), ended])
  return { out, err, exitCode, signal }
}

beforeAll(async () => {
  if (noBusybox) return
  writeFileSync(file, SERVICES)
  await storeImage((await imageRoots()).store, busyboxImage(), 'docker.io/library/box:latest')
})
afterAll(removeScratch)

withBusybox(
  'stop, start and restart, of some and of all; what is started again is printed again',
  async () => {
    await using running = await up()
    const { project, printed } = running
    expect(call('stop', 'web')).toEqual({ status: 0, stdout: '', stderr: '' })
    expect(await states(project)).toEqual({ db: 'running', web: 'exited', once: 'exited' })
    expect(call('start', 'web').status).toBe(0)
    await printed('web up', 2)
    const before = (await project.ps()).map(({ id }) => id)
    await project.restart({ services: ['db', 'web'] })
    await printed('db up', 2)
    await printed('web up', 3)
    await printed('web-1  | bye', 2)
    expect((await project.ps()).map(({ id }) => id)).toEqual(before)
    expect(call('stop', 'nobody')).toMatchObject({ status: 1, stderr: expect.stringContaining('"nobody"') })
    await project.stop()
    await until(() => running.child.exitCode !== null)
    // Nothing goes on, so the process that held it has ended, and the containers with it.
    expect(running.child.exitCode).toBe(0)
    expect(await project.ps()).toEqual([])
  },
  60_000,
)

withBusybox('of a project that is not up there is nothing to start, and nothing to stop', async () => {
  const project = await compose(file, { projectName: 'commands' })
  await project.stop()
  await expect(project.start()).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
  await expect(project.exec('web', ['true']).ended).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
  expect(call('down', '--volumes', '--remove-orphans').status).toBe(0)
  expect(call('restart')).toMatchObject({ status: 1, stderr: expect.stringContaining('is not up') })
})

withBusybox(
  'exec: streams, exit codes, environment, signals; the program ends with its caller',
  async () => {
    await using running = await up()
    const { project } = running
    const exec = (...words: string[]) =>
      spawnSync(process.execPath, arguments_(['exec', ...words]), {
        input: 'typed',
        encoding: 'utf8',
        env: process.env,
      })
    expect(exec('web', 'sh', '-c', 'cat; echo $OF $GIVEN; pwd; echo err >&2; exit 7')).toMatchObject({
      status: 7,
      stdout: 'typedfile\n/\n',
      stderr: 'err\n',
    })
    expect(
      exec('-e', 'GIVEN=1', '-u', 'app', '-w', '/etc', 'web', 'sh', '-c', 'echo $GIVEN $(id -u) $(pwd)').stdout,
    ).toBe('1 1000 /etc\n')
    expect(exec('web', 'nothing-such')).toMatchObject({ status: 127, stderr: expect.stringContaining('not found') })
    expect(exec('--index', '2', 'web', 'true')).toMatchObject({ status: 1, stderr: expect.stringContaining('web 2') })
    expect(exec('once', 'true')).toMatchObject({ status: 1, stderr: expect.stringContaining('exited') })
    expect(exec('web')).toMatchObject({ status: 1, stderr: expect.stringContaining('a command') })

    const large = project.exec('web', ['busybox', 'sha256sum'], { interactive: true })
    for (let i = 0; i < 50; i++) large.stdin.write(Buffer.alloc(100_000, i))
    large.stdin.end()
    const sum = execFileSync('sha256sum', {
      input: Buffer.concat(Array.from({ length: 50 }, (_, i) => Buffer.alloc(100_000, i))),
    })
    expect(await told(large)).toMatchObject({ out: sum.toString(), exitCode: 0 })
    const many = await told(project.exec('web', ['sh', '-c', 'busybox yes | busybox head -c 3000000']))
    expect([many.out.length, many.exitCode]).toEqual([3_000_000, 0])

    const asked = project.exec('web', [
      'sh',
      '-c',
      "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
    ])
    asked.stdout.once('data', () => asked.kill('SIGTERM'))
    expect(await told(asked)).toMatchObject({ exitCode: 3 })
    const killed = project.exec('web', ['sleep', '1000'])
    killed.kill()
    expect(await told(killed)).toMatchObject({ exitCode: null, signal: 'SIGKILL' })

    const control = new AbortController()
    const aborted = project.exec('web', ['sh', '-c', 'echo started; sleep 1000'], { signal: control.signal })
    aborted.stdout.once('data', () => control.abort())
    expect(await told(aborted)).toMatchObject({ exitCode: null, signal: 'SIGKILL' })
    expect(await aborted.ended).toMatchObject({ reason: 'aborted' })

    const caller = spawn(process.execPath, arguments_(['exec', 'web', 'sh', '-c', 'echo started; exec sleep 4321']), {
      env: process.env,
    })
    await once(caller.stdout, 'data')
    caller.kill('SIGKILL')
    await until(async () => !(await told(project.exec('web', ['busybox', 'ps']))).out.includes('sleep 4321'))
  },
  60_000,
)

withBusybox('exec in a project of this process is the same', async () => {
  await using project = await compose(file, { projectName: 'here' })
  await project.up({ services: ['web'] })
  const execution = project.exec('web', ['sh', '-c', 'cat; echo $OF >&2; exit 4'], { interactive: true })
  execution.stdin.end('typed')
  expect(await told(execution)).toEqual({ out: 'typed', err: 'file\n', exitCode: 4, signal: null })
  expect(await told(project.exec('web', ['nothing-such']))).toMatchObject({
    exitCode: 127,
    err: expect.stringContaining('not found'),
  })
  await expect(project.exec('once', ['true']).ended).rejects.toThrow()
  const control = new AbortController()
  const aborted = project.exec('web', ['sh', '-c', 'echo started; sleep 1000'], { signal: control.signal })
  aborted.stdout.once('data', () => control.abort())
  expect(await aborted.ended).toMatchObject({ signal: 'SIGKILL', reason: 'aborted' })
  const late = project.exec('web', ['true'], { signal: control.signal })
  await expect(late.ended).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
  await project.restart({ services: ['db'], timeout: 0 })
  expect((await (await Container.get('here-db-1')).exec(['echo', 'again'])).stdout).toBe('again\n')
  await project.down({ timeout: 0 })
})

withScript('exec lends its terminal', async () => {
  await using _running = await up()
  const line = `stty rows 33 cols 99; ${[process.execPath, ...arguments_(['exec', 'web', 'sh', '-c', 'busybox stty size; read x; echo "[$x]"'])].map((word) => `'${word}'`).join(' ')}`
  const child = spawn('script', ['-qec', line, '/dev/null'], { env: process.env })
  let text = ''
  child.stdout.on('data', (chunk) => (text += chunk))
  const ended = once(child, 'close')
  await until(() => text.includes('33 99'))
  child.stdin.write('typed\r')
  await ended
  expect(text).toContain('[typed]')
})

withRegistry(
  'images are fetched and built without anything being started; config prints what it comes to',
  async () => {
    await using registry = await startRegistry()
    const name = `${registry.host}/team/box:1`
    await storeImage((await imageRoots()).store, busyboxImage({ Labels: { from: 'registry' } }), name)
    const image = await Image.get(name)
    await image.push()
    await image.remove({ force: true })
    const other = path.join(directory, 'images.yaml')
    writeFileSync(
      other,
      `
services:
  fetched: {image: "${'$'}{IMAGE:-none}", network_mode: none}
  built:
    build: {dockerfile_inline: "FROM scratch\\nARG WORD\\nLABEL word=$$WORD\\nCOPY compose.yaml /", args: {WORD: file}}
    network_mode: none
  off: {image: nothing-such, profiles: [off], network_mode: none}
`,
    )
    const env = { ...process.env, IMAGE: name }
    const run = (...words: string[]) => {
      const all = [CLI, 'compose', '-f', other, '-p', 'images', ...words]
      const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8', env })
      return { status, stdout, stderr }
    }
    expect(run('config', '--images').stdout).toBe(`${name}\nimages-built\n`)
    expect(run('config', '--services').stdout).toBe('fetched\nbuilt\n')
    expect(run('config', '--quiet')).toEqual({ status: 0, stdout: '', stderr: '' })
    expect(JSON.parse(run('config', '--format', 'json').stdout).services.fetched).toEqual({
      image: name,
      network_mode: 'none',
    })
    expect(run('config', 'fetched').stdout).toBe(
      `name: images\nservices:\n  fetched:\n    image: ${name}\n    network_mode: none\n`,
    )
    expect(run('pull', '-q')).toEqual({ status: 0, stdout: '', stderr: '' })
    expect((await Image.get(name)).config.Labels).toEqual({ from: 'registry' })
    expect(run('build', '-q', '--build-arg', 'WORD=given')).toEqual({ status: 0, stdout: '', stderr: '' })
    expect((await Image.get('images-built')).config.Labels).toEqual({ word: 'given' })
    expect(await Container.list({ labels: { 'com.docker.compose.project': 'images' } })).toEqual([])
    const missing = run('pull', 'nobody')
    expect([missing.status, missing.stderr]).toEqual([1, expect.stringContaining('There are fetched, built, off.')])
  },
)

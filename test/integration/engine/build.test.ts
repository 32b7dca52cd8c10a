/** Builds by the Engine API: with docker's own client, and with requests as no client of docker's sends them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import path from 'node:path'
import { Image } from '../../../lib/index.js'
import { noBusybox } from '../../support/busybox-image.js'
import { BOX, type Engine, noClient, startEngine, storeBox, written } from '../../support/engine.js'
import { testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'
import { until } from '../../support/until.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const withClient = testIf(noBusybox || noClient)
const withBox = testIf(noBusybox)

let engine: Engine
beforeAll(async () => {
  if (noBusybox) return
  await storeBox()
  engine = await startEngine(root)
}, 60_000)
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]()
  removeScratch()
})

let count = 0
function context(files: Record<string, string>): string {
  const directory = path.join(root, `context${++count}`)
  mkdirSync(directory)
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(directory, name), text)
  return directory
}
const tarOf = (directory: string) => execFileSync('tar', ['-C', directory, '-c', '.'])
const BUILD = ['build', '--network', 'none']

interface Answer {
  status: number
  text: string
}

function post(query: string, body: Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = { 'Content-Type': 'application/x-tar', ...headers }
    const sent = request(
      { socketPath: engine.socket, method: 'POST', path: `/v1.43/build?${query}`, headers: all, agent: false },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
        response.on('error', reject)
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

withClient('docker build: files, arguments, labels, a target, names, and what commands print', async () => {
  const directory = context({
    Dockerfile: `FROM ${BOX} AS one
ARG WHO=nobody
COPY file /file
RUN echo "printed by $WHO"; cat /file > /made
FROM one AS two
RUN exit 3`,
    file: 'content',
    ignored: 'x',
    '.dockerignore': 'ignored',
  })
  const names = ['-t', 'localhost/built:1', '-t', 'localhost/built:2']
  const id = path.join(root, 'id')
  const flags = ['--build-arg', 'WHO=me', '--label', 'a=b', '--target', 'one', '--iidfile', id]
  const { status, stdout } = await engine.docker([...BUILD, ...names, ...flags, directory])
  expect([status, stdout]).toEqual([0, expect.stringContaining('printed by me')])
  expect(stdout).toMatch(/^Step 1\/\d+ : /m)
  expect(stdout).toMatch(/^Successfully built [0-9a-f]{12}$/m)
  expect(stdout).toContain('Successfully tagged localhost/built:2')
  const image = await Image.get('localhost/built:1')
  expect(image.config.Labels).toEqual({ a: 'b' })
  expect((await engine.docker(['run', '--rm', '--network', 'none', image.id, 'cat', '/made'])).stdout).toBe('content')
  expect(await engine.ok(...BUILD, ...flags, '-q', directory)).toBe(image.id)
  const again = await engine.ok(...BUILD, ...flags, directory)
  expect(again).toContain('Using cache')
  await engine.ok('rmi', 'localhost/built:1', 'localhost/built:2')
})

withClient('docker build: what fails is told, and is the end of the client', async () => {
  const failing = await engine.docker([...BUILD, context({ Dockerfile: `FROM ${BOX}\nRUN echo before; exit 3` })])
  expect(failing).toMatchObject({ status: 1, stdout: expect.stringContaining('before') })
  expect(failing.stderr).toContain('3')
  const wrong = await engine.docker([...BUILD, context({ Dockerfile: 'FROM' })])
  expect(wrong).toMatchObject({ status: 1, stderr: expect.stringContaining('FROM') })
})

withClient('docker build: a Dockerfile beside the context, and one from the standard input', async () => {
  const beside = written(root, 'Beside', `FROM ${BOX}\nLABEL of=beside`)
  const id = await engine.ok(...BUILD, '-q', '-f', beside, context({ file: 'x' }))
  expect((await Image.get(id)).config.Labels).toEqual({ of: 'beside' })
  const { stdout } = await engine.docker([...BUILD, '-q', '-'], { input: `FROM ${BOX}\nLABEL of=input` })
  expect((await Image.get(stdout.trim())).config.Labels).toEqual({ of: 'input' })
})

withBox('a context that is no archive of one, and what cannot be had, have a status', async () => {
  const tar = tarOf(context({ Dockerfile: `FROM ${BOX}` }))
  expect(await post('remote=https://example.org/a.git', Buffer.alloc(0))).toMatchObject({ status: 501 })
  expect(await post('version=2', tar)).toMatchObject({ status: 501 })
  expect(await post('squash=1', tar)).toMatchObject({ status: 501 })
  expect(await post('networkmode=container:one', tar)).toMatchObject({ status: 501 })
  expect(await post('buildargs=[', tar)).toMatchObject({ status: 400 })
  expect(await post('labels={"a":1}', tar)).toMatchObject({ status: 400 })
  expect(await post('t=UPPER', tar)).toMatchObject({ status: 400 })
  expect(await post('', tar, { 'Content-Type': 'text/plain' })).toMatchObject({ status: 400 })
  for (const length of [100, 10_000_000])
    expect(await post('', Buffer.alloc(length, 'no archive '))).toMatchObject({ status: 400 })
  // The half of a file is none.
  expect(await post('', tar.subarray(0, tar.indexOf(`FROM ${BOX}`) + 4))).toMatchObject({ status: 400 })
  expect(await post('cachefrom=[]&ulimits=null&buildargs={"A":null}&memory=0&cpusetcpus=', tar)).toMatchObject({
    status: 200,
    text: expect.stringContaining('"aux":{"ID":"sha256:'),
  })
})

withBox('what is under the root of the context is all that a build can name', async () => {
  const secret = written(root, 'secret', `FROM ${BOX}\nLABEL is=secret`)
  const tar = tarOf(context({ other: `FROM ${BOX}` }))
  for (const name of [secret, `../../../../../../../..${secret}`, path.relative(process.cwd(), secret)]) {
    const { text } = await post(`dockerfile=${encodeURIComponent(name)}`, tar)
    expect([name, text]).toEqual([name, expect.stringContaining('in the context')])
  }
  const linked = context({})
  symlinkSync(secret, path.join(linked, 'Dockerfile'))
  expect((await post('', tarOf(linked))).text).toContain('link out of the context')
  const below = context({ Dockerfile: `FROM ${BOX}\nCOPY up/secret /` })
  symlinkSync(root, path.join(below, 'up'))
  expect((await post('networkmode=none', tarOf(below))).text).toContain('error')
})

withBox('the value of a variable of the server is nobody’s to ask for', async () => {
  process.env.OF_THE_SERVER = 'hidden'
  const tar = tarOf(context({ Dockerfile: `FROM ${BOX}\nARG OF_THE_SERVER=own\nLABEL is=$OF_THE_SERVER` }))
  const { text } = await post('t=localhost/arg:1&buildargs={"OF_THE_SERVER":null}', tar)
  expect(text).toContain('Successfully tagged')
  expect((await Image.get('localhost/arg:1')).config.Labels).toEqual({ is: 'own' })
})

withClient('a client that goes away ends the build, and nothing of its context stays', async () => {
  const tar = tarOf(
    context({ Dockerfile: `FROM ${BOX}\nCOPY mark /\nRUN echo begun; sleep 1234`, mark: 'of the gone' }),
  )
  const headers = { 'Content-Type': 'application/x-tar' }
  const sent = request({
    socketPath: engine.socket,
    method: 'POST',
    path: '/build?networkmode=none',
    headers,
    agent: false,
  })
  sent.on('error', () => undefined)
  sent.on('response', (response) => response.resume().on('error', () => undefined))
  sent.end(tar)
  await until(() => sleepers().length === 1)
  const place = path.join(root, 'caisson')
  // The overlay's own directory may be root's alone.
  const directories = () =>
    spawnSync('find', [place, '-name', 'Dockerfile'], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean)
  expect(directories()).not.toEqual([])
  sent.destroy()
  await until(() => sleepers().length === 0 && directories().length === 0)
})

/** Processes of the build that waits. */
function sleepers(): string[] {
  return readdirSync('/proc').filter((id) => /^\d+$/.test(id) && commandOf(id) === 'sleep\x001234\0')
}

function commandOf(id: string): string {
  try {
    return readFileSync(`/proc/${id}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

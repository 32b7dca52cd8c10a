/** `caisson serve`: what it makes ends with it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { noBusybox } from '../../support/busybox-image.js'
import { CLI } from '../../support/command.js'
import { BOX, noClient, storeBox } from '../../support/engine.js'
import { testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'
import { until } from '../../support/until.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const withClient = testIf(noBusybox || noClient)
const socket = path.join(root, 'engine.sock')

const docker = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync('docker', ['-H', `unix://${socket}`, ...args], { encoding: 'utf8' })
  return { status, stdout: stdout.trimEnd(), stderr }
}

const servers: ChildProcess[] = []

async function serving(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [CLI, 'serve', '--socket', socket], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env },
  })
  servers.push(child)
  let told = ''
  child.stderr?.on('data', (chunk) => {
    told += chunk
  })
  await until(() => told.includes(`DOCKER_HOST=unix://${socket}`))
  return child
}

const ended = (child: ChildProcess) => new Promise<number | null>((resolve) => child.once('exit', resolve))

beforeAll(async () => {
  if (!noBusybox && !noClient) await storeBox()
})
afterEach(() => {
  for (const server of servers.splice(0)) server.kill('SIGKILL')
})
afterAll(removeScratch)

withClient('a container ends with the server, also when that is killed', async () => {
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const server = await serving()
    const end = ended(server)
    expect(docker('run', '-d', '--name', 'one', '--network', 'none', BOX, 'sleep', '1000')).toMatchObject({ status: 0 })
    const pid = docker('inspect', 'one', '--format', '{{.State.Pid}}').stdout
    expect(existsSync(`/proc/${pid}/exe`)).toBe(true)
    server.kill(signal)
    expect(await end).toBe(signal === 'SIGTERM' ? 0 : null)
    await until(() => !existsSync(`/proc/${pid}/root`))
    // The socket of a killed server stays, and is replaced by the next one.
    expect(existsSync(socket)).toBe(signal === 'SIGKILL')
  }
})

withClient('images stay, and the containers of a server before are none', async () => {
  const server = await serving()
  expect(docker('images', '--format', '{{.Repository}}:{{.Tag}}').stdout).toBe(BOX)
  expect(docker('ps', '-aq').stdout).toBe('')
  server.kill('SIGINT')
  expect(await ended(server)).toBe(0)
})

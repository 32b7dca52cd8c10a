/** Programs that clients execute: by the end of the connection they know how it ended. */
import { request } from 'node:http'
import path from 'node:path'
import { Container } from '../../../lib/index.js'
import { noBusybox } from '../../support/busybox-image.js'
import { BOX, type Engine, noClient, startEngine, storeBox, takenOver } from '../../support/engine.js'
import { testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const withBox = testIf(noBusybox)
const withClient = testIf(noBusybox || noClient)

let engine: Engine
let container: Container
beforeAll(async () => {
  if (noBusybox) return
  await storeBox()
  engine = await startEngine(root)
  container = await Container.create(BOX, { network: 'none', command: ['sleep', '1000'], name: 'held' })
  await container.start()
})
afterAll(async () => {
  await container?.remove({ force: true })
  await engine?.[Symbol.asyncDispose]()
  removeScratch()
})

function ask(method: string, at: string, body?: object): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json' }
    const sent = request({ socketPath: engine.socket, method, path: at, headers, agent: false }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('end', () => resolve(JSON.parse(Buffer.concat(parts).toString())))
    })
    sent.on('error', reject)
    sent.end(body && JSON.stringify(body))
  })
}

const started = (id: unknown) => takenOver(engine.socket, `/exec/${id}/start`, '{}')

withBox('when the connection ends the exit code is there', async () => {
  for (let i = 1; i <= 20; i++) {
    const Cmd = ['sh', '-c', `echo out; exit ${i}`]
    const { Id } = await ask('POST', '/containers/held/exec', { Cmd, AttachStdout: true, AttachStderr: true })
    await started(Id)
    expect(await ask('GET', `/exec/${Id}/json`)).toMatchObject({ Running: false, ExitCode: i })
  }
})

withClient('why a program cannot be executed is printed, once', async () => {
  const { status, stdout, stderr } = await engine.docker(['exec', 'held', 'nothere'])
  expect([status, stdout]).toEqual([127, ''])
  expect(stderr.match(/nothere: not found/g)).toHaveLength(1)
  const terminal = await engine.docker(['exec', '-t', 'held', '/etc/passwd'], { terminal: true })
  expect(terminal).toMatchObject({ status: 126, stdout: expect.stringContaining('cannot be executed') })
  const own = await engine.docker(['exec', 'held', 'sh', '-c', 'echo mine >&2; exit 127'])
  expect(own).toEqual({ status: 127, stdout: '', stderr: 'mine\n' })
})

withClient('errors are in the words that are looked for', async () => {
  expect((await engine.docker(['create', '--name', 'held', '--network', 'none', BOX])).stderr).toContain(
    'Conflict. The container name "/held" is already in use',
  )
  expect((await engine.docker(['inspect', 'nothing'])).stderr.toLowerCase()).toContain('no such object: nothing')
})

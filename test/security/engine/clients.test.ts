/** Clients of the Engine API that go away, or do not read, at the wrong moment. */
import { readdirSync, readlinkSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EngineServer, serve } from '../../../lib/engine/serve.js'
import { Container } from '../../../lib/index.js'
import { noBusybox } from '../../support/busybox-image.js'
import { BOX, storeBox } from '../../support/engine.js'
import { testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'
import { until } from '../../support/until.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const socket = path.join(root, 'engine.sock')
const withBox = testIf(noBusybox)

let server: EngineServer
beforeAll(async () => {
  if (!noBusybox) await storeBox()
  server = await serve({ socket })
})
afterEach(async () => {
  for (const { id } of await Container.list()) await (await Container.get(id)).remove({ force: true })
})
afterAll(async () => {
  await server.close()
  removeScratch()
})

/** Of this process, which is the server's too. */
const open = (of: (target: string) => boolean) =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return of(readlinkSync(`/proc/self/fd/${fd}`))
    } catch {
      return false
    }
  }).length
const sockets = () => open((target) => target.startsWith('socket:'))
/** When those of clients before are closed: what it stays at. */
async function idleSockets(): Promise<number> {
  for (let count = sockets(), same = 0; ; ) {
    await sleep(50)
    const now = sockets()
    same = now === count ? same + 1 : 0
    count = now
    if (same === 10) return count
  }
}
/** Those of this file's containers: tests before it ran in this process, too. */
const logs = () => open((target) => target.startsWith(root) && /\/log(\.1)?$/.test(target))

async function client(text: string): Promise<Socket> {
  const connection = connect(socket)
  connection.on('error', () => undefined)
  await new Promise((resolve) => connection.once('connect', resolve))
  connection.write(text)
  return connection
}

const UPGRADE = 'HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n'

async function running(command: string[], options = {}): Promise<Container> {
  const container = await Container.create(BOX, {
    network: 'none',
    attachable: true,
    stdinOpen: true,
    command,
    ...options,
  })
  await container.start()
  return container
}

withBox('who follows a flood of logs and goes away leaves neither a file nor listeners', async () => {
  const container = await running(['sh', '-c', 'while :; do echo a line of the flood; done'])
  for (let i = 0; i < 20; i++) {
    const connection = await client(
      `GET /containers/${container.id}/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: a\r\n\r\n`,
    )
    connection.resume()
    await sleep(20 + i * 7)
    connection.destroy()
  }
  // The writer's own is left, and not for long what the collector of garbage closes.
  await until(() => logs() === 1, 500)
})

withBox('who is attached to a quiet program and goes away leaves no connection', async () => {
  const container = await running(['sleep', '1000'])
  const idle = await idleSockets()
  const connections = await Promise.all(
    Array.from({ length: 5 }, () =>
      client(`POST /containers/${container.id}/attach?stream=1&stdin=1&stdout=1 ${UPGRADE}\r\n`),
    ),
  )
  await Promise.all(connections.map((each) => new Promise((resolve) => each.once('data', resolve))))
  expect(sockets()).toBeGreaterThanOrEqual(idle + 10)
  for (const each of connections) each.destroy()
  await until(() => sockets() <= idle)
})

withBox('who asks for a connection that is refused leaves none', async () => {
  const idle = await idleSockets()
  for (let i = 0; i < 5; i++) {
    const connection = await client(`POST /exec/none/start ${UPGRADE}Content-Length: 2\r\n\r\n`)
    const answered = new Promise((resolve) => connection.once('data', resolve))
    connection.write('{}more')
    await answered
    connection.write('and more')
    await sleep(10)
    connection.destroy()
  }
  await until(() => sockets() <= idle)
})

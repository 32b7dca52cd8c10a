import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { passedByKernel, passedByNode, type Relay } from '../../../lib/network/egress/relay.js'

/** Two ends of a connection; the far one as the gate gets it: not read. */
async function pair(server: Server): Promise<[Socket, Socket]> {
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const { port } = server.address() as { port: number }
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const [far] = await accepted
  for (const socket of [near, far]) socket.on('error', () => undefined)
  return [near, far]
}

/** All that it says, and the other direction stays open. */
async function said(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'end')
  return Buffer.concat(chunks)
}

const RELAYS: Array<[string, (inside: Socket, outside: Socket) => Relay | undefined]> = [
  ['by the kernel', passedByKernel],
  ['by Node', passedByNode],
]

describe.each(RELAYS)('two connections that are joined %s', (_, join) => {
  let server: Server
  let container: Socket
  let target: Socket
  let relay: Relay
  beforeEach(async () => {
    server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const [near, inside] = await pair(server)
    const [far, outside] = await pair(server)
    container = near
    target = far
    const joined = join(inside, outside)
    if (!joined) throw new Error('not joined')
    relay = joined
  })
  afterEach(() => {
    for (const socket of [container, target]) socket.destroy()
    relay.breakOff()
    server.close()
  })

  test('are half closed each by itself, and counted', async () => {
    container.end('question')
    expect(String(await said(target))).toBe('question')
    expect(relay.passed()).toEqual({ sent: 8, received: 0 })
    target.end('the answer')
    expect(String(await said(container))).toBe('the answer')
    await relay.done
    expect(relay.passed()).toEqual({ sent: 8, received: 10 })
  })

  test('hold up who is not read', async () => {
    const block = Buffer.alloc(1 << 20, 'x')
    let written = 0
    for (let still = 0; still < 5; ) {
      if (!container.writableNeedDrain) {
        container.write(block)
        written++
        still = 0
      } else {
        await sleep(50)
        still++
      }
    }
    // Buffers of sockets and of a pipe, and no more.
    expect(written).toBeLessThan(64)
    container.end()
    expect((await said(target)).length).toBe(written << 20)
  })

  test.each(['container', 'target'])('break off with the %s, which the other hears', async (one) => {
    const [breaking, hearing] = one === 'container' ? [container, target] : [target, container]
    hearing.resume()
    breaking.write('x')
    await once(hearing, 'data')
    const failed = once(hearing, 'error')
    breaking.resetAndDestroy()
    expect(String(await failed)).toContain('ECONNRESET')
    await relay.done
  })

  test('pass on what is left when nobody is inside any more', async () => {
    const block = Buffer.alloc(1 << 20, 'x')
    container.end(block)
    await once(container, 'finish')
    container.destroy()
    relay.drain()
    expect((await said(target)).length).toBe(block.length)
    await relay.done
  })

  test('end with a reset on both sides when they are broken off', async () => {
    const failed = [container, target].map((socket) => once(socket, 'error'))
    for (const socket of [container, target]) socket.resume()
    relay.breakOff()
    for (const each of await Promise.all(failed)) expect(String(each)).toContain('ECONNRESET')
    await relay.done
  })
})

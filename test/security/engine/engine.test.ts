/** Attacks on the server of the Engine API: whoever reaches it is root, so few may, and what they send is bounded. */
import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect, createServer } from 'node:net'
import path from 'node:path'
import { type EngineServer, serve } from '../../../lib/engine/serve.js'
import { Container } from '../../../lib/index.js'
import { noBusybox } from '../../support/busybox-image.js'
import { makeAuthority, makeCertificate } from '../../support/certificates.js'
import { BOX, storeBox } from '../../support/engine.js'
import { findProgram, testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const socket = path.join(root, 'engine.sock')
const withBox = testIf(noBusybox)
const withTls = testIf(!findProgram('openssl') && 'no openssl (apt: openssl)')

interface Answer {
  status: number
  text: string
  headers: IncomingMessage['headers']
}

interface Asked {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: string | Buffer
  port?: number
}

function ask({ method = 'GET', path = '/_ping', headers = {}, body, port }: Asked): Promise<Answer> {
  const where = port === undefined ? { socketPath: socket } : { host: '127.0.0.1', port }
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ ...where, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          text: Buffer.concat(chunks).toString(),
          headers: response.headers,
        }),
      )
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Bytes as they are; what comes back until the end. */
function raw(text: string | Buffer, half = false): Promise<string> {
  return new Promise((resolve) => {
    const connection = connect(socket)
    const chunks: Buffer[] = []
    connection.on('data', (chunk) => chunks.push(chunk))
    connection.on('error', () => undefined)
    connection.on('close', () => resolve(Buffer.concat(chunks).toString()))
    connection.write(text)
    if (half) connection.end()
  })
}

const JSON_TYPE = { 'Content-Type': 'application/json' }

let server: EngineServer
beforeAll(async () => {
  if (!noBusybox) await storeBox()
  server = await serve({ socket })
})
afterAll(async () => {
  await server.close()
  removeScratch()
})

describe('who may connect', () => {
  test('the socket is its owner’s alone from the first moment, also under an open umask', async () => {
    const other = path.join(root, 'open', 'engine.sock')
    const before = process.umask(0)
    try {
      const open = await serve({ socket: other })
      expect(lstatSync(other).mode & 0o777).toBe(0o600)
      await open.close()
      expect(existsSync(other)).toBe(false)
    } finally {
      process.umask(before)
    }
    expect(lstatSync(socket).mode & 0o777).toBe(0o600)
  })

  test('what is no socket is not replaced, and another server is not pushed aside', async () => {
    const file = path.join(root, 'file')
    writeFileSync(file, 'precious')
    await expect(serve({ socket: file })).rejects.toThrow('no socket')
    expect(readFileSync(file, 'utf8')).toBe('precious')
    await expect(serve({ socket })).rejects.toThrow('another server')
    expect((await ask({})).status).toBe(200)
  })

  test('a socket that a dead server has left is replaced', async () => {
    const stale = path.join(root, 'stale.sock')
    const dead = createServer()
    await new Promise<void>((resolve) => dead.listen(path.join(root, 'moved.sock'), resolve))
    const { renameSync } = await import('node:fs')
    renameSync(path.join(root, 'moved.sock'), stale)
    await new Promise((resolve) => dead.close(resolve))
    const fresh = await serve({ socket: stale })
    await fresh.close()
  })

  test.each([
    ['no tls', { port: 0 }, 'without tls'],
    ['no tls on every address', { port: 0, host: '0.0.0.0', tls: false as const }, 'open to the network'],
    ['no tls on a name', { port: 0, host: 'localhost', tls: false as const }, 'open to the network'],
    ['tls on a socket', { socket: `${socket}2`, tls: { key: '', certificate: '', authority: '' } }, 'tls'],
    ['no authority', { port: 0, tls: { key: '', certificate: '' } as never }, ''],
    ['an option that there is not', { prot: 1 } as never, 'prot'],
  ])('refused: %s', async (_, options, why) => {
    await expect(serve(options)).rejects.toThrow(why)
  })

  withTls('over TLS only clients with a certificate of the authority', async () => {
    const directory = path.join(root, 'tls')
    mkdirSync(directory)
    const authority = makeAuthority(directory)
    const stranger = makeAuthority(directory, 'stranger')
    const own = makeCertificate(directory, 'server', 'DNS:engine.test,IP:127.0.0.1', authority)
    const read = (file: string) => readFileSync(file)
    const tls = { key: read(own.key), certificate: read(own.certificate), authority: read(authority.certificate) }
    const secure = await serve({ port: 0, tls })
    const port = Number(secure.address.split(':').at(-1))
    const get = (client: { key?: Buffer; cert?: Buffer }, host = '127.0.0.1') =>
      new Promise<number>((resolve, reject) => {
        const options = {
          host: '127.0.0.1',
          port,
          path: '/_ping',
          ca: tls.authority,
          agent: false as const,
          checkServerIdentity: () => undefined,
        }
        httpsRequest({ ...options, ...client, headers: { Host: host } }, (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        })
          .on('error', reject)
          .end()
      })
    const known = makeCertificate(directory, 'client', 'DNS:client', authority)
    const unknown = makeCertificate(directory, 'other', 'DNS:client', stranger)
    const pair = ({ key, certificate }: typeof known) => ({ key: read(key), cert: read(certificate) })
    await expect(get({})).rejects.toThrow()
    await expect(get(pair(unknown))).rejects.toThrow()
    expect(await get(pair(known))).toBe(200)
    expect(await get(pair(known), 'engine.test')).toBe(200)
    expect(await get(pair(known), 'evil.example')).toBe(403)
    await secure.close()
  })
})

describe('web pages', () => {
  let loopback: EngineServer
  let port: number
  beforeAll(async () => {
    loopback = await serve({ port: 0, tls: false })
    port = Number(loopback.address.split(':').at(-1))
  })
  afterAll(() => loopback.close())

  test('a client of this machine is answered', async () => {
    expect((await ask({ port })).status).toBe(200)
    expect((await ask({ port, headers: { Host: `localhost:${port}` } })).status).toBe(200)
  })

  test.each([
    ['a name that leads here (DNS rebinding)', { Host: 'evil.example' }],
    ['such a name with our port', { Host: 'evil.example:2375' }],
    ['a name that begins as ours', { Host: 'localhost.evil.example' }],
    ['a page of another place', { Origin: 'http://evil.example' }],
    ['a sandboxed page', { Origin: 'null' }],
    ['an image in a page', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' }],
  ])('refused: %s', async (_, headers: Record<string, string>) => {
    const { status, headers: answered } = await ask({ port, path: '/info', headers })
    expect(status).toBe(403)
    expect(Object.keys(answered).filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  test('a preflight gets no leave', async () => {
    const headers = { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' }
    const { status, headers: answered } = await ask({ port, method: 'OPTIONS', path: '/containers/create', headers })
    expect(status).toBe(403)
    expect(answered['access-control-allow-origin']).toBeUndefined()
  })

  test('a form has the wrong type, and a page gets no connection of its own', async () => {
    const body = '{"Image":"x"}'
    const form = { port, method: 'POST', path: '/containers/create', body, headers: { 'Content-Type': 'text/plain' } }
    expect((await ask(form)).status).toBe(400)
    const upgrade = { Connection: 'Upgrade', Upgrade: 'websocket', Origin: 'http://evil.example' }
    expect((await ask({ port, path: '/containers/x/attach/ws', headers: upgrade })).status).toBe(403)
  })
})

describe('what is sent', () => {
  test.each([
    ['by its length', { 'Content-Length': String(1 << 30) }],
    ['in pieces', { 'Transfer-Encoding': 'chunked' }],
  ])('a body that is too long is refused, %s', async (_, headers: Record<string, string>) => {
    const before = process.memoryUsage().rss
    const head = Object.entries({ Host: 'docker', ...JSON_TYPE, ...headers }).map(
      ([name, value]) => `${name}: ${value}`,
    )
    const piece = Buffer.alloc(1 << 20, ' ')
    const chunk = headers['Transfer-Encoding']
      ? Buffer.concat([Buffer.from('100000\r\n'), piece, Buffer.from('\r\n')])
      : piece
    const answer = await raw(
      Buffer.concat([
        Buffer.from(`POST /containers/create HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`),
        ...Array(8).fill(chunk),
      ]),
    )
    expect(answer).toMatch(/^HTTP\/1\.1 413 |^$/)
    expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20)
  })

  test('so is one of a request for the connection', async () => {
    const answer = await raw(
      `POST /exec/x/start HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: ${1 << 30}\r\n\r\n{`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 404 /)
  })

  test.each([
    ['nested a million deep', '['.repeat(1_000_000)],
    ['nested in objects', '{"a":'.repeat(100_000)],
    ['with a key twice', '{"Image":"a","Image":"b"}'],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['a list', '[]'],
    ['a text', '"a"'],
    ['cut off', '{"Image":'],
    ['of wrong types', '{"Image":["a"],"HostConfig":7}'],
    ['with a prototype', '{"__proto__":{"Image":"a"},"HostConfig":{}}'],
  ])('JSON %s is a bad request', async (_, body) => {
    const { status, text } = await ask({ method: 'POST', path: '/containers/create', body, headers: JSON_TYPE })
    expect(status).toBe(400)
    expect(Object.keys(JSON.parse(text))).toEqual(['message'])
    expect(text).not.toContain('.ts')
  })

  test('headers without an end are cut off', async () => {
    expect(await raw(`GET /_ping HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(64 << 10)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /,
    )
  })

  test.each([
    ['GET', '/containers/..%2f..%2f..%2fetc%2fpasswd/json', 400],
    ['GET', '/containers/%2e%2e/json', 400],
    ['DELETE', '/volumes/..', 400],
    ['DELETE', '/volumes/..%2f..', 400],
    ['GET', '/volumes/.hidden', 400],
    ['DELETE', '/networks/..%2f', 400],
    ['GET', '/images/..%2f..%2fetc/json', 400],
    ['GET', '/exec/%00/json', 400],
    ['GET', '//evil.example/info', 404],
    ['GET', 'http://evil.example/info', 404],
  ])('%s %s leads nowhere', async (method, path, status) => {
    expect((await ask({ method, path })).status).toBe(status)
  })

  test('two requests in one, by two lengths, are refused', async () => {
    const answer = await raw(
      'POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /info HTTP/1.1\r\nHost: a\r\n\r\n',
      true,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).not.toContain('ServerVersion')
  })

  withBox('paths of docker cp stay in the container', async () => {
    const container = await Container.create(BOX, { network: 'none' })
    const canary = path.join(root, 'canary')
    writeFileSync(canary, 'secret')
    await container.fs.symlink('/../../../../../../../', '/out')
    for (const at of [`/out${canary}`, canary, `../..${canary}`, '/proc/1/root/etc/hostname']) {
      const query = new URLSearchParams({ path: at })
      const answer = await ask({ path: `/containers/${container.id}/archive?${query}` })
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(answer.text).not.toContain('secret')
    }
    await container.remove({ force: true })
  })

  withBox('a client that goes away in the middle leaves nothing that waits', async () => {
    const container = await Container.create(BOX, {
      network: 'none',
      attachable: true,
      stdinOpen: true,
      command: ['cat'],
    })
    await container.start()
    const head = 'HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const connection = connect(socket)
        connection.on('error', () => undefined)
        connection.write(`POST /containers/${container.id}/attach?stream=1&stdin=1&stdout=1 ${head}`)
        await new Promise((resolve) => connection.once('data', resolve))
        connection.destroy()
      }),
    )
    const { stdin, stdout } = container.attach()
    const printed = new Promise((resolve) => stdout.once('data', resolve))
    stdin?.write('still here\n')
    expect(String(await printed)).toBe('still here\n')
    await container.remove({ force: true })
  })
})

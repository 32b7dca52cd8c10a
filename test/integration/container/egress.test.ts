import { createHash } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  Container,
  type ContainerOptions,
  type EgressEvent,
  type EgressFunction,
  type EgressRequest,
  type Image,
  Pool,
  run,
  Wait,
} from '../../../lib/index.js'
import { hostImage, python } from '../../support/attack.js'
import { startNameServer, type TestNameServer } from '../../support/name-server.js'
import { startServer } from '../../support/tcp-server.js'

/** `ask(host, port, data)`: what comes back when all was sent and the sending side is closed. */
const ASK = `
import socket
def ask(host, port, data=b""):
    try:
        with socket.create_connection((host, port), timeout=20) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: s.recv(1 << 16), b"")).decode()
    except socket.gaierror: return "no name"
    except OSError as error: return errno.errorcode[error.errno].replace("ENOTCONN", "ECONNRESET")
`
/** Says how much it got, when all is there. */
const counting = (socket: Socket) => {
  let bytes = 0
  socket.on('data', ({ length }) => {
    bytes += length
  })
  socket.on('end', () => socket.end(`${bytes} bytes`))
}

describe('egress', () => {
  let image: Image
  let names: TestNameServer
  const known: Record<string, string[]> = {
    'web.test': ['127.0.0.1'],
    'a.b.web.test': ['127.0.0.1'],
    'dead.test': ['127.0.0.2', '127.0.0.1'],
    'six.test': ['::1'],
  }
  beforeAll(async () => {
    image = await hostImage()
    names = await startNameServer((name) => known[name])
  })
  afterAll(() => names.stop())
  const asking = async (places: Array<[string, number]>, options: ContainerOptions) => {
    const code = `${ASK}\nfor host, port in ${JSON.stringify(places)}: print(ask(host, port, b"x" * 1000))`
    const { stdout, stderr, egress } = await run(image, python(code), {
      dns: [names.address],
      timeout: 60_000,
      ...options,
    })
    expect(stderr).toBe('')
    return { answers: stdout.trim().split('\n'), egress }
  }

  test('by name and port, and every byte is counted', async () => {
    const server = await startServer(counting)
    const other = await startServer(counting)
    try {
      const allow = [`web.test:${server.port}`, '*.web.test', '127.0.0.1']
      const places: Array<[string, number]> = [
        ['web.test', server.port],
        ['web.test', other.port],
        ['a.b.web.test', other.port],
        ['six.test', server.port],
        ['nowhere.web.test', server.port],
      ]
      const { answers, egress } = await asking(places, { egress: { allow } })
      expect(answers).toEqual(['1000 bytes', expect.stringMatching(/^ECONN/), '1000 bytes', 'no name', 'no name'])
      expect(egress).toMatchObject({ connections: 2, open: 0, sentBytes: 2000, receivedBytes: 20 })
      // One for each name, or two where a slow machine asks for both kinds of addresses far apart.
      expect([2, 3, 4]).toContain(egress?.denied)
    } finally {
      server.stop()
      other.stop()
    }
  })

  test('what no rule could allow the kernel refuses, before anybody is asked', async () => {
    const { answers, egress } = await asking([['93.184.216.34', 80]], { egress: { allow: ['web.test:443'] } })
    expect(answers).toEqual(['ECONNREFUSED'])
    expect(egress).toMatchObject({ denied: 0 })
    expect((await asking([['93.184.216.34', 80]], { egress: {} })).answers).toEqual(['ECONNREFUSED'])
  })

  test('a function is told what is asked for, and may say what is dialled instead', async () => {
    const server = await startServer(counting)
    const requests: EgressRequest[] = []
    const egress: EgressFunction = async (request) => {
      requests.push(request)
      await sleep(20)
      if (request.host === 'db.internal') return { rewrite: `127.0.0.1:${server.port}` }
      if (request.host === 'same-port.internal') return { rewrite: { host: 'localhost' } }
      if (request.address === '93.184.216.34') return { rewrite: { host: 'web.test', port: server.port } }
      return 'deny'
    }
    try {
      const places: Array<[string, number]> = [
        ['db.internal', 5432],
        ['same-port.internal', server.port],
        ['93.184.216.34', 80],
        ['2606:2800:220:1::1', 80],
        ['other.internal', 1],
      ]
      const { answers } = await asking(places, { name: 'asker', egress })
      // A name that is put in the place of another is still not to lead inwards.
      expect(answers).toEqual(['1000 bytes', '1000 bytes', 'ECONNRESET', 'ECONNRESET', 'no name'])
      const container = { id: expect.stringMatching(/^[0-9a-f]{64}$/), name: 'asker' }
      expect(requests).toEqual([
        { protocol: 'dns', host: 'db.internal', container },
        { protocol: 'tcp', host: 'db.internal', port: 5432, container },
        { protocol: 'dns', host: 'same-port.internal', container },
        { protocol: 'tcp', host: 'same-port.internal', port: server.port, container },
        { protocol: 'tcp', address: '93.184.216.34', port: 80, container },
        { protocol: 'tcp', address: '2606:2800:220:1::1', port: 80, container },
        { protocol: 'dns', host: 'other.internal', container },
      ])
      expect(names.asked).not.toContain('A other.internal')
    } finally {
      server.stop()
    }
  })

  test('all addresses of a name are tried; one where nobody listens breaks the connection off', async () => {
    const server = await startServer(counting)
    try {
      const allow = ['dead.test', '127.0.0.1', '127.0.0.2']
      expect((await asking([['dead.test', server.port]], { egress: { allow } })).answers).toEqual(['1000 bytes'])
      server.stop()
      expect((await asking([['dead.test', server.port]], { egress: { allow } })).answers).toEqual(['ECONNRESET'])
    } finally {
      server.stop()
    }
  })

  test('much in both directions at once, each closed by itself, comes whole', async () => {
    const size = 64 << 20
    const sent = createHash('sha256')
    // Answers while it listens, and ends long before or after the other side.
    const server = await startServer((socket) => {
      socket.on('data', (data) => sent.update(data))
      const chunk = Buffer.alloc(1 << 20, 'y')
      let left = size / chunk.length
      const more = (): unknown => {
        while (left > 0) {
          left--
          if (!socket.write(chunk)) return socket.once('drain', more)
        }
        const finish = () => socket.end(`|${sent.digest('hex')}`)
        return socket.readableEnded ? finish() : socket.once('end', finish)
      }
      more()
    })
    try {
      const code = `${ASK}
import hashlib, threading
s = socket.create_connection(("db", 1), timeout=60)
mine, theirs = hashlib.sha256(), hashlib.sha256()
def send():
    for i in range(${size} >> 16):
        data = bytes([i & 255]) * (1 << 16)
        mine.update(data); s.sendall(data)
    s.shutdown(socket.SHUT_WR)
thread = threading.Thread(target=send); thread.start()
got, tail = 0, b""
while True:
    data = s.recv(1 << 16)
    if not data: break
    got += len(data); tail = (tail + data)[-65:]
thread.join()
print(got, tail.decode() == "|" + mine.hexdigest())`
      const egress: EgressFunction = () => ({ rewrite: `127.0.0.1:${server.port}` })
      const result = await run(image, python(code), { egress, timeout: 60_000 })
      expect([result.stderr, result.stdout]).toEqual(['', `${size + 65} True\n`])
      expect(result.egress).toEqual({ connections: 1, open: 0, denied: 0, sentBytes: size, receivedBytes: size + 65 })
    } finally {
      server.stop()
    }
  }, 90_000)

  test('who does not read holds the other side up, and not our memory', async () => {
    let written = 0
    const server = await startServer((socket) => {
      const chunk = Buffer.alloc(1 << 20)
      const more = () => {
        for (; written < 1 << 30; written += chunk.length) if (!socket.write(chunk)) return socket.once('drain', more)
        return undefined
      }
      more()
    })
    try {
      const egress: EgressFunction = () => ({ rewrite: `127.0.0.1:${server.port}` })
      const code = `${ASK}\ns = socket.create_connection(("db", 1)); s.recv(1); import time; time.sleep(2); print("done")`
      const before = process.memoryUsage().rss
      const result = await run(image, python(code), { egress })
      expect(result.stdout).toBe('done\n')
      // What sockets hold on the way, the kernel's included.
      expect(written).toBeLessThan(128 << 20)
      expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20)
      expect(result.egress?.open).toBe(0)
    } finally {
      server.stop()
    }
  })

  test('a thousand connections at a time; more are refused, and none is left', async () => {
    const server = await startServer((socket) =>
      socket
        .resume()
        .on('end', () => socket.end())
        .write('x'),
    )
    try {
      const egress: EgressFunction = () => ({ rewrite: `127.0.0.1:${server.port}` })
      const before = readdirSync('/proc/self/fd').length
      const code = `${ASK}
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held, refused = [], 0
for _ in range(1200):
    try: held.append(socket.create_connection(("198.51.100.1", 80), timeout=20))
    except ConnectionResetError: pass
for s in held:
    try: refused += s.recv(1) != b"x"
    except OSError: refused += 1
print(len(held) - refused)`
      const result = await run(image, python(code), { egress, ulimits: { nofile: 4096 }, timeout: 60_000 })
      expect([result.stderr, result.stdout]).toEqual(['', '1024\n'])
      expect(result.egress).toMatchObject({ connections: 1024, open: 0, denied: 176, receivedBytes: 1024 })
      for (let i = 0; i < 100 && server.open.size > 0; i++) await sleep(20)
      expect(server.open.size).toBe(0)
      expect(readdirSync('/proc/self/fd').length).toBeLessThan(before + 20)
    } finally {
      server.stop()
    }
  }, 90_000)

  test('what a program sends in its last moment arrives', async () => {
    const got: string[] = []
    const server = await startServer(
      (socket) =>
        void text(socket).then(
          (each) => got.push(each),
          () => got.push('lost'),
        ),
    )
    try {
      const egress: EgressFunction = () => ({ rewrite: `127.0.0.1:${server.port}` })
      const code = 'import os, socket; socket.create_connection(("log", 1)).sendall(b"z" * 100000); os._exit(0)'
      for (let i = 0; i < 5; i++) await run(image, python(code), { egress })
      for (let i = 0; i < 100 && got.length < 5; i++) await sleep(20)
      expect(got.map(({ length }) => length)).toEqual(Array<number>(5).fill(100_000))
    } finally {
      server.stop()
    }
  })

  test('what a program has sent arrives when its policy takes longer than it; who has sent nothing keeps nobody', async () => {
    const got: string[] = []
    const server = await startServer((socket) => void text(socket).then((each) => got.push(each)))
    try {
      const late: EgressFunction = async () => {
        await sleep(300)
        return { rewrite: `127.0.0.1:${server.port}` }
      }
      const code = 'import os, socket; s = socket.create_connection(("192.0.2.1", 1)); s.sendall(b"late"); os._exit(0)'
      expect((await run(image, python(code), { egress: late })).egress).toMatchObject({ connections: 1, sentBytes: 4 })
      for (let i = 0; i < 100 && got.length < 1; i++) await sleep(20)
      expect(got).toEqual(['late'])
      const silent = 'import os, socket; s = socket.create_connection(("192.0.2.1", 1)); os._exit(0)'
      const before = performance.now()
      const { durationMs } = await run(image, python(silent), { egress: () => new Promise(() => undefined) })
      expect(performance.now() - before - durationMs).toBeLessThan(1500)
    } finally {
      server.stop()
    }
  })

  test('of kept containers: by exec, after a restart, with events and totals; connect() leads in', async () => {
    const server = await startServer(counting)
    const published: unknown[] = []
    const listen = (event: unknown) => published.push(event)
    subscribe('caisson:egress', listen)
    try {
      await using container = await Container.create(image, {
        egress: { allow: [`web.test:${server.port}`, '127.0.0.1'] },
        dns: [names.address],
        command: python(
          'import http.server; http.server.HTTPServer(("", 80), http.server.SimpleHTTPRequestHandler).serve_forever()',
        ),
      })
      const events: EgressEvent[] = []
      container.on('egress', (event) => events.push(event))
      for (let i = 0; i < 2; i++) {
        await container.start()
        const { stdout } = await container.exec(python(`${ASK}\nprint(ask("web.test", ${server.port}, b"12345"))`))
        expect(stdout).toBe('5 bytes\n')
        await container.exec(python(`${ASK}\nprint(ask("other.test", 1))`))
        await container.waitFor(Wait.port(80))
        const into = await container.connect(80)
        into.end('GET / HTTP/1.0\r\n\r\n')
        expect(await text(into)).toContain('200 OK')
        await container.kill()
      }
      const subject = { container: { id: container.id, name: container.name } }
      const allowed = {
        protocol: 'tcp',
        host: 'web.test',
        port: server.port,
        verdict: 'allow',
        to: `127.0.0.1:${server.port}`,
        ...subject,
      }
      const denied = { protocol: 'dns', host: 'other.test', verdict: 'deny', reason: 'policy', ...subject }
      expect(events).toEqual([allowed, denied, allowed, denied])
      expect(published).toEqual(events)
      expect(container.inspect().egress).toEqual({
        connections: 2,
        open: 0,
        denied: 2,
        sentBytes: 10,
        receivedBytes: 14,
      })
    } finally {
      unsubscribe('caisson:egress', listen)
      server.stop()
    }
  })

  test('of a pool, each container with the same policy', async () => {
    const server = await startServer(counting)
    try {
      const allow = [`web.test:${server.port}`, '127.0.0.1']
      await using pool = new Pool(image, { size: 2, egress: { allow }, dns: [names.address] })
      await pool.ready()
      const code = python(`${ASK}\nprint(ask("web.test", ${server.port}, b"123"), ask("x.test", 1))`)
      const results = await Promise.all([1, 2, 3].map(() => pool.run(code)))
      expect(results.map(({ stdout }) => stdout)).toEqual(Array<string>(3).fill('3 bytes no name\n'))
    } finally {
      server.stop()
    }
  })

  test.each<[string, ContainerOptions, string]>([
    ['network: none', { network: 'none' }, 'INVALID_ARGUMENT'],
    ['network: host', { network: 'host' }, 'INVALID_ARGUMENT'],
    ['a bridge', { network: 'bridge' }, 'UNSUPPORTED'],
    ['networks', { networks: ['bridge'] }, 'UNSUPPORTED'],
    ['ports', { ports: [{ container: 80 }] }, 'INVALID_ARGUMENT'],
    ['the host’s network namespace', { namespaces: { net: 'host' } }, 'INVALID_ARGUMENT'],
    ['the host’s processes', { namespaces: { pid: 'host' } }, 'INVALID_ARGUMENT'],
    ['the host’s mounts', { namespaces: { mnt: 'host' } }, 'INVALID_ARGUMENT'],
    ['privileged', { security: { privileged: true } }, 'INVALID_ARGUMENT'],
    ['SYS_ADMIN', { security: { capabilities: { add: ['sys_admin'] } } }, 'INVALID_ARGUMENT'],
    ['all capabilities', { security: { capabilities: { add: ['ALL'] } } }, 'INVALID_ARGUMENT'],
    ['a name server that is none', { dns: ['nowhere'] }, 'INVALID_ARGUMENT'],
    ['nonsense', { egress: 5 as never }, 'INVALID_ARGUMENT'],
    ['deny lists', { egress: { deny: ['x'] } as never }, 'INVALID_ARGUMENT'],
    ['a rule that is none', { egress: { allow: ['http://x'] } }, 'INVALID_ARGUMENT'],
  ])('contradicted by %s is an error', async (_, options, code) => {
    await expect(run(image, ['true'], { egress: { allow: [] }, ...options })).rejects.toMatchObject({
      code: `ERR_CAISSON_${code}`,
    })
  })
})

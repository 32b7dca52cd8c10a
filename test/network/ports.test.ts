import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createConnection, createServer } from 'node:net'
import { Container, Image, Network, run } from '../../lib/index.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import { busyboxImage } from '../support/busybox-image.js'
import { attempt, HERE, HERE6, Lan, noLan, SERVER, shell, THERE, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'
import { storeImage } from '../support/store-images.js'

const it = testIf(noLan)
const lan = Lan.forTests()
const sh = (script: string) => ['sh', '-c', script]

const ECHO_UDP = [
  'python3',
  '-u',
  '-c',
  `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))
while True:
    data, client = s.recvfrom(65535); s.sendto(data + b' ' + client[0].encode(), client)
`,
]
const ask = (host: string, port: number, family = 'AF_INET') =>
  `python3 -c "import socket; s=socket.socket(socket.${family},socket.SOCK_DGRAM); s.settimeout(2); s.connect(('${host}',${port})); s.send(b'ping'); print(s.recv(99).decode())"`

describe('published ports', () => {
  let image: Image
  let network: Network
  beforeAll(async () => {
    if (noLan) return
    image = await Image.host()
    network = await Network.create()
  })
  afterAll(async () => {
    if (noLan) return
    await network.remove()
  })

  const serve = async (options: Parameters<typeof Container.create>[1]) => {
    const container = await Container.create(image, { network, command: SERVER('hello'), ...options })
    await container.start()
    return container
  }
  const answered = (url: string) => until(() => attempt(`curl -s -g -m 2 ${url}`) !== undefined)

  it('by default on loopback alone, at a free port, for both versions of IP', async () => {
    const web = await serve({ ports: [{ container: 80 }] })
    try {
      const { port, address } = web.port(80)
      expect(address).toBe('127.0.0.1')
      await answered(`127.0.0.1:${port}`)
      for (const host of ['127.0.0.1', '[::1]', 'localhost'])
        expect(shell(`curl -s -g ${host}:${port}`)).toContain('hello')
      expect(lan.tries(`curl -s -m 1 ${HERE}:${port}`)).toBeUndefined()
      expect(attempt(`curl -s -m 1 ${HERE}:${port}`)).toBeUndefined()
      // Nor by a neighbour who sends to loopback through us (moby/moby#45610).
      lan.tries(`ip route add 127.0.0.1 via ${HERE} dev lan0; ip route del local 127.0.0.1 table local`)
      expect(lan.tries(`curl -s -m 1 --interface lan0 127.0.0.1:${port}`)).toBeUndefined()
    } finally {
      await web.remove({ force: true })
    }
    expect(() => web.port(80)).toThrow('not published')
  })

  it('all that the image exposes, where ports do not say', async () => {
    const exposing = busyboxImage({ ExposedPorts: { '80/tcp': {}, '81/tcp': {} } })
    await storeImage((await imageRoots()).store, exposing, 'docker.io/library/exposing:1')
    const command = ['sh', '-c', 'while :; do echo all | busybox nc -l -p 80; done']
    const options = { network, command, ports: [{ container: 81, host: 8099 }] }
    const web = await Container.create('exposing:1', { ...options, publishAllPorts: true })
    const everywhere = await Container.create('exposing:1', { network, command, publishAllPorts: { address: '*' } })
    try {
      await web.start()
      await everywhere.start()
      expect(web.inspect().ports.map(({ container, address }) => [container, address])).toEqual([
        [81, '127.0.0.1'],
        [80, '127.0.0.1'],
      ])
      expect(web.port(81).port).toBe(8099)
      await until(() => attempt(`busybox nc -w 1 127.0.0.1 ${web.port(80).port} </dev/null`)?.includes('all') ?? false)
      await until(
        () => lan.tries(`busybox nc -w 1 ${HERE} ${everywhere.port(80).port} </dev/null`)?.includes('all') ?? false,
      )
    } finally {
      await web.remove({ force: true })
      await everywhere.remove({ force: true })
    }
    await expect(run('exposing:1', ['true'], { publishAllPorts: true })).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
      message: expect.stringContaining('on no network'),
    })
  })

  it('on every address: from the neighbour with its own address, from the host, from containers, and from itself', async () => {
    const web = await serve({ name: 'all', ports: [{ container: 80, host: 8080, address: '*' }] })
    try {
      await answered(`${HERE}:8080`)
      expect(lan.from(`curl -s -m 3 ${HERE}:8080`)).toBe(`hello ${THERE}`)
      expect(lan.from(`curl -s -m 3 -g "[${HERE6}]:8080"`)).toContain('hello')
      for (const host of [HERE, '127.0.0.1', '[::1]', `[${HERE6}]`])
        expect(shell(`curl -s -g -m 3 "${host}:8080"`)).toContain('hello')
      expect((await run(image, sh(`curl -s -m 3 ${HERE}:8080`), { network })).stdout).toContain('hello')
      expect((await run(image, sh(`curl -s -m 3 ${HERE}:8080`), { network: 'bridge' })).stdout).toContain('hello')
      expect((await web.exec(sh(`curl -s -m 3 ${HERE}:8080`))).stdout).toContain('hello')
      const other = await Container.create(image, {
        network,
        command: ['sleep', '60'],
        ports: [{ container: 1, host: 8080 }],
      })
      const error = await other.start().catch((error) => error)
      expect(error).toMatchObject({ code: 'ERR_CAISSON_PORT_IN_USE' })
      expect(error.message).toContain('container all')
      // It has left nothing, and can be started when the port is free.
      await web.stop({ timeout: 0 })
      await other.start()
      expect(other.port(1).port).toBe(8080)
      await other.remove({ force: true })
    } finally {
      await web.remove({ force: true })
    }
    expect(lan.tries(`curl -s -m 1 ${HERE}:8080`)).toBeUndefined()
  })

  it('UDP like TCP', async () => {
    const ports = [
      { container: 53, protocol: 'udp' as const, address: '*' },
      { container: 53, protocol: 'udp' as const },
    ]
    const server = await serve({ command: ECHO_UDP, ports: ports.slice(0, 1) })
    try {
      const { port } = server.port(53, 'udp')
      await until(() => attempt(ask('127.0.0.1', port)) !== undefined)
      expect(shell(ask('::1', port, 'AF_INET6'))).toContain('ping')
      expect(shell(ask(HERE, port))).toContain('ping')
      expect(lan.from(ask(HERE, port)).trim()).toBe(`ping ${THERE}`)
    } finally {
      await server.remove({ force: true })
    }
  })

  it('are not all that a process has descriptors for: others connect until they wait, and it goes on', async () => {
    const many = await Network.create({ name: 'many' })
    const code = `const { Container, Image, run } = require('caisson')
      void (async () => {
        const image = await Image.host()
        const command = ['python3', '-m', 'http.server', '80']
        const web = await Container.create(image, { network: 'many', command, ports: [{ container: 80 }] })
        await web.start()
        console.log(web.port(80).port)
        process.stdin.on('data', async () => console.log((await run(image, ['echo', 'goes on'])).stdout.trim()))
      })()`
    const words = ['--nofile=300:300', process.execPath, '-e', code]
    const owner = spawn('prlimit', words, { stdio: ['pipe', 'pipe', 'inherit'], env: process.env })
    const said = async () => String((await once(owner.stdout, 'data'))[0]).trim()
    const port = Number(await said())
    try {
      await answered(`http://127.0.0.1:${port}/`)
      const clients = Array.from({ length: 120 }, () => createConnection(port, '127.0.0.1'))
      for (const client of clients) client.on('error', () => undefined)
      await Promise.all(clients.map((client) => once(client, 'connect')))
      await new Promise((resolve) => setTimeout(resolve, 500))
      owner.stdin.write('run')
      expect(await said()).toBe('goes on')
      for (const client of clients) client.destroy()
      await answered(`http://127.0.0.1:${port}/`)
    } finally {
      owner.kill('SIGKILL')
      await once(owner, 'exit')
      await until(() =>
        many.remove().then(
          () => true,
          () => false,
        ),
      )
    }
  })

  it('of a range of the host the first that is free, and an error when none is', async () => {
    const ports = [{ container: 80, host: '8110-8112', address: '127.0.0.1' }]
    const holder = createServer().listen(8111, '127.0.0.1')
    await once(holder, 'listening')
    const [one, other] = [await serve({ ports }), await serve({ ports })]
    try {
      expect([one.port(80).port, other.port(80).port]).toEqual([8110, 8112])
      await answered('127.0.0.1:8112')
      await expect(run(image, ['true'], { network, ports })).rejects.toMatchObject({
        code: 'ERR_CAISSON_PORT_IN_USE',
        message: expect.stringContaining('from 8110 to 8112'),
      })
      await one.stop({ timeout: 0 })
      expect((await run(image, ['true'], { network, ports })).exitCode).toBe(0)
      const twice = [
        { container: 80, host: 8113, address: '*' },
        { container: 81, host: 8113 },
      ]
      await expect(run(image, ['true'], { network, ports: twice })).rejects.toMatchObject({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
        message: expect.stringMatching(/ports\[1\].*8113.*ports\[0\]/),
      })
    } finally {
      holder.close()
      for (const each of [one, other]) await each.remove({ force: true })
    }
  })

  it('a range, or any port, takes none that another mapping of the container names', async () => {
    const address = '127.0.0.1'
    const ports = [
      { container: 79, address },
      { container: 80, host: '8120-8130', address },
      { container: 81, host: '8120-8121', address },
      { container: 82, host: 8120, address },
    ]
    const web = await serve({ ports })
    try {
      expect(web.inspect().ports.map(({ container }) => container)).toEqual([79, 80, 81, 82])
      expect([80, 81, 82].map((port) => web.port(port).port)).toEqual([8122, 8121, 8120])
    } finally {
      await web.remove({ force: true })
    }
  })

  it('a holder outside of caisson is named', async () => {
    const holder = createServer().listen(8099, '127.0.0.1')
    await once(holder, 'listening')
    const error = await run(image, ['true'], { network, ports: [{ container: 80, host: 8099 }] }).catch(
      (error) => error,
    )
    holder.close()
    expect(error).toMatchObject({ code: 'ERR_CAISSON_PORT_IN_USE', cause: { code: 'EADDRINUSE' } })
    expect(error.message).toContain(`process ${process.pid}`)
    await expect(
      run(image, ['true'], { network, ports: [{ container: 80, address: '203.0.113.1' }] }),
    ).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })

  it('much data both ways, half-closed connections, and a program that is not there', async () => {
    const code = `
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', 80)); s.listen()
while True:
    c, _ = s.accept(); n = 0
    while True:
        data = c.recv(1 << 20)
        if not data: break
        n += len(data)
    c.sendall(str(n).encode() + b' ' + b'x' * n); c.close()
`
    const server = await serve({ command: ['python3', '-c', code], ports: [{ container: 80 }, { container: 81 }] })
    try {
      const { port } = server.port(80)
      const size = 20_000_000
      const exchange = async () => {
        const socket = createConnection(port, '127.0.0.1')
        socket.end(Buffer.alloc(size, 'y'))
        let got = 0
        for await (const chunk of socket) got += chunk.length
        return got
      }
      await until(() =>
        exchange().then(
          (n) => n > 0,
          () => false,
        ),
      )
      expect(await exchange()).toBe(size + String(size).length + 1)
      const refused = createConnection(server.port(81).port, '127.0.0.1')
      const [error] = await once(refused, 'error')
      expect((error as NodeJS.ErrnoException).code).toBe('ECONNRESET')
    } finally {
      await server.remove({ force: true })
    }
  }, 60_000)

  it('beside a firewall that drops what is forwarded, sockets serve, and a warning says what to do', async () => {
    shell(`nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }'`)
    const script = `
      const { Container, Image } = await import('./dist/index.js')
      const web = await Container.create(await Image.host(), { network: 'bridge', command: JSON.parse(process.argv[1]), ports: [{ container: 80, host: 8081, address: '*' }] })
      await web.start()
      console.log('up')
      process.stdin.resume()
      process.stdin.on('end', () => web.remove({ force: true }))`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, JSON.stringify(SERVER('hello'))], {
      env: process.env,
    })
    let said = ''
    child.stderr.on('data', (chunk) => (said += chunk))
    try {
      await once(child.stdout, 'data')
      await answered('127.0.0.1:8081')
      expect(lan.from(`curl -s -m 3 ${HERE}:8081`)).toContain('hello')
      expect(said).toContain('CAISSON_FORWARD_DROP')
      expect(said).toContain('DOCKER-USER')
    } finally {
      child.stdin.end()
      await once(child, 'exit')
      shell('nft delete table ip filter')
    }
  })
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, Image, Network, run } from '../../lib/index.js'
import { namesDirectory } from '../../lib/network/names.js'
import { attempt, Lan, noLan, shell, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const it = testIf(noLan)
const lan = Lan.forTests()
const sh = (script: string) => ['sh', '-c', script]

/** A name server of the host, as systemd-resolved's stub is: on a loopback address, UDP and TCP. */
const STUB = `
import socket, struct, threading
def answer(q):
    i = 12
    while q[i]: i += q[i] + 1
    name = q[12:i]
    if b'large' in name and not threading.current_thread().name == 'tcp': return q[:2] + b'\\x83\\x80' + q[4:6] + b'\\0' * 6 + q[12:i+5]
    n = 200 if b'large' in name else 1
    if b'liar' in name: q = b'\\xff\\xff' + q[2:]
    return q[:2] + b'\\x81\\x80' + q[4:6] + struct.pack('>H', n) + b'\\0\\0\\0\\0' + q[12:i+5] + b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\1\\2\\3\\4' * n
def tcp():
    t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(('127.0.0.53', 53)); t.listen()
    while True:
        c, _ = t.accept()
        try:
            n = struct.unpack('>H', c.recv(2))[0]; a = answer(c.recv(n)); c.sendall(struct.pack('>H', len(a)) + a)
        except Exception: pass
        c.close()
threading.Thread(target=tcp, daemon=True, name='tcp').start()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.53', 53))
while True:
    q, client = u.recvfrom(4096)
    with open('LOG', 'ab') as log: log.write(q[12:] + b'\\n')
    u.sendto(answer(q), client)
`

describe('names', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-names-'))
  let image: Image
  let network: Network
  let web: Container
  beforeAll(async () => {
    if (noLan) return
    const conf = path.join(directory, 'resolv.conf')
    writeFileSync(conf, 'nameserver 127.0.0.53\nsearch corp.test\n')
    shell(`mount --make-rprivate /; mount --bind ${conf} /etc/resolv.conf`)
    lan.background('here', ['python3', '-c', STUB.replace('LOG', path.join(directory, 'log'))])
    image = await Image.host()
    network = await Network.create({ ipv6: true })
    const networks = [{ network, aliases: ['db', 'a.b'] }]
    web = await Container.create(image, { name: 'web', networks, command: ['sleep', '600'] })
    await web.start()
    await until(() => attempt('dig +short +time=1 +tries=1 @127.0.0.53 x') === '1.2.3.4\n')
  })
  afterAll(async () => {
    if (noLan) return
    await web.remove({ force: true })
    await network.remove()
    shell('umount /etc/resolv.conf')
    rmSync(directory, { recursive: true })
  })

  const dig = async (question: string, options: Parameters<typeof run>[2] = { network }) =>
    (await run(image, sh(`dig +time=2 +tries=1 ${question}`), options)).stdout

  it('of containers, aliases and the host, in large letters too, by UDP and TCP', async () => {
    const { ipv4, ipv6 } = (await network.inspect()).containers[0] as { ipv4: string; ipv6: string }
    for (const name of ['web', 'DB', 'a.b', web.id.slice(0, 12)]) {
      expect(await dig(`+short ${name}`)).toBe(`${ipv4}\n`)
      expect(await dig(`+short +tcp ${name}`)).toBe(`${ipv4}\n`)
      expect(await dig(`+short ${name} AAAA`)).toBe(`${ipv6}\n`)
    }
    expect(await dig('+short host.caisson.internal')).toBe(`${network.definition.ipv4.gateway}\n`)
    const mx = await dig('web MX')
    expect([mx.includes('status: NOERROR'), mx.includes('ANSWER: 0')]).toEqual([true, true])
    expect((await run(image, sh('getent ahosts db'), { network })).stdout).toContain(ipv4)
  })

  it('of one that is renamed: the new one, and no longer the old one; its aliases stay', async () => {
    const options = { name: 'before', hostname: 'host', networks: [{ network, aliases: ['other'] }] }
    await using container = await Container.create(image, { ...options, command: ['sleep', '600'] })
    await container.rename('early')
    await container.start()
    await container.rename('After')
    const { ipv4 } = (await network.inspect()).containers.find(({ id }) => id === container.id) ?? { ipv4: '' }
    for (const name of ['after', 'host', 'other', container.id.slice(0, 12)])
      expect(await dig(`+short ${name}`)).toBe(`${ipv4}\n`)
    for (const name of ['before', 'early']) expect(await dig(`+short ${name}`)).not.toContain(ipv4)
    await container.restart({ timeout: 0 })
    expect(await dig('+short after')).toBe(`${ipv4}\n`)
    // Whichever comes first of a start, an end and a name.
    for (let round = 0; round < 10; round++) {
      await Promise.all([container.rename(`round-${round}`), container.restart({ timeout: 0 })])
      expect(await dig(`+short round-${round}`)).toBe(`${ipv4}\n`)
      expect(await dig(`+short after +short round-${round - 1}`)).not.toContain(ipv4)
    }
    await container.stop({ timeout: 0 })
    expect(await dig('+short round-9 +short host')).not.toContain(ipv4)
  })

  it('of one that could not be renamed on each of its networks: none has the new one', async () => {
    await using other = await Network.create({ ipv6: true })
    const networks = [{ network }, { network: other }]
    await using container = await Container.create(image, { name: 'before', networks, command: ['sleep', '600'] })
    await container.start()
    const addresses = async (on: Network) =>
      (await on.inspect()).containers.find(({ id }) => id === container.id) as { ipv4: string; ipv6: string }
    const [first, second] = [await addresses(network), await addresses(other)]
    // A directory where the link is to be for its address of IPv6.
    const inTheWay = path.join(namesDirectory(other.id), 'after', second.ipv6)
    mkdirSync(inTheWay, { recursive: true })
    await expect(container.rename('after')).rejects.toMatchObject({ code: 'EEXIST' })
    rmdirSync(inTheWay)
    expect(container.name).toBe('before')
    expect(await dig('+short after')).not.toContain(first.ipv4)
    expect(await dig('+short after', { network: other })).not.toContain(second.ipv4)
    expect(await dig('+short before')).toBe(`${first.ipv4}\n`)
    expect(await dig('+short before', { network: other })).toBe(`${second.ipv4}\n`)
    await container.rename('after')
    expect(await dig('+short after', { network: other })).toBe(`${second.ipv4}\n`)
  })

  it('of addresses, by both versions of IP; of those that nobody here has the host is asked', async () => {
    const { ipv4, ipv6 } = (await network.inspect()).containers[0] as { ipv4: string; ipv6: string }
    const names = `a.b.\ndb.\nweb.\n${web.id.slice(0, 12)}.\n`
    for (const address of [ipv4, ipv6]) expect(await dig(`+short -x ${address}`)).toBe(names)
    expect(await dig(`+short +tcp -x ${ipv4}`)).toBe(names)
    expect(await dig(`+short -x ${network.definition.ipv4.gateway}`)).toBe('host.caisson.internal.\n')
    expect((await run(image, sh(`getent hosts ${ipv4}`), { network })).stdout).toContain('a.b')
    expect(await dig('-x 10.1.2.3')).toContain('1.2.3.4')
    await using inner = await Network.create({ internal: true })
    for (const name of [`-x ${ipv4}`, '-x ::1', 'x.in-addr.arpa PTR', 'ip6.arpa PTR', '1.0.0.127.in-addr.arpa.x PTR'])
      expect(await dig(name, { network: inner })).toContain('NXDOMAIN')
  })

  it('of the rest of the world from the host, where a loopback stub is its server', async () => {
    expect(await dig('+short example.test')).toBe('1.2.3.4\n')
    expect(await dig('+short +tcp example.test')).toBe('1.2.3.4\n')
    expect(await dig('+short example.test', { network: 'bridge' })).toBe('1.2.3.4\n')
    // Too large for a datagram: asked again by TCP.
    expect((await dig('+short large.test')).split('\n').length).toBe(201)
    // An answer to another question is none.
    expect(await dig('+time=1 liar.test')).toMatch(/timed out|no servers could be reached/)
    expect((await run(image, sh('cat /etc/resolv.conf'), { network })).stdout).toBe(
      'nameserver 127.0.0.11\nsearch corp.test\noptions ndots:0\n',
    )
  })

  it('not of others: another network, the default one, and from an internal one nothing gets out', async () => {
    await using inner = await Network.create({ internal: true })
    expect(await dig('web', { network: inner })).toContain('NXDOMAIN')
    expect(await dig('secret-data.leak.test', { network: inner })).toContain('NXDOMAIN')
    expect(shell(`grep -c secret-data ${directory}/log || true`).trim()).toBe('0')
    // With servers of its own just as little.
    expect(await dig('secret-data.leak.test', { network: inner, dns: ['127.0.0.53'] })).toContain('NXDOMAIN')
    expect(await dig('other.caisson.internal')).toContain('NXDOMAIN')
    expect(shell(`grep -c secret-data ${directory}/log || true`).trim()).toBe('0')
  })

  it('malformed and huge packets get no answer, and the next question does', async () => {
    const code = `
import os, random, socket, struct
def ask(data):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.05); s.connect(('127.0.0.11', 53)); s.send(data)
    try: return s.recv(65535)
    except OSError: return b''
good = b'\\x12\\x34\\x01\\x00\\x00\\x01' + b'\\0' * 6 + b'\\3web\\0\\0\\1\\0\\1'
bad = [b'', b'x', good[:12], good[:-1], good[:12] + b'\\xc0\\x0c\\0\\1\\0\\1', good[:12] + b'\\x40' + b'a' * 64 + b'\\0\\0\\1\\0\\1',
       good[:12] + b'\\3abc' * 100 + b'\\0\\0\\1\\0\\1', good[:2] + b'\\x81' + good[3:], good[:4] + b'\\0\\2' + good[6:], good + b'x' * 60000,
       good[:4] + b'\\0\\0' + good[6:]]
print(sum(1 for each in bad if ask(each)))
random.seed(1)
for _ in range(3000):
    data = bytearray(good)
    for _ in range(random.randrange(1, 6)): data[random.randrange(len(data))] = random.randrange(256)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(bytes(data[:random.randrange(1, len(data) + 1)]), ('127.0.0.11', 53)); s.close()
for n in range(70):
    t = socket.create_connection(('127.0.0.11', 53)); t.send(os.urandom(100))
print(len(ask(good)) > 30)
t = socket.create_connection(('127.0.0.11', 53), timeout=3); t.send(struct.pack('>H', len(good)) + good[:5]); t.send(good[5:] + struct.pack('>H', len(good)) + good)
got = b''
while got.count(b'\\3web') < 2: got += t.recv(999)
print(got.count(b'\\3web'))
`
    const { stdout, stderr } = await run(image, ['python3', '-c', code], { network, timeout: 25_000 })
    expect({ stdout, stderr }).toEqual({ stdout: '0\nTrue\n2\n', stderr: '' })
  })

  it('who asks by TCP and reads no answers is not read any more: they would pile up in our memory', async () => {
    const code = `
import socket, threading
good = b'\\x12\\x34\\x01\\x00\\x00\\x01' + b'\\0' * 6 + b'\\3web\\0\\0\\xff\\0\\1'
asked = (b'\\0' + bytes([len(good)]) + good) * 1000
s = socket.create_connection(('127.0.0.11', 53)); s.settimeout(2)
sent = 0
try:
    while sent < 128 << 20: sent += s.send(asked[sent % len(asked):])
    print('all was taken')
except OSError as error: print(type(error).__name__)
t = socket.create_connection(('127.0.0.11', 53), timeout=5)
threading.Thread(target=lambda: t.sendall(asked * 20), daemon=True).start()
got, answer = 0, 2 + len(good) + 12 + 4 + 12 + 16
while got < 20000 * answer: got += len(t.recv(1 << 20))
print('answered')
`
    const { stdout, stderr } = await run(image, ['python3', '-c', code], { network, timeout: 28_000 })
    expect({ stdout, stderr }).toEqual({ stdout: 'TimeoutError\nanswered\n', stderr: '' })
  })

  it('what was asked before is as it is now: others of that name come and go', async () => {
    const ask = async () => (await web.exec(['dig', '+short', 'brief'])).stdout.split('\n').filter(Boolean).sort()
    const make = (name: string) =>
      Container.create(image, { networks: [{ network, aliases: ['brief'] }], name, command: ['sleep', '60'] })
    for (let round = 0; round < 3; round++) {
      await using one = await make('one')
      await one.start()
      const [first] = one.inspect().endpoints
      expect(await ask()).toEqual([first?.ipv4])
      await using two = await make('two')
      await two.start()
      expect(await ask()).toEqual([first?.ipv4, two.inspect().endpoints[0]?.ipv4].sort())
      await two.stop({ timeout: 0 })
      expect(await ask()).toEqual([first?.ipv4])
      await one.stop({ timeout: 0 })
      expect(await ask()).toEqual(['1.2.3.4'])
    }
  })

  it('and of another process, which may be killed', async () => {
    const { name } = await Network.create({ name: 'shared' })
    const code = `const { Container, Image } = require('caisson')
      void (async () => {
        const c = await Container.create(await Image.host(), { name: 'far', network: 'shared', command: ['sleep', '600'] })
        await c.start()
        console.log('up')
      })()`
    const other = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'], env: process.env })
    await once(other.stdout, 'data')
    await using here = await Container.create(image, { network: name, command: ['sleep', '600'] })
    await here.start()
    const ask = async () => (await here.exec(['dig', '+short', 'far'])).stdout
    expect(await ask()).toMatch(/^10\./)
    other.kill('SIGKILL')
    await until(async () => (await ask()) === '1.2.3.4\n')
    await here.remove({ force: true })
    await Network.get(name).then((each) => each.remove())
  })

  it('a name is gone with its container', async () => {
    const other = await Container.create(image, { name: 'brief', network, command: ['sleep', '60'] })
    await other.start()
    expect(await dig('+short brief')).toMatch(/^10\./)
    await other.stop({ timeout: 0 })
    expect(await dig('brief')).toContain('1.2.3.4')
    await other.remove()
  })
})

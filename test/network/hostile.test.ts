/** Programs that forge frames, with the rights that containers have by default (CAP_NET_RAW) and with all over their network. */
import { createSocket } from 'node:dgram'
import { Container, Image, Network, run } from '../../lib/index.js'
import { HERE, Lan, noLan, SERVER, shell, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const it = testIf(noLan)
Lan.forTests()

/** `frame()` and what it is made of; the attacker knows its victims' and the gateway's addresses. */
const FORGE = `
import socket, struct, sys
me, mac, victim, gateway = sys.argv[1:5]
B = lambda text: bytes.fromhex(text.replace(':', ''))
I = socket.inet_aton
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300); s.bind(('eth0', 0))
def checksum(data):
    total = sum(struct.unpack('>%dH' % (len(data) // 2), data)); total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
def udp(source, target, text, smac=mac, dmac='ff:ff:ff:ff:ff:ff'):
    body = struct.pack('>HHHH', 5, 9999, 8 + len(text), 0) + text
    head = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0, I(source), I(target))
    head = head[:10] + struct.pack('>H', checksum(head)) + head[12:]
    s.send(B(dmac) + B(smac) + b'\\x08\\0' + head + body)
def arp(ip, smac=mac, inner=None):
    s.send(b'\\xff' * 6 + B(smac) + b'\\x08\\x06' + struct.pack('>HHBBH', 1, 0x800, 6, 4, 2) + B(inner or smac) + I(ip) + b'\\xff' * 6 + I(victim))
`
const LISTEN = [
  'python3',
  '-u',
  '-c',
  `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9999)); print('ready')
while True: print(s.recvfrom(99)[0].decode())
`,
]

describe('hostile neighbours on a network', () => {
  let image: Image
  let network: Network
  let victim: Container
  let address: string
  beforeAll(async () => {
    if (noLan) return
    image = await Image.host()
    network = await Network.create({ ipv6: true })
    victim = await Container.create(image, { network, command: LISTEN })
    await victim.start()
    await until(async () => (await heard()).includes('ready'))
    address = (await network.inspect()).containers[0]?.ipv4 as string
  })
  afterAll(async () => {
    if (noLan) return
    await victim.remove({ force: true })
    await network.remove()
  })

  const heard = async () => {
    const lines: string[] = []
    for await (const { data } of victim.logs()) lines.push(data.toString().trim())
    return lines
  }
  /** Runs an attack at a fixed place on the network. */
  const forge = async (code: string, more: object = {}) => {
    const [ipv4, mac] = [address.replace(/\.\d+$/, '.200'), '02:00:00:00:02:00']
    const script = `${FORGE}\n${code}`
    const arguments_ = [ipv4, mac, address, network.definition.ipv4.gateway]
    const result = await run(image, ['python3', '-c', script, ...arguments_], {
      networks: [{ network, ipv4, mac }],
      ...more,
    })
    expect({ stderr: result.stderr, exitCode: result.exitCode }).toEqual({ stderr: '', exitCode: 0 })
    return result.stdout
  }
  const neighbours = async () => (await victim.exec(['ip', 'neigh'])).stdout

  it('packets under the address of another, or with another hardware address, do not arrive', async () => {
    await forge(`
udp(me, victim, b'honest')
udp(gateway, victim, b'as the gateway')
udp('1.2.3.4', victim, b'as somebody')
udp(me, victim, b'other hardware', smac='02:00:00:00:00:99')
udp(victim, victim, b'as the victim')
udp(me, victim, b'honest again')
`)
    await until(async () => (await heard()).includes('honest again'))
    expect((await heard()).filter((line) => line !== 'ready')).toEqual(['honest', 'honest again'])
  })

  it('a changed address or hardware address is of no use, with every right over the own network', async () => {
    const privileged = { security: { capabilities: { add: ['NET_ADMIN'] } } }
    await forge(
      `
import subprocess
def sh(text): subprocess.run(text, shell=True, check=True)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((me, 0)); u.sendto(b'first address', (victim, 9999))
import time; time.sleep(0.3)
sh('ip address add %s/22 dev eth0' % me.replace('.200', '.201'))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((me.replace('.200', '.201'), 0)); u.sendto(b'second address', (victim, 9999))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((me, 0))
sh('ip link set eth0 address 02:00:00:00:00:99')
u.sendto(b'third', (victim, 9999))
sh('ip link set eth0 address ' + mac)
u.sendto(b'restored', (victim, 9999))
time.sleep(0.2)
`,
      privileged,
    )
    await until(async () => (await heard()).includes('restored'))
    const lines = await heard()
    expect(lines).toContain('first address')
    expect(lines).not.toContain('second address')
    expect(lines).not.toContain('third')
  })

  it('ARP: nobody is made to believe that the gateway, or another, lives elsewhere', async () => {
    const { gateway } = network.definition.ipv4
    await victim.exec(['sh', '-c', `curl -s -m 1 ${gateway}:1; ip neigh`])
    const before = /lladdr (\S+)/.exec(
      (await neighbours()).split('\n').find((line) => line.startsWith(`${gateway} `)) ?? '',
    )?.[1]
    expect(before).toBeDefined()
    await forge(`
for _ in range(20):
    arp(gateway); arp(gateway, smac='02:00:00:00:00:99'); arp(gateway, inner='02:00:00:00:00:99'); arp(victim)
    arp(me, inner='02:00:00:00:00:98')
arp(me)
udp(me, victim, b'after arp')
`)
    await until(async () => (await heard()).includes('after arp'))
    const after = await neighbours()
    expect(after).toContain(`${gateway} dev eth0 lladdr ${before}`)
    expect(after).not.toMatch(/00:00:00:00:9/)
    // Nor the host itself.
    expect(shell('ip neigh')).not.toContain('02:00:00:00:00:9')
  })

  it('frames that bridges keep for themselves teach ours nothing: what is for a neighbour comes to no other', async () => {
    // LLDP is for the bridge itself, and does not come by the rules about senders.
    const taking = forge(`
import time
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.sendto(b'hello', (victim, 9999)); time.sleep(0.2)
[theirs] = [line.split()[3] for line in open('/proc/net/arp') if line.startswith(victim + ' ')]
s.settimeout(0.002)
taken, end = 0, time.time() + 3
print('begun', flush=True)
while time.time() < end:
    for last in ('0e', '02', '03'):
        s.send(B('01:80:c2:00:00:' + last) + B(theirs) + b'\\x88\\xcc' + b'x' * 60)
    try: taken += b'for the victim' in s.recv(2000)
    except TimeoutError: pass
print(taken)
`)
    let over = false
    const taken = taking.finally(() => {
      over = true
    })
    const socket = createSocket('udp4')
    let sent = 0
    while (!over) {
      socket.send(`for the victim ${sent++}`, 9999, address)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    socket.close()
    expect(await taken).toBe('begun\n0\n')
    await until(async () => (await heard()).join('\n').includes(`for the victim ${sent - 1}`))
    expect((await heard()).join('\n').match(/for the victim/g)).toHaveLength(sent)
  })

  it('what is for a neighbour that was silent for long, or has gone, comes to no other', async () => {
    const bridge = shell(`ip -o route get ${address}`).match(/dev (\S+)/)?.[1] as string
    const gone = address.replace(/\.\d+$/, '.201')
    const taking = forge(`
import time
s.settimeout(0.05)
taken, end = set(), time.time() + 20
print('begun', flush=True)
while time.time() < end:
    try: frame = s.recv(2000)
    except TimeoutError: continue
    for text in (b'for the victim', b'for one that has gone'):
        if text in frame: taken.add(text.decode())
    if b'and the end' in frame: break
print(sorted(taken))
`)
    let over = false
    const taken = taking.finally(() => {
      over = true
    })
    // Somebody still knows where it was, as everybody does for half a minute.
    shell(`ip neigh replace ${gone} lladdr 02:00:00:00:02:01 dev ${bridge} nud permanent`)
    await until(async () => (await network.inspect()).containers.length === 2)
    const socket = createSocket('udp4')
    const attacker = address.replace(/\.\d+$/, '.200')
    for (let sent = 0; !over; sent++) {
      // What a bridge has learned it forgets after five minutes of silence.
      shell(`ip link set ${bridge} type bridge fdb_flush`)
      socket.send('for the victim that is silent', 9999, address)
      socket.send('for one that has gone', 9999, gone)
      if (sent > 20) socket.send('and the end', 9999, attacker)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    socket.close()
    shell(`ip neigh del ${gone} dev ${bridge}`)
    expect(await taken).toBe('begun\n[]\n')
    expect((await heard()).join('\n')).toContain('for the victim that is silent')
  })

  it('IPv6: no router is believed, and no address of another is claimed (CVE-2020-13401)', async () => {
    const script = `
import time
def icmp(kind, body, source, target):
    src, dst = socket.inet_pton(socket.AF_INET6, source), socket.inet_pton(socket.AF_INET6, target)
    data = struct.pack('>BBH', kind, 0, 0) + body
    pseudo = src + dst + struct.pack('>II', len(data), 58) + data
    data = data[:2] + struct.pack('>H', checksum(pseudo + b'\\0' * (len(pseudo) % 2))) + data[4:]
    s.send(B('33:33:00:00:00:01') + B(mac) + b'\\x86\\xdd' + struct.pack('>IHBB', 0x60000000, len(data), 58, 255) + src + dst + data)
prefix = struct.pack('>BBBBIII', 3, 4, 64, 0xc0, 9999, 9999, 0) + socket.inet_pton(socket.AF_INET6, 'fd66::')
mine = open('/proc/net/if_inet6').read().split()[0]
for line in open('/proc/net/if_inet6'):
    if 'eth0' in line: mine = line.split()[0]
mine = ':'.join(mine[i:i+4] for i in range(0, 32, 4))
gate = '${'GATE'}'
for source in ('fe80::bad', mine):
    icmp(134, struct.pack('>BBHII', 64, 0, 1800, 0, 0) + prefix, source, 'ff02::1')
    icmp(136, struct.pack('>I', 0x20000000) + socket.inet_pton(socket.AF_INET6, gate) + b'\\2\\1' + B(mac), source, 'ff02::1')
icmp(136, struct.pack('>I', 0x20000000) + socket.inet_pton(socket.AF_INET6, mine) + b'\\2\\1' + B(mac), mine, 'ff02::1')
time.sleep(0.3)
`.replace('GATE', network.definition.ipv6?.gateway as string)
    const victim6 = (await network.inspect()).containers[0]?.ipv6 as string
    await victim.exec(['sh', '-c', `curl -g -s -m 1 "[${network.definition.ipv6?.gateway}]:1"`])
    await forge(script)
    const seen = (await victim.exec(['sh', '-c', 'ip -6 address show eth0; ip -6 route; ip -6 neigh'])).stdout
    expect(seen).toContain(victim6)
    expect(seen).not.toContain('fd66')
    expect(seen).not.toContain('02:00:00:00:02:00')
    expect(seen).not.toMatch(/default.*fe80/)
    expect(shell('ip -6 address; ip -6 neigh')).not.toMatch(/fd66|02:00:00:00:02:00/)
  })

  it("other protocols than IP do not pass, and the host's own rules stay as they are", async () => {
    shell(`nft 'table inet theirs { chain c { type filter hook input priority 10; policy accept; counter; }; }'`)
    await forge(`
s.send(b'\\xff' * 6 + B(mac) + b'\\x88\\xcc' + b'x' * 60)
s.send(b'\\xff' * 6 + B(mac) + b'\\x81\\0\\0\\5\\x08\\0' + b'x' * 60)
udp(me, victim, b'after others')
`)
    await until(async () => (await heard()).includes('after others'))
    expect(shell('nft list table inet theirs')).toContain('counter')
    // Whoever flushes all rules does not take ours: the guards stay.
    shell('nft flush ruleset')
    expect(shell('nft list ruleset')).toContain('iifname @ports jump sender')
    await forge(`udp(gateway, victim, b'after flush')\nudp(me, victim, b'honest at last')`)
    await until(async () => (await heard()).includes('honest at last'))
    expect(await heard()).not.toContain('after flush')
  })

  /** Devices of the namespace that the other end of eth0 lies in (IFLA_TARGET_NETNSID), or the error. */
  const OUTSIDE = `
import errno, os, socket, struct
def ask(flags, *attributes):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); s.settimeout(5)
    body = struct.pack('=BxHiII', 0, 0, 0, 0, 0) + b''.join(struct.pack('=HHI', 8, kind, value) for kind, value in attributes)
    s.send(struct.pack('=IHHII', 16 + len(body), 18, 1 | flags, 1, 0) + body)
    found = []
    while True:
        data = s.recv(1 << 20)
        while data:
            size, kind = struct.unpack_from('=IH', data)
            if kind in (2, 3):
                error = struct.unpack_from('=i', data, 16)[0]
                return errno.errorcode[-error] if error < 0 else found
            link, each = {}, data[32:size]
            while len(each) >= 4:
                length, number = struct.unpack_from('=HH', each)
                link[number] = each[4:length]; each = each[(length + 3) & ~3:]
            found.append(link); data = data[(size + 3) & ~3:]
[number] = [struct.unpack('=i', link[37])[0] for link in ask(0x300) if link[3] == b'eth0\\0']
there = ask(0x300, (46, number))
print(there if isinstance(there, str) else sorted({link[3][:4].decode() for link in there} & {'cnb-', 'up0\\0'}))
`
  it('the namespace that its device leads to is out of reach, but for NET_ADMIN of the same user namespace', async () => {
    const look = async (security: object) =>
      (await run(image, ['python3', '-c', OUTSIDE], { network, security })).stdout.trim()
    expect(await look({})).toBe('EACCES')
    const capabilities = { add: ['NET_ADMIN'] }
    expect(await look({ capabilities, userns: 'auto' })).toBe('EACCES')
    // What the threat model says of it.
    expect(await look({ capabilities })).toBe("['cnb-', 'up0\\x00']")
  })

  it('a container on no network sees no other one, and reaches nothing', async () => {
    const script = `curl -s -m 1 ${address}:9999 || echo none; curl -s -m 1 ${HERE}:1 || echo none; ls /sys/class/net`
    const { stdout } = await run(image, ['sh', '-c', script])
    expect(stdout).toBe('none\nnone\nlo\n')
    expect(SERVER('x')).toHaveLength(4)
  })
})

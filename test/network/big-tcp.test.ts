import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Container, Image, Network, run } from '../../lib/index.js'
import { Lan, noLan, shell, THERE, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const [major, minor] = os.release().split('.').map(Number) as [number, number]
const it = testIf(noLan || (major * 1000 + minor < 6003 && 'BIG TCP over IPv4 came with Linux 6.3'))
const lan = Lan.forTests()

const BYTES = 256 * 1024 * 1024
/** Prints the digest of what one client sends. */
const SINK = `
import hashlib, socket
server = socket.create_server(('', 7000))
client, _ = server.accept()
digest = hashlib.sha256()
while piece := client.recv(1 << 20): digest.update(piece)
print(digest.hexdigest())
`
/** Sends noise; prints its digest, and how large the pieces were in which it left. */
const SOURCE = (host: string) => [
  'python3',
  '-c',
  `
import hashlib, os, socket
noise = os.urandom(1 << 24)
digest = hashlib.sha256()
peer = socket.create_connection(('${host}', 7000), 5)
for _ in range(${BYTES} >> 24):
  peer.sendall(noise)
  digest.update(noise)
peer.shutdown(socket.SHUT_WR)
peer.recv(1)
count = lambda name: int(open('/sys/class/net/eth0/statistics/tx_' + name).read())
print(digest.hexdigest(), count('bytes') // count('packets'))
`,
]
/** Port 7000, as /proc/net/tcp has it. */
const LISTENING = 'grep -q :1B58 /proc/net/tcp'

describe('streams between containers', () => {
  let image: Image
  beforeAll(async () => {
    if (!noLan) image = await Image.host()
  })

  /** The mean size of a piece; what arrived is what was sent. */
  const send = async (network: Network): Promise<number> => {
    await using sink = await Container.create(image, { network, name: 'sink', command: ['python3', '-c', SINK] })
    await sink.start()
    await until(async () => (await sink.exec(['sh', '-c', LISTENING])).exitCode === 0)
    const { stdout, stderr } = await run(image, SOURCE('sink'), { network })
    expect(stderr).toBe('')
    const [digest, size] = stdout.split(' ')
    expect((await sink.wait()).stdout.trim()).toBe(digest)
    return Number(size)
  }

  it('go in large pieces, unless somebody wants them as they were', async () => {
    await using large = await Network.create()
    await using usual = await Network.create({ bigTcp: false })
    expect(await send(large)).toBeGreaterThan(70_000)
    expect(await send(usual)).toBeLessThan(66_000)
  })

  /** What the machine has sent to its neighbour. */
  const counted = () => {
    const [bytes, packets] = shell("awk '/up0:/ { print $10, $11 }' /proc/net/dev").split(' ').map(Number)
    return { bytes: bytes as number, packets: packets as number }
  }

  it('are cut for a device that does not take them', async () => {
    await using network = await Network.create()
    const file = path.join(lan.root, 'digest')
    lan.background('there', ['sh', '-c', 'exec python3 -c "$1" > "$2"', 'sh', SINK, file])
    await until(() => lan.tries(LISTENING) !== undefined)
    const before = counted()
    const { stdout, stderr } = await run(image, SOURCE(THERE), { network })
    expect(stderr).toBe('')
    const [digest, size] = stdout.split(' ')
    expect(Number(size)).toBeGreaterThan(0)
    await until(() => readFileSync(file, 'utf8').trim() === digest)
    const after = counted()
    expect(after.bytes - before.bytes).toBeGreaterThan(BYTES)
    expect((after.bytes - before.bytes) / (after.packets - before.packets)).toBeLessThan(66_000)
  })
})

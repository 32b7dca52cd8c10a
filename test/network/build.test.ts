/** What commands of builds reach, as root. */
import { createServer } from 'node:net'
import { build, inside, removeBuilds, storeBox } from '../support/build.js'
import { HERE, Lan, noLan, SERVER, THERE, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const it = testIf(noLan)
const lan = Lan.forTests()

beforeAll(async () => {
  if (noLan) return
  await storeBox()
})
afterAll(async () => {
  if (noLan) return
  await removeBuilds()
})

describe('commands of builds', () => {
  it("reach the world, and not the host's loopback unless they are on the host's network", async () => {
    lan.background('there', SERVER('world', 9000))
    await until(() => lan.tries('curl -s localhost:9000') !== undefined)
    const server = createServer((socket) => socket.end('secret')).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    try {
      const { port } = server.address() as { port: number }
      const attack = `RUN (busybox nc -w 2 127.0.0.1 ${port} </dev/null; true) > /seen; \\
        busybox timeout 5 busybox wget -q -O - http://${THERE}:9000/ >> /seen`
      const seen = async (network: 'default' | 'host') =>
        inside((await build(attack, { network, noCache: true })).image, 'cat /seen')
      expect(await seen('host')).toMatch(/^secretworld /)
      expect(await seen('default')).toBe(`world ${HERE}`)
    } finally {
      server.close()
    }
  }, 60_000)
})

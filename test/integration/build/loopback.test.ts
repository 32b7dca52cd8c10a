/** Commands of an ordinary user's builds and the services of the host that listen on its loopback. */
import { createServer } from 'node:net'
import { build, inside, removeBuilds, storeBox } from '../../support/build.js'
import { isRoot, testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const it = testIf(isRoot && 'for an ordinary user; test/network/build has it for root')

beforeAll(storeBox)
afterAll(removeBuilds)

describe('a command of a build', () => {
  it("reads nothing from a listener on the host's loopback, unless it is to be on the host's network", async () => {
    let asked = 0
    const server = createServer((socket) => {
      asked++
      socket.end('secret')
    })
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    try {
      const { port } = server.address() as { port: number }
      const attack = `RUN (busybox nc -w 2 127.0.0.1 ${port} </dev/null; true) > /stolen`
      const stolen = async (network: 'default' | 'host') =>
        inside((await build(attack, { network, noCache: true })).image, 'cat /stolen')
      expect([await stolen('host'), asked]).toEqual(['secret', 1])
      expect([await stolen('default'), asked]).toEqual(['', 1])
    } finally {
      server.close()
    }
  }, 60_000)
})

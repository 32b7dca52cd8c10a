/** What commands of an ordinary user's builds reach, where there is a program that leads to the world. */
import path from 'node:path'
import { Image, Network, run } from '../../lib/index.js'
import { build, inside, removeBuilds, storeBox } from '../support/build.js'
import { HERE, noMachine, THERE } from '../support/lan.js'
import { testIf } from '../support/needs.js'
import { Peer } from '../support/peer.js'
import { scratch } from '../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const it = testIf(noMachine)

beforeAll(async () => {
  if (!noMachine) await storeBox()
})
afterAll(removeBuilds)

/** Whether something answers there; `loopback` listens on the host's own 127.0.0.1:9002 (machine.sh). */
const PROBE = `for to in 127.0.0.1:9002 169.254.77.1:9002 ${THERE}:9000 ${HERE}:9001; do
  busybox timeout 3 busybox wget -q -O - http://$to/ 2>/dev/null || echo -n none; echo; done > /seen`

const seen = async (text: string, network: 'default' | 'host') => {
  const { image, events } = await build(text, { network, noCache: true })
  return { seen: (await inside(image, 'cat /seen')).trim().split('\n'), events }
}

describe('commands of builds of an ordinary user', () => {
  it("reach the world, and not the host's loopback unless they are to", async () => {
    const text = `RUN ${PROBE.replaceAll('\n', ' ')}`
    const usual = await seen(text, 'default')
    expect(usual.seen).toEqual(['none', 'none', `world ::ffff:${HERE}`, expect.stringMatching(/^host /)])
    expect(usual.events.filter(({ type }) => type === 'notice')).toEqual([])
    const open = await seen(text, 'host')
    expect(open.seen[0]).toMatch(/^loopback /)
  }, 60_000)

  it('by TCP alone where that program is missing, which the caller is told', async () => {
    const [root, bin] = [scratch(), scratch()]
    const archive = path.join(scratch(), 'box.tar')
    await (await Image.get('box:1')).save(archive, { format: 'oci' })
    const peer = new Peer({ CAISSON_ROOT: root, PATH: bin })
    try {
      const { seen: found, notices } = await peer.ask<{ seen: string; notices: string[] }>(`
        await caisson.Image.load(${JSON.stringify(archive)})
        const notices = []
        const image = await caisson.Image.build({
          dockerfile: { text: ${JSON.stringify(`FROM box:1\nRUN ${PROBE.replaceAll('\n', ' ')}`)} },
          onProgress: (event) => event.type === 'notice' && notices.push(event.message),
        })
        return { seen: (await caisson.run(image, ['/bin/cat', '/seen'])).stdout, notices }`)
      // Neither the host's loopback nor any address of the host's own.
      expect(found.trim().split('\n')).toEqual(['none', 'none', `world ::ffff:${HERE}`, 'none'])
      expect(notices).toEqual([expect.stringMatching(/by TCP alone: .*pasta or slirp4netns/)])
    } finally {
      await peer.end('SIGKILL')
    }
  }, 60_000)

  it('have a network of their own, which goes with the build', async () => {
    const text = 'RUN busybox ip -o link show | busybox grep -c eth0 > /links'
    for (let round = 0; round < 10; round++) {
      const { image } = await build(text, { network: 'default', noCache: true })
      expect((await run(image, ['/bin/cat', '/links'])).stdout).toBe('1\n')
      expect((await Network.list()).filter(({ name }) => name !== 'bridge')).toEqual([])
    }
  }, 60_000)
})

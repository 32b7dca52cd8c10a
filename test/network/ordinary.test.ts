import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { Container, compose, Group, Image, Network, run } from '../../lib/index.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import { busyboxImage } from '../support/busybox-image.js'
import { endDefaultNetwork } from '../support/default-network.js'
import { HERE, noMachine, SERVER, THERE, THERE6, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'
import { storeImage } from '../support/store-images.js'
import { removeScratch, scratch } from '../support/tree.js'

const it = testIf(noMachine)
const sh = (script: string) => ['sh', '-c', script]
const get = (...urls: string[]) => sh(urls.map((url) => `curl -s -g -m 5 ${url} || printf none; echo`).join('\n'))

describe('networks of an ordinary user', () => {
  let image: Image
  let backend: Network
  beforeAll(async () => {
    if (noMachine) return
    process.env.CAISSON_ROOT = scratch()
    image = await Image.host()
    backend = await Network.create({ name: 'backend', ipv6: true })
  })
  afterAll(async () => {
    if (noMachine) return
    await backend.remove()
    await endDefaultNetwork()
    removeScratch()
  })

  const serve = async (options: Parameters<typeof Container.create>[1]) => {
    const container = await Container.create(image, { command: SERVER('hello', 80, 'AF_INET6'), ...options })
    await container.start()
    await until(async () => (await container.exec(sh('curl -s localhost >/dev/null'))).exitCode === 0)
    return container
  }

  it('lead to the world, by both versions of IP, and to the host by name', async () => {
    const urls = [`${THERE}:9000`, `"[${THERE6}]:9000"`, 'host.caisson.internal:9001']
    const { stdout } = await run(image, get(...urls), { network: backend })
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      `world ::ffff:${HERE}`,
      'world fd77::1',
      expect.stringMatching(/^host (::ffff:192\.168\.77\.1|fd77::1)$/),
    ])
  }, 60_000)

  it("do not lead to the host's loopback, also with rights over the own network", async () => {
    const { stdout: here } = await run(image, get('127.0.0.1:9002'), { network: 'host' })
    expect(here).toContain('loopback')
    const gateway = (await Network.get('bridge')).definition.ipv4.gateway
    const script = `for to in ${gateway} 169.254.77.1 169.254.77.2 10.0.2.2 127.0.0.1; do curl -s -m 1 $to:9002 || echo none; done
      ip address del 127.0.0.1/8 dev lo; ip route del local 127.0.0.0/8 table local
      ip route add 127.0.0.1 via ${gateway}; curl -s -m 1 --interface eth0 127.0.0.1:9002 || echo none`
    const options = { network: 'bridge' as const, security: { capabilities: { add: ['NET_ADMIN'] } } }
    expect((await run(image, sh(script), options)).stdout).toBe('none\n'.repeat(6))
  })

  it('containers find each other by name and alias, and not those of other networks', async () => {
    await using other = await Network.create()
    const web = await serve({ name: 'web', networks: [{ network: backend, aliases: ['www'] }] })
    try {
      const { ipv4, ipv6 } = (await backend.inspect()).containers[0] as { ipv4: string; ipv6: string }
      const near = await run(image, get('web', 'www', ipv4, `"[${ipv6}]"`), { network: backend })
      expect(near.stdout.match(/^hello /gm)).toHaveLength(4)
      const far = await run(image, get('web', ipv4), { networks: [other, 'bridge'] })
      expect(far.stdout).toBe('none\nnone\n')
      // Nor from the host, which has no way there but published ports.
      expect((await run(image, get(ipv4), { network: 'host' })).stdout).toBe('none\n')
      await expect(backend.remove()).rejects.toMatchObject({ code: 'ERR_CAISSON_IN_USE' })
      const socket = await web.connect(80)
      socket.end('GET / HTTP/1.0\r\n\r\n')
      expect(String((await socket.toArray()).join(''))).toContain('hello ')
    } finally {
      await web.remove({ force: true })
    }
  })

  it('a container on several networks, connected and disconnected while it runs', async () => {
    await using second = await Network.create({ internal: true })
    const web = await serve({ name: 'both', network: backend })
    try {
      await second.connect(web, { aliases: ['inner'] })
      expect((await run(image, get('inner'), { network: second })).stdout).toContain('hello ')
      await second.disconnect(web)
      expect((await web.exec(sh('ls /sys/class/net'))).stdout.trim().split(/\s+/)).toEqual(['eth0', 'lo'])
      expect((await run(image, get('inner'), { network: second })).stdout).toBe('none\n')
    } finally {
      await web.remove({ force: true })
    }
  })

  it('publish ports: TCP and UDP, on loopback or everywhere, and name who has one', async () => {
    const echo = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))
while True:
    data, who = s.recvfrom(2048); s.sendto(b'got ' + data, who)`
    const web = await serve({
      network: backend,
      name: 'published',
      ports: [{ container: 80 }, { container: 80, address: '*' }, { container: 53, protocol: 'udp' }],
    })
    try {
      const udp = web.exec(['python3', '-c', echo])
      udp.catch(() => undefined)
      const [local, all] = web.inspect().ports
      const fetched = (at: string) => fetch(`http://${at}`).then((response) => response.text())
      expect(await fetched(`127.0.0.1:${local?.port}`)).toMatch(/^hello /)
      expect(await fetched(`[::1]:${local?.port}`)).toMatch(/^hello /)
      expect(await fetched(`${HERE}:${all?.port}`)).toMatch(/^hello /)
      await expect(fetched(`${HERE}:${local?.port}`)).rejects.toThrow()
      // Many at once, and more than one buffer.
      const many = await Promise.all(Array.from({ length: 50 }, () => fetched(`127.0.0.1:${local?.port}`)))
      expect(many.every((text) => text.startsWith('hello '))).toBe(true)
      const socket = createSocket('udp4')
      const { port } = web.port(53, 'udp')
      const answered = once(socket, 'message')
      const again = setInterval(() => socket.send('ping', port, '127.0.0.1'), 50)
      expect(String((await answered)[0])).toBe('got ping')
      clearInterval(again)
      socket.close()
      const ports = [{ container: 80, host: local?.port as number }]
      await expect(run(image, ['true'], { network: backend, ports })).rejects.toMatchObject({
        code: 'ERR_CAISSON_PORT_IN_USE',
        message: expect.stringContaining('container published'),
      })
    } finally {
      await web.remove({ force: true })
    }
  })

  it('publish all that the image exposes', async () => {
    const exposing = busyboxImage({ ExposedPorts: { '80/tcp': {}, '53/udp': {} } })
    await storeImage((await imageRoots()).store, exposing, 'docker.io/library/exposing:1')
    const command = ['sh', '-c', 'while :; do echo all | busybox nc -l -p 80; done']
    const web = await Container.create('exposing:1', { network: backend, command, publishAllPorts: true })
    try {
      await web.start()
      expect(
        web
          .inspect()
          .ports.map(({ container, protocol }) => `${container}/${protocol}`)
          .sort(),
      ).toEqual(['53/udp', '80/tcp'])
      const ask = `busybox nc -w 1 127.0.0.1 ${web.port(80).port} </dev/null; true`
      await until(() => execFileSync('sh', ['-c', ask]).includes('all'))
    } finally {
      await web.remove({ force: true })
    }
  })

  it('carry projects and groups', async () => {
    await storeImage((await imageRoots()).store, busyboxImage(), 'docker.io/library/box:latest')
    const wget = `for to in ${THERE}:9000 ${HERE}:9001; do busybox wget -q -O - http://$$to/ || echo none; done`
    const serve = 'while :; do echo hello | busybox nc -l -p 80; done'
    const services = {
      web: { image: 'box', command: ['sh', '-c', serve], ports: ['127.0.0.1:8085:80'], volumes: ['data:/data'] },
      out: { image: 'box', command: ['sh', '-c', wget], 'x-egress': [`${THERE}:9000`] },
    }
    const project = await compose({ services, volumes: { data: {} } }, { projectName: 'ordinary' })
    try {
      await project.up()
      const containers = await Container.list({ labels: { 'com.docker.compose.project': 'ordinary' } })
      const named = async (name: string) =>
        Container.get(containers.find((each) => each.name === `ordinary-${name}-1`)?.id as string)
      expect((await (await named('out')).wait()).stdout).toMatch(/^world .*none\n$/s)
      await until(() => execFileSync('sh', ['-c', 'busybox nc -w 1 127.0.0.1 8085 </dev/null; true']).includes('hello'))
      const asked = ['busybox', 'nc', '-w', '1', 'web', '80']
      await until(async () => (await (await named('web')).exec(asked)).stdout.includes('hello'))
    } finally {
      await project.down({ volumes: true, timeout: 0 })
    }
    const member = { image, command: ['sleep', '600'] }
    for (const options of [{ network: backend }, { egress: { allow: [`${THERE}:9000`] } }]) {
      await using group = await Group.create({ ...options, containers: [member, member] })
      await group.start()
      expect((await group.containers[1]?.exec(get(`${THERE}:9000`)))?.stdout).toContain('world ')
    }
  }, 60_000)

  it('internal networks lead nowhere', async () => {
    await using inner = await Network.create({ internal: true })
    const { gateway } = inner.definition.ipv4
    const all = `for to in ${THERE}:9000 ${HERE}:9001 ${gateway}:9001; do curl -s -m 1 $to || echo none; done`
    const { stdout } = await run(image, sh(`${all}; ip route add default via ${gateway} && ${all}`), {
      network: inner,
      security: { capabilities: { add: ['NET_ADMIN'] } },
    })
    expect(stdout).toBe('none\n'.repeat(6))
  })

  it('a container poses as no neighbour, and reaches no metadata of a cloud, with every right over its own network', async () => {
    const web = await serve({ network: backend })
    try {
      const { ipv4 } = (await backend.inspect()).containers[0] as { ipv4: string }
      const free = ipv4.replace(/\d+$/, '222')
      const pose = (address: string) => `ip address flush dev eth0; ip address add ${address}/22 dev eth0
        ip route replace default via ${backend.definition.ipv4.gateway}
        for to in ${ipv4} ${THERE}:9000; do curl -s -m 1 $to >/dev/null && echo reached || echo none; done`
      const { stdout } = await run(
        image,
        sh(`own=$(ip -4 -o address show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/')
          ${pose(free)}; ${pose('$own')}; curl -s -m 1 169.254.169.254:9000 || echo none`),
        { network: backend, security: { capabilities: { add: ['NET_ADMIN'] } } },
      )
      expect(stdout).toBe('none\nnone\nreached\nreached\nnone\n')
    } finally {
      await web.remove({ force: true })
    }
  })

  it('a container with a user namespace of its own can be on none', async () => {
    const alone = (hostID: number) => [{ containerID: 0, hostID, size: 1 }]
    const userns = { uidMap: alone(process.getuid?.() as number), gidMap: alone(process.getgid?.() as number) }
    const security = { userns }
    await expect(run(image, ['true'], { network: 'bridge', security })).rejects.toMatchObject({
      code: 'ERR_CAISSON_UNSUPPORTED',
      stage: 'network',
    })
  })
})

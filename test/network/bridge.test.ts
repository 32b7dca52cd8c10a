import { Container, Image, Network, run } from '../../lib/index.js'
import { endDefaultNetwork } from '../support/default-network.js'
import { attempt, HERE, HERE6, Lan, noLan, SERVER, shell, THERE, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const it = testIf(noLan)
const lan = Lan.forTests()
const sh = (script: string) => ['sh', '-c', script]
const get = (url: string) => sh(`curl -s -g -m 3 ${url} || echo failed`)

describe('bridge networks', () => {
  let image: Image
  let backend: Network
  beforeAll(async () => {
    if (noLan) return
    lan.background('there', SERVER('world', 9000))
    image = await Image.host()
    backend = await Network.create({ name: 'backend', ipv6: true, labels: { tier: 'back' } })
  })
  afterAll(async () => {
    if (noLan) return
    await backend.remove()
    await endDefaultNetwork()
  })

  const serve = async (options: Parameters<typeof Container.create>[1]) => {
    const container = await Container.create(image, { command: SERVER('hello'), ...options })
    await container.start()
    await until(async () => (await container.exec(sh('curl -s localhost >/dev/null'))).exitCode === 0)
    return container
  }

  it('the default network is there without being made, and leads to the world', async () => {
    const { stdout } = await run(image, sh(`ip -4 -o address show eth0; curl -s -m 5 ${THERE}:9000`), {
      network: 'bridge',
    })
    const { definition } = await Network.get('bridge')
    expect(stdout).toContain(' 10.213.')
    // Masqueraded: the neighbour knows no way to our subnets.
    expect(stdout).toContain(`world ${HERE}`)
    expect(definition.ipv4.subnet).toMatch(/^10\.213\.\d+\.0\/22$/)
  })

  it('forwards only where it must, and does not become a router for neighbours', async () => {
    await run(image, ['true'], { network: 'bridge' })
    expect(shell('cat /proc/sys/net/ipv4/conf/all/forwarding').trim()).toBe('0')
    expect(shell('cat /proc/sys/net/ipv4/conf/up0/forwarding').trim()).toBe('1')
    // A neighbour that routes through us: neither to our containers nor to another network of the machine.
    shell(
      'ip link add other type veth peer name other1; ip address add 192.168.88.1/24 dev other; ip link set other1 up; ip link set other up',
    )
    lan.from(`ip route add 192.168.88.0/24 via ${HERE}`)
    const knock = () =>
      lan.tries(
        "python3 -c \"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.168.88.7', 9))\"",
      )
    knock()
    // Who forwards asks for the next hop first.
    expect(shell('ip neigh show to 192.168.88.7')).toBe('')
    // Until somebody makes the host a router, as dockerd does.
    shell('echo 1 > /proc/sys/net/ipv4/conf/all/forwarding')
    try {
      await until(() => {
        knock()
        return shell('ip neigh show to 192.168.88.7') !== ''
      })
    } finally {
      shell('echo 0 > /proc/sys/net/ipv4/conf/all/forwarding; echo 1 > /proc/sys/net/ipv4/conf/up0/forwarding')
      shell('ip link delete other')
    }
  })

  it('containers on one network reach each other, by both versions of IP; neighbours and other networks do not', async () => {
    const web = await serve({ name: 'web', network: backend, command: SERVER('hello', 80, 'AF_INET6') })
    try {
      const { containers } = await backend.inspect()
      const { ipv4, ipv6 } = containers[0] as { ipv4: string; ipv6: string }
      expect((await run(image, get(ipv4), { network: backend })).stdout).toContain('hello')
      expect((await run(image, get(`"[${ipv6}]"`), { network: backend })).stdout).toContain('hello')
      expect((await run(image, get(ipv4), { network: 'bridge' })).stdout).toBe('failed\n')
      lan.tries(`ip route replace ${backend.definition.ipv4.subnet} via ${HERE}`)
      expect(lan.tries(`curl -s -m 2 ${ipv4}`)).toBeUndefined()
      // From the host itself it is reached.
      expect(shell(`curl -s -m 3 ${ipv4}`)).toContain('hello')
    } finally {
      await web.remove({ force: true })
    }
  })

  it('takes addresses, hardware addresses and MTU as given, and keeps addresses over a restart', async () => {
    await using network = await Network.create({ subnet: '10.99.0.0/24', gateway: '10.99.0.254', mtu: 1400 })
    const endpoint = { network, ipv4: '10.99.0.77', mac: '02:00:00:00:00:77' }
    const container = await Container.create(image, { networks: [endpoint], command: ['sleep', '60'] })
    try {
      for (let i = 0; i < 2; i++) {
        await container.start()
        const { stdout } = await container.exec(
          sh('ip -o link show eth0; ip -o -4 address show eth0; ip route; cat /etc/hosts'),
        )
        for (const part of ['mtu 1400', '02:00:00:00:00:77', '10.99.0.77/24', 'default via 10.99.0.254'])
          expect(stdout).toContain(part)
        expect(stdout).toContain(`10.99.0.77\t${container.id.slice(0, 12)}`)
        await container.stop({ timeout: 0 })
      }
      await expect(run(image, ['true'], { networks: [{ network, ipv4: '10.99.0.77' }] })).rejects.toMatchObject({
        code: 'ERR_CAISSON_ADDRESS_IN_USE',
      })
    } finally {
      await container.remove({ force: true })
    }
  })

  it('a container on several networks, connected and disconnected while it runs', async () => {
    await using second = await Network.create({ internal: true })
    const web = await serve({ name: 'both', network: backend })
    try {
      await second.connect(web, { aliases: ['inner'] })
      expect((await web.exec(sh('ls /sys/class/net'))).stdout.trim().split(/\s+/)).toEqual(['eth0', 'eth1', 'lo'])
      expect((await run(image, get('http://inner'), { network: second })).stdout).toContain('hello')
      expect(web.inspect().endpoints.map(({ device, network }) => [device, network])).toEqual([
        ['eth0', 'backend'],
        ['eth1', second.name],
      ])
      await expect(second.connect(web)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
      await expect(second.remove()).rejects.toMatchObject({ code: 'ERR_CAISSON_IN_USE' })
      const before = (await web.stats()).networks
      expect(Object.keys(before)).toEqual(['eth0', 'eth1'])
      await run(image, get(`http://${web.inspect().endpoints[0]?.ipv4}`), { network: backend })
      const after = (await web.stats()).networks
      expect(after.eth0?.sentBytes).toBeGreaterThan(before.eth0?.sentBytes ?? 0)
      expect(after.eth0?.receivedPackets).toBeGreaterThan(before.eth0?.receivedPackets ?? 0)
      await second.disconnect(web)
      expect(Object.keys((await web.stats()).networks)).toEqual(['eth0'])
      expect((await web.exec(sh('ls /sys/class/net'))).stdout.trim().split(/\s+/)).toEqual(['eth0', 'lo'])
      expect((await run(image, get('http://inner'), { network: second })).stdout).toBe('failed\n')
      await expect(second.disconnect(web)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    } finally {
      await web.remove({ force: true })
    }
  })

  it('internal networks lead nowhere: not to the world, not to the host', async () => {
    await using inner = await Network.create({ internal: true })
    lan.background('here', SERVER('host', 9001))
    await until(() => attempt('curl -s localhost:9001') !== undefined)
    const { gateway } = inner.definition.ipv4
    const script = `for to in ${THERE}:9000 ${HERE}:9001 ${gateway}:9001 169.254.169.254; do curl -s -m 1 $to || echo none; done
      ip route add default via ${gateway} && for to in ${THERE}:9000 ${HERE}:9001 169.254.169.254; do curl -s -m 1 $to || echo none; done`
    const { stdout } = await run(image, sh(script), {
      network: inner,
      // With every right over its own network.
      security: { capabilities: { add: ['NET_ADMIN'] } },
    })
    expect(stdout).toBe('none\n'.repeat(7))
    // On an ordinary network the host is reached by name, and its loopback is not.
    const outer = await run(image, get('http://host.caisson.internal:9001'), { network: backend })
    expect(outer.stdout).toContain('host 10.213.')
    const extraHosts = ['own:host-gateway']
    const named = await run(image, get('http://own:9001'), { network: backend, extraHosts })
    expect(named.stdout).toContain('host 10.213.')
    for (const network of [inner, 'none' as const])
      await expect(Promise.resolve(run(image, ['true'], { network, extraHosts }))).rejects.toMatchObject({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
      })
  })

  it("the host's loopback and cloud metadata are out of reach, also with rights over the own network", async () => {
    lan.background('here', ['python3', '-m', 'http.server', '9002', '--bind', '127.0.0.1'])
    const clouds4 = ['169.254.169.254', '100.100.100.200', '168.63.129.16']
    const clouds6 = ['fd00:ec2::254', 'fd20:ce::254', 'fd00:c1::a9fe:a9fe', 'fd00:42::42']
    const clouds = [...clouds4, ...clouds6.map((address) => `[${address}]`)]
    for (const cloud of clouds4) shell(`ip address add ${cloud}/32 dev lo`)
    for (const cloud of clouds6) shell(`ip address add ${cloud}/128 dev lo`)
    // For both versions of IP.
    lan.background('here', SERVER('secret', 80, 'AF_INET6'))
    await until(() => attempt('curl -s localhost:9002 && curl -s 169.254.169.254') !== undefined)
    shell('for all in /proc/sys/net/ipv4/conf/*/route_localnet; do echo 1 > $all; done')
    const script = `for cloud in ${clouds.join(' ')}; do curl -g -s -m 1 $cloud || echo none; done
      ip address del 127.0.0.1/8 dev lo; ip route del local 127.0.0.0/8 table local 2>/dev/null
      ip route add 127.0.0.1 via ${backend.definition.ipv4.gateway}; curl -s -m 1 --interface eth0 127.0.0.1:9002 || echo none`
    const options = { network: backend, security: { capabilities: { add: ['NET_ADMIN'] } } }
    expect((await run(image, sh(script), options)).stdout).toBe('none\n'.repeat(8))
    await using cloud = await Network.create({ metadata: true, ipv6: true })
    for (const address of clouds)
      expect((await run(image, sh(`curl -g -s -m 5 "${address}"`), { network: cloud })).stdout).toContain('secret')
    for (const address of clouds4) shell(`ip address del ${address}/32 dev lo`)
    for (const address of clouds6) shell(`ip address del ${address}/128 dev lo`)
  })

  it('private user namespaces have a network like others', async () => {
    const options = { network: backend, security: { userns: 'auto' as const } }
    const { stdout, stderr } = await run(
      image,
      sh(`id -u; cat /proc/self/uid_map; curl -s -m 5 ${THERE}:9000`),
      options,
    )
    expect({ stderr, world: stdout.includes('world') }).toEqual({ stderr: '', world: true })
    expect(stdout.split('\n')[1]).not.toMatch(/^\s*0\s+0\s/)
  })

  it('two hundred containers at once, each with an address of its own', async () => {
    const results = await Promise.all(
      Array.from({ length: 200 }, () => run(image, sh('ip -4 -o address show eth0'), { network: backend })),
    )
    const addresses = results.map(({ stdout }) => /inet (\S+)/.exec(stdout)?.[1])
    expect(addresses.filter((address) => address === undefined)).toEqual([])
    expect(new Set(addresses).size).toBe(200)
    await until(async () => (await backend.inspect()).addresses.length === 0)
    // What rules said about them is gone too.
    await until(() => !shell('nft list ruleset').includes('cnp-'))
  }, 120_000)

  it('internal networks do not lead to what containers of others publish', async () => {
    await using web = await Container.create(image, {
      network: backend,
      ports: [{ container: 80, address: '*' }],
      command: SERVER('published'),
    })
    await web.start()
    // As on hosts of other containers.
    shell('echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding')
    const { port } = web.port(80)
    await until(() => attempt(`curl -s ${HERE}:${port}`) !== undefined)
    const reach = async (network: Network) => {
      const { ipv4, ipv6 } = network.definition
      const script = `for to in ${ipv4.gateway} '[${ipv6?.gateway}]' ${HERE} '[${HERE6}]'; do curl -g -s -m 1 "$to:${port}" >/dev/null && echo reached || echo none; done`
      const routes = `ip route replace default via ${ipv4.gateway}; ip -6 route replace default via ${ipv6?.gateway}`
      // With every right over its own network.
      const security = { capabilities: { add: ['NET_ADMIN'] } }
      return (await run(image, sh(`${routes}; ${script}`), { network, security })).stdout
    }
    await using inner = await Network.create({ internal: true, ipv6: true })
    await using other = await Network.create({ ipv6: true })
    expect(await reach(other)).toContain('reached')
    expect(await reach(inner)).toBe('none\n'.repeat(4))
  })
})

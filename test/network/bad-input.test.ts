import { Container, Image, Network, run } from '../../lib/index.js'
import { Lan, noLan, shell } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const it = testIf(noLan)
Lan.forTests()

describe('what networks refuse', () => {
  let image: Image
  beforeAll(async () => {
    if (!noLan) image = await Image.host()
  })

  it('options that mean nothing', async () => {
    const wrong: Array<[object, string]> = [
      [{ nmae: 'x' }, 'nmae'],
      [{ name: '../x' }, 'name'],
      [{ name: 'host' }, 'name'],
      [{ name: 'bridge' }, 'name'],
      [{ driver: 'overlay' }, 'driver'],
      [{ subnet: '10.1.2.3/24' }, '10.1.2.0/24'],
      [{ subnet: '10.1.2.0/31' }, 'prefix'],
      [{ subnet: '127.0.0.0/8' }, 'subnet'],
      [{ subnet: 'fd00::/64' }, 'IPv4'],
      [{ subnet: '10.1.2.0/24', gateway: '10.1.3.1' }, 'gateway'],
      [{ subnet: '10.1.2.0/24', gateway: '10.1.2.255' }, 'gateway'],
      [{ gateway: '10.1.2.1' }, 'subnet'],
      [{ ipv6: 'fe80::/64' }, 'ipv6'],
      [{ mtu: 12 }, 'mtu'],
    ]
    for (const [options, part] of wrong) {
      const error = await Network.create(options as never).catch((error) => error)
      expect([options, error.code, error.message.includes(part)]).toEqual([
        options,
        'ERR_CAISSON_INVALID_ARGUMENT',
        true,
      ])
    }
  })

  it('subnets that overlap the host or another network, and names that are taken', async () => {
    shell('ip route add 10.213.0.0/20 via 192.168.77.2; ip route add 172.30.0.0/16 via 192.168.77.2')
    await using first = await Network.create({ name: 'first' })
    expect(first.definition.ipv4.subnet).toBe('10.213.16.0/22')
    for (const subnet of ['192.168.77.0/25', '172.30.5.0/24', '10.213.17.0/24', '10.0.0.0/8'])
      await expect(Network.create({ subnet })).rejects.toMatchObject({ code: 'ERR_CAISSON_SUBNET_IN_USE' })
    await expect(Network.create({ name: 'first' })).rejects.toMatchObject({ code: 'ERR_CAISSON_NAME_IN_USE' })
    // Two at the same moment do not get the same.
    const many = await Promise.all(Array.from({ length: 8 }, () => Network.create()))
    expect(new Set(many.map(({ definition }) => definition.ipv4.subnet)).size).toBe(8)
    await Promise.all(many.map((network) => network.remove()))
  })

  it('no address is left', async () => {
    await using small = await Network.create({ subnet: '10.77.0.0/29' })
    const options = { network: small, command: ['sleep', '60'] }
    const all = await Promise.all(Array.from({ length: 5 }, () => Container.create(image, options)))
    await expect(Container.create(image, options)).rejects.toMatchObject({ code: 'ERR_CAISSON_RESOURCE_EXHAUSTED' })
    await all[2]?.remove()
    const next = await Container.create(image, options)
    await Promise.all([...all, next].map((container) => container.remove()))
  })

  it('networks that are not there, removed, or make no sense together', async () => {
    await expect(Network.get('nowhere')).rejects.toMatchObject({ code: 'ERR_CAISSON_NETWORK_NOT_FOUND' })
    await expect(run(image, ['true'], { network: 'nowhere' })).rejects.toMatchObject({
      code: 'ERR_CAISSON_NETWORK_NOT_FOUND',
    })
    const gone = await Network.create({ name: 'gone' })
    await gone.remove()
    await gone.remove()
    await expect(run(image, ['true'], { network: gone })).rejects.toMatchObject({
      code: 'ERR_CAISSON_NETWORK_NOT_FOUND',
    })
    const wrong = [
      { network: 'none' as const, ports: [{ container: 80 }] },
      { network: 'bridge' as const, namespaces: { net: 'host' as const } },
      { networks: ['bridge', 'bridge'] },
      { networks: [{ network: 'bridge', aliases: ['x'] }] },
      { networks: [{ network: 'bridge', ipv4: '10.0.0.1' }] },
      { networks: [{ network: 'bridge', ipv6: 'fd00::5' }] },
      { networks: [{ network: 'bridge', mac: '01:00:00:00:00:00' }] },
      { networks: [{ network: 'bridge', wrong: 1 } as never] },
      { network: 'bridge' as const, ports: [{ container: 0 }] },
      { network: 'bridge' as const, ports: [{ container: 80, address: 'example.com' }] },
      { network: 'bridge' as const, dns: ['example.com'] },
      { network: 'bridge' as const, dnsSearch: ['a.test\noptions rotate'] },
      { network: 'bridge' as const, dnsSearch: 'a.test' as never },
      { dnsOptions: ['ndots:2 nameserver'] },
      { egress: { allow: [] }, dnsOptions: ['ndots:\n'] },
    ]
    for (const options of wrong)
      expect([options, (await run(image, ['true'], options).catch((error) => error)).code]).toEqual([
        options,
        'ERR_CAISSON_INVALID_ARGUMENT',
      ])
    const none = await Container.create(image, { command: ['sleep', '60'] })
    await expect((await Network.get('bridge')).connect(none)).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_STATE',
    })
    await none.remove()
    const bridge = await Network.get('bridge')
    expect(bridge.definition.name).toBe('bridge')
    await expect(bridge.remove()).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
      message: expect.stringContaining('bridge is a pre-defined network'),
    })
    await bridge[Symbol.asyncDispose]()
    expect((await Network.list()).map(({ name }) => name)).toContain('bridge')
    await expect((await Network.get('bridge')).inspect()).resolves.toMatchObject({ addresses: [], containers: [] })
  })
})

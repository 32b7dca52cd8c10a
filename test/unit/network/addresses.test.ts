import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import {
  contains,
  formatAddress,
  formatSubnet,
  overlap,
  parseAddress,
  parseSubnet,
} from '../../../lib/network/addresses.js'
import { parseResolvConf } from '../../../lib/network/resolv-conf.js'
import { chooseIpv4, chooseIpv6, isHost, occupiedBy } from '../../../lib/network/subnets.js'

describe('addresses', () => {
  test.each([
    ['0.0.0.0', 0n],
    ['10.1.2.3', 0x0a010203n],
    ['::', 0n],
    ['::1', 1n],
    ['fd00::1:0:0:5', (0xfdn << 120n) | (1n << 48n) | 5n],
    ['::ffff:1.2.3.4', 0xffff01020304n],
    ['1:2:3:4:5:6:7:8', 0x10002000300040005000600070008n],
  ])('%s is read', (text, value) => {
    expect(parseAddress(text)?.value).toBe(value)
  })

  test.each(['', '1.2.3', '1.2.3.256', '01.2.3.4', ':::', 'fe80::1%eth0', '1::2::3', 'x', 5])('%j is none', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })

  test('what is written is what was read', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 128n) - 1n), fc.bigInt(0n, 0xffffffffn), (six, four) => {
        const text = formatAddress({ family: 6, value: six })
        expect([isIPv6(text), parseAddress(text)]).toEqual([true, { family: 6, value: six }])
        expect(parseAddress(formatAddress({ family: 4, value: four }))).toEqual({ family: 4, value: four })
      }),
    )
    expect(formatAddress({ family: 6, value: (1n << 112n) | 1n })).toBe('1::1')
    expect(formatAddress({ family: 6, value: (1n << 112n) | (1n << 96n) })).toBe('1:1::')
  })

  test('subnets overlap when one has an address of the other', () => {
    const any = fc.tuple(fc.bigInt(0n, 255n), fc.integer({ min: 24, max: 32 })).map(([low, prefix]) => {
      const rest = BigInt(32 - prefix)
      return { family: 4 as const, prefix, base: 0x0a000000n + ((low >> rest) << rest) }
    })
    fc.assert(
      fc.property(any, any, (a, b) => {
        let shared = false
        for (let i = 0n; i < 256n; i++) {
          const address = { family: 4 as const, value: 0x0a000000n + i }
          shared ||= contains(a, address) && contains(b, address)
        }
        expect(overlap(a, b)).toBe(shared)
      }),
    )
  })

  test('a subnet says its lowest address', () => {
    expect(formatSubnet(parseSubnet('10.1.2.0/23', 'subnet'))).toBe('10.1.2.0/23')
    for (const text of ['10.1.2.1/24', '10.1.2.0', '10.1.2.0/33', '10.1.2.0/', 'fd00::/129', '::1/64'])
      expect(() => parseSubnet(text, 'subnet')).toThrow('subnet')
  })
})

describe('subnets of new networks', () => {
  test('overlap nothing that is in use, and run out', () => {
    const occupied = [occupiedBy('10.213.1.7/16', 'eth0'), occupiedBy('0.0.0.0/0', 'default')].filter((each) => !!each)
    expect(chooseIpv4(undefined, undefined, occupied)).toEqual({ subnet: '10.214.0.0/22', gateway: '10.214.0.1' })
    for (const pool of ['10.214.0.0/16', '172.29.0.0/16', '192.168.0.0/16'])
      occupied.push({ subnet: parseSubnet(pool, 'pool'), by: 'others' })
    expect(() => chooseIpv4(undefined, undefined, occupied)).toThrow('no free subnet')
  })

  test('IPv6: a unique local one, or the one that is given', () => {
    expect(chooseIpv6(true, [])?.subnet).toMatch(/^fd[0-9a-f]{2}:.*::\/64$/)
    expect(chooseIpv6(true, [])).not.toEqual(chooseIpv6(true, []))
    expect(chooseIpv6('fd01::/64', [])).toEqual({ subnet: 'fd01::/64', gateway: 'fd01::1' })
    expect(chooseIpv6(undefined, [])).toBeUndefined()
  })

  test('the first and the last address are nobody’s', () => {
    const subnet = parseSubnet('10.0.0.0/30', 'subnet')
    const all = [0n, 1n, 2n, 3n].map((i) => isHost(subnet, { family: 4, value: subnet.base + i }))
    expect(all).toEqual([false, true, true, false])
  })
})

test("the host's name servers, as the C library reads them", () => {
  const text =
    'search a b\n# nameserver 9.9.9.9\nnameserver 127.0.0.53 # stub\nnameserver x\nnameserver fe80::1%eth0\noptions edns0 ndots:2\n'
  expect(parseResolvConf(text)).toEqual({ servers: ['127.0.0.53'], search: ['a', 'b'], options: ['edns0', 'ndots:2'] })
  expect(parseResolvConf('').servers).toEqual(['127.0.0.1'])
})

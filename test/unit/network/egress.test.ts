import fc from 'fast-check'
import { parseAddress } from '../../../lib/network/addresses.js'
import { answer, parseQuestion } from '../../../lib/network/egress/message.js'
import { NameTable } from '../../../lib/network/egress/names.js'
import { allowsAddress, allowsName, openTo, parseRules } from '../../../lib/network/egress/rules.js'
import { plainAddress, specialRange } from '../../../lib/network/egress/special.js'

const address = (text: string) => plainAddress(text) as NonNullable<ReturnType<typeof plainAddress>>

describe('rules', () => {
  test.each([
    ['registry.example:443', 'registry.example', 443, true],
    ['registry.example:443', 'registry.example', 80, false],
    ['registry.example:443', 'registry.example', undefined, true],
    ['registry.example:443', 'x.registry.example', 443, false],
    ['Registry.EXAMPLE.', 'registry.example', 1, true],
    ['registry.example:*', 'registry.example', 65535, true],
    ['registry.example:8000-8002', 'registry.example', 8002, true],
    ['registry.example:8000-8002', 'registry.example', 8003, false],
    ['*.example.org:443', 'a.b.example.org', 443, true],
    ['*.example.org:443', 'example.org', 443, false],
    ['*.example.org', 'badexample.org', 443, false],
    ['*', 'anything', 1, true],
    ['*:443', 'anything', 80, false],
    ['bücher.example', 'xn--bcher-kva.example', 80, true],
    ['10.0.0.0/8', 'ten.example', 80, false],
  ])('%s: %s %s is %s', (rule, host, port, allowed) => {
    expect(allowsName(parseRules([rule]), host, port)).toBe(allowed)
  })

  test.each([
    ['10.0.0.0/8', '10.1.2.3', 5, true],
    ['10.0.0.0/8:443', '10.1.2.3', 80, false],
    ['10.1.2.3', '10.1.2.3', 80, true],
    ['10.1.2.3', '::ffff:10.1.2.3', 80, true],
    ['93.184.0.0/16', '93.184.216.34', 80, true],
    ['0.0.0.0/0', '93.184.216.34', 80, true],
    ['0.0.0.0/0', '10.1.2.3', 80, false],
    ['8.0.0.0/6', '10.1.2.3', 80, false],
    ['0.0.0.0/0', '169.254.169.254', 80, false],
    ['169.254.169.254', '169.254.169.254', 80, true],
    ['::/0', '2606:2800::1', 80, true],
    ['::/0', 'fd00::1', 80, false],
    ['::/0', '::1', 80, false],
    ['::/0', '64:ff9b::a00:1', 80, false],
    ['[fd00::/8]:443', 'fd00::1', 443, true],
    ['[fd00::/8]:443', 'fd00::1', 80, false],
    ['fd00::1', 'fd00::1', 80, true],
    ['*', '93.184.216.34', 80, false],
  ])('%s: %s %s is %s', (rule, text, port, allowed) => {
    expect(allowsAddress(parseRules([rule]), address(text), port, false)).toBe(allowed)
  })

  test('one of the host’s own addresses is meant only by itself', () => {
    const own = address('93.184.216.34')
    expect(allowsAddress(parseRules(['93.184.216.0/24', '0.0.0.0/0']), own, 80, true)).toBe(false)
    expect(allowsAddress(parseRules(['93.184.216.34:80']), own, 80, true)).toBe(true)
  })

  test.each([
    ...[
      '',
      ':443',
      'x:0',
      'x:65536',
      'x:9-8',
      'x:y',
      'x:',
      'a b',
      'x/y',
      'http://x',
      '*.*.x',
      'a.*.x',
      '**',
      '-x',
      'x..y',
    ],
    ...[
      '10.0.0.1/8',
      '10.0.0.0/33',
      '300.1.1.1',
      '127.1',
      '0x7f000001',
      '1',
      '198.18.0.5',
      '198.18.0.0/16',
      '[::1',
      '::1]:1',
    ],
    ...['fd1c:a155:e::5', 'fd1c:a155:e:1::/64', 'fe80::1%eth0', `${'a'.repeat(64)}.x`],
  ])('%j is none', (rule) => {
    expect(() => parseRules([rule])).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }))
  })

  test('a list of them only', () => {
    for (const allow of ['x', {}, [5], [null]])
      expect(() => parseRules(allow)).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }))
  })

  test('the kernel lets through what a rule could allow', () => {
    expect(openTo(parseRules(['x:443', '10.0.0.0/8:1-9']))).toEqual([
      { network: '198.18.0.0/15', first: 443, last: 443 },
      { network: 'fd1c:a155:e::/48', first: 443, last: 443 },
      { network: '10.0.0.0/8', first: 1, last: 9 },
    ])
  })
})

describe('special addresses', () => {
  test.each([
    '0.0.0.0',
    '10.0.0.1',
    '100.100.100.200',
    '127.0.0.1',
    '169.254.169.254',
    '172.31.0.1',
    '192.0.0.192',
    '192.168.1.1',
    '224.0.0.1',
    '255.255.255.255',
    '168.63.129.16',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::7f00:1',
    '64:ff9b::1',
    '2002::1',
    '2001::1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fec0::1',
    'ff02::1',
  ])('%s is one', (text) => {
    expect(specialRange(address(text))).toBeDefined()
  })

  test.each([
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '172.32.0.1',
    '192.167.1.1',
    '223.255.255.255',
    '::ffff:1.1.1.1',
    '2606:4700::1111',
    '2001:4860:4860::8888',
  ])('%s is none', (text) => {
    expect(specialRange(address(text))).toBeUndefined()
  })
})

describe('addresses that stand for names', () => {
  test('one for each name and kind, which lead back to it', () => {
    const table = new NameTable()
    expect([
      table.addressOf('a', 4),
      table.addressOf('b', 4),
      table.addressOf('a', 4),
      table.addressOf('a', 6),
    ]).toEqual(['198.18.0.2', '198.18.0.3', '198.18.0.2', 'fd1c:a155:e::2'])
    expect(
      ['198.18.0.2', 'fd1c:a155:e::3', '198.18.0.1', '198.18.0.4', 'fd1c:a155:e:1::2', '10.0.0.1'].map((each) =>
        table.nameOf(each),
      ),
    ).toEqual(['a', 'b', '', '', '', undefined])
  })

  test('as many as may be; the one that was used least lately goes, and its number comes last', () => {
    const table = new NameTable(3)
    const first = table.addressOf('a', 4)
    const second = table.addressOf('b', 4)
    table.addressOf('c', 4)
    expect(table.nameOf(first)).toBe('a')
    table.addressOf('d', 4)
    expect([table.nameOf(first), table.nameOf(second), table.size]).toEqual(['a', '', 3])
    for (let i = 0; i < 140_000; i++) table.addressOf(`n${i}`, 4)
    expect(table.size).toBe(3)
    expect(parseAddress(table.addressOf('n139999', 4))).toBeDefined()
  })
})

describe('questions', () => {
  const question = (name: string, type = 1) =>
    Buffer.concat([
      Buffer.from([7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      ...name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')])),
      Buffer.from([0, 0, type, 0, 1]),
    ])

  test('are read, and answered with the bytes that they came with', () => {
    const message = question('Web.Example')
    const parsed = parseQuestion(message)
    expect(parsed).toEqual({ name: 'web.example', type: 1, internet: true, opcode: 0, end: message.length })
    const reply = answer(message, parsed as NonNullable<typeof parsed>, 0, ['198.18.0.2'])
    expect(reply.toString('hex')).toBe(
      `0708818000010001000000000357656207${Buffer.from('Example').toString('hex')}0000010001c00c000100010000001e0004c6120002`,
    )
  })

  test('that are none are not answered', () => {
    const whole = question('a.b')
    for (let i = 0; i < whole.length; i++) expect(parseQuestion(whole.subarray(0, i))).toBeUndefined()
    const changed = (at: number, value: number) => Buffer.from(whole).fill(value, at, at + 1)
    // An answer; cut; two questions; none; an answer beside it; a pointer instead of a name.
    for (const [at, value] of [
      [2, 0x80],
      [2, 2],
      [5, 2],
      [5, 0],
      [7, 1],
      [12, 0xc0],
    ] as const)
      expect(parseQuestion(changed(at, value))).toBeUndefined()
    expect(parseQuestion(question(Array<string>(5).fill('x'.repeat(63)).join('.')))).toBeUndefined()
  })

  test('of any bytes neither throw nor make long names', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const parsed = parseQuestion(Buffer.from(bytes))
        if (!parsed) return
        expect(parsed.name.length).toBeLessThan(256)
        expect(answer(Buffer.from(bytes), parsed, 3).length).toBe(parsed.end)
      }),
    )
  })
})

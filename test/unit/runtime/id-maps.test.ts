import fc from 'fast-check'
import {
  checkIdMap,
  hostId,
  idMapText,
  ordinaryIdMaps,
  parseIdMap,
  rangeOfRoot,
} from '../../../lib/runtime/user/id-maps.js'
import { grantsOf, ownGrants, parseSubIds } from '../../../lib/runtime/user/sub-ids.js'

describe('/etc/subuid', () => {
  test('is read line by line; what has another form is left out', () => {
    const text = 'root:100000:65536\n# comment\n\nada:165536:65536\n1000:300000:10\nbroken:1\n:1:2\nx:y:3\nada:9:0\n'
    expect(parseSubIds(text)).toEqual([
      { name: 'root', first: 100000, count: 65536 },
      { name: 'ada', first: 165536, count: 65536 },
      { name: '1000', first: 300000, count: 10 },
      { name: 'ada', first: 9, count: 0 },
    ])
  })

  test('may hold anything: only ranges of ids that are not the host’s root come of it', () => {
    const hostile = [
      'a:0:10', // the host's root
      'a:4294967290:10', // beyond the last id
      'a:99999999999:1',
      'a:1:99999999999',
      'a:-1:5',
      'a:1e3:5',
      'a:0x10:5',
      'a: 5:5',
      'a:5:5:5',
      'a\u0000:b',
      ' :7:7',
      `${'x'.repeat(100_000)}`,
    ]
    expect(parseSubIds(hostile.join('\n'))).toEqual([])
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), fc.integer(), fc.integer())), (lines) => {
        for (const { first, count } of parseSubIds(lines.map((line) => line.join(':')).join('\n'))) {
          expect(first).toBeGreaterThan(0)
          expect(first + count).toBeLessThanOrEqual(0xffffffff)
        }
      }),
    )
  })

  test('a name of digits alone is a number', () => {
    const grants = parseSubIds('1001:200000:10\n1000:300000:10\n')
    expect(grantsOf(grants, { username: '1001', uid: 1000 }).map(({ first }) => first)).toEqual([300000])
  })

  test('ranges that another user has a part of are left out, and of two that overlap the second', () => {
    const grants = parseSubIds('ada:100000:10\neve:100009:10\nada:200000:10\nada:200005:10\nada:990:20\nada:300000:5\n')
    const { usable, shared } = ownGrants(grants, { username: 'ada', uid: 1000 }, 1000)
    expect(usable.map(({ first }) => first)).toEqual([200000, 300000])
    expect(shared.map(({ first }) => first)).toEqual([100000])
  })

  const ada = { username: 'ada', uid: 1000, gid: 1000 }
  const alone = [{ containerID: 0, hostID: 1000, size: 1 }]
  test.each([
    ['no range', '', 'ada:100000:10', undefined, /\/etc\/subuid grants this user no range/],
    ['none in the other file', 'ada:100000:10', '', undefined, /\/etc\/subgid grants/],
    [
      'one of two users',
      'ada:100000:10\neve:100000:10',
      'ada:1:1',
      undefined,
      /100000-100009 of this user is another's too/,
    ],
    ['nobody to map it', 'ada:100000:10', 'ada:100000:10', 'newuidmap is not there', /newuidmap is not there/],
  ])('with %s there is one id, and why is said', (_, uids, gids, refusal, lacking) => {
    const maps = ordinaryIdMaps(ada, parseSubIds(uids), parseSubIds(gids), refusal)
    expect(maps).toEqual({ uidMap: alone, gidMap: alone, lacking: expect.stringMatching(lacking) })
  })

  test('what is granted follows the user itself', () => {
    const grants = parseSubIds('ada:100000:10\n1000:200000:5\n')
    const others = [
      { containerID: 1, hostID: 100000, size: 10 },
      { containerID: 11, hostID: 200000, size: 5 },
    ]
    expect(ordinaryIdMaps(ada, grants, grants, undefined)).toEqual({
      uidMap: [...alone, ...others],
      gidMap: [...alone, ...others],
    })
  })

  test('grants ranges by name and by number', () => {
    const grants = parseSubIds('ada:165536:65536\n1000:300000:10\nbob:1:1\nada:9:0\n')
    expect(grantsOf(grants, { username: 'ada', uid: 1000 }).map(({ first }) => first)).toEqual([165536, 300000])
    expect(grantsOf(grants, { username: 'eve', uid: 7 })).toEqual([])
  })
})

describe('the range of root’s containers', () => {
  const root = { username: 'root', uid: 0 }
  test.each([
    ['nothing', '', 100000],
    ['a range of its own', 'ada:100000:65536\nroot:500000:65536', 500000],
    ['ranges of others, who could otherwise end what runs there', 'bob:165536:65536\nada:100000:65536', 231072],
    ['a part of one that another has', 'ada:120000:1', 120001],
    ['ranges of others beside it', 'ada:99990:10\nbob:165536:10', 100000],
  ])('with %s', (_, grants, hostID) => {
    expect(rangeOfRoot(root, parseSubIds(grants))).toEqual([{ containerID: 0, hostID, size: 65536 }])
  })
})

describe('id maps', () => {
  const map = [
    { containerID: 0, hostID: 1000, size: 1 },
    { containerID: 1, hostID: 100000, size: 65536 },
  ]

  test('give the host id of an id inside', () => {
    expect(hostId(map, 0)).toBe(1000)
    expect(hostId(map, 1)).toBe(100000)
    expect(hostId(map, 65536)).toBe(165535)
    expect(hostId(map, 65537)).toBeUndefined()
  })

  test('pass through the text of the kernel', () => {
    expect(idMapText(map)).toBe('0 1000 1\n1 100000 65536\n')
    expect(parseIdMap('         0       1000          1\n         1     100000      65536\n')).toEqual(map)
    expect(parseIdMap('')).toEqual([])
  })

  test('are what was written, whatever the ranges', () => {
    const range = fc.record({ containerID: fc.nat(), hostID: fc.nat(), size: fc.integer({ min: 1, max: 1 << 20 }) })
    fc.assert(
      fc.property(fc.array(range, { minLength: 1 }), (ranges) => {
        expect(parseIdMap(idMapText(ranges))).toEqual(ranges)
      }),
    )
  })

  test.each([
    ['nothing', []],
    ['no list', { containerID: 0 }],
    ['a size of 0', [{ containerID: 0, hostID: 1, size: 0 }]],
    ['a negative id', [{ containerID: -1, hostID: 1, size: 1 }]],
    ['a fraction', [{ containerID: 0, hostID: 1.5, size: 1 }]],
    ['an end above the last id', [{ containerID: 0, hostID: 0xfffffff0, size: 100 }]],
    [
      'an id inside mapped twice',
      [
        { containerID: 0, hostID: 1, size: 2 },
        { containerID: 1, hostID: 9, size: 1 },
      ],
    ],
    [
      'an id outside mapped twice',
      [
        { containerID: 0, hostID: 1, size: 9 },
        { containerID: 20, hostID: 5, size: 1 },
      ],
    ],
    ['too many lines', Array.from({ length: 341 }, (_, i) => ({ containerID: i, hostID: i, size: 1 }))],
  ])('with %s are refused', (_, given) => {
    expect(() => checkIdMap(given, 'security.userns.uidMap')).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
    )
  })

  test('that touch are fine, in any order', () => {
    const touching = [
      { containerID: 1, hostID: 100001, size: 5 },
      { containerID: 0, hostID: 100000, size: 1 },
    ]
    expect(checkIdMap(touching, 'map')).toEqual(touching)
  })
})

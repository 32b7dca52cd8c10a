import { ATTR, PROPAGATION, parseMountOptions } from '../../../lib/runtime/options/mount-options.js'

test.each([
  [['nosuid', 'noexec', 'nodev', 'ro'], { attributes: ATTR.NOSUID | ATTR.NOEXEC | ATTR.NODEV | ATTR.RDONLY }],
  [['ro', 'rw'], { attributes: 0 }],
  [['rbind', 'rro'], { bind: true, recursive: true, attributes: ATTR.RDONLY, recursiveAttributes: true }],
  [['bind', 'rslave'], { bind: true, recursive: false, propagation: PROPAGATION.slave }],
  [['relatime', 'defaults', 'newinstance'], { attributes: 0, data: [] }],
  [['noatime', 'strictatime'], { attributes: ATTR.NOATIME | ATTR.STRICTATIME }],
  [
    ['mode=755', 'size=64k', 'huge'],
    {
      data: [
        ['mode', '755'],
        ['size', '64k'],
        ['huge', ''],
      ],
    },
  ],
  [['rbind', 'ridmap'], { idmap: true }],
  [[], { bind: false, recursive: false, attributes: 0, propagation: 0, data: [] }],
])('%p', (options, expected) => {
  expect(parseMountOptions(options)).toMatchObject(expected)
})

test('words of the language are no options', () => {
  expect(parseMountOptions(['constructor', '__proto__', 'toString']).data.map(([key]) => key)).toEqual([
    'constructor',
    '__proto__',
    'toString',
  ])
})

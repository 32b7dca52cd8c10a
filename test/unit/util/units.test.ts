import fc from 'fast-check'
import { parseDuration, parseSize } from '../../../lib/util/units.js'

test.each([
  [0, 0],
  [512, 512],
  ['512', 512],
  ['64m', 64 * 1024 ** 2],
  ['64M', 64 * 1024 ** 2],
  ['64mb', 64 * 1024 ** 2],
  ['64MiB', 64 * 1024 ** 2],
  ['1.5g', 1.5 * 1024 ** 3],
  ['1 k', 1024],
  ['10b', 10],
  ['2t', 2 * 1024 ** 4],
])('size %p', (text, bytes) => {
  expect(parseSize(text, 'x')).toBe(bytes)
})

test.each([
  '',
  'm',
  '-1',
  '1x',
  '1.2.3m',
  '1e3',
  'Infinity',
  '0x10',
  '9999999999999999999999p',
  -1,
  1.5,
  Number.NaN,
  null,
  undefined,
  {},
])('no size: %p', (value) => {
  expect(() => parseSize(value as never, 'limits.memory')).toThrow(
    expect.objectContaining({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
      message: expect.stringContaining('limits.memory'),
    }),
  )
})

test.each([
  [0, 0],
  [1500, 1500],
  ['1500', 1500],
  ['1.5s', 1500],
  ['250ms', 250],
  ['2m', 120_000],
  ['1h30m', 5_400_000],
  ['1us', 0.001],
])('duration %p', (text, ms) => {
  expect(parseDuration(text, 'x')).toBe(ms)
})

test.each(['', 's', '-1s', '1d', '1 s', 'soon', -1, Number.POSITIVE_INFINITY, Number.NaN, null, []])(
  'no duration: %p',
  (value) => {
    expect(() => parseDuration(value as never, 'timeout')).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
    )
  },
)

test('any text is a size or a coded error', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const parse of [parseSize, parseDuration])
        try {
          expect(parse(text, 'x')).toBeGreaterThanOrEqual(0)
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
        }
    }),
  )
})

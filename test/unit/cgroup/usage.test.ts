import fc from 'fast-check'
import { parseIo, parseKeyed } from '../../../lib/cgroup/usage.js'

test('keyed files', () => {
  expect([...parseKeyed('usage_usec 12\nuser_usec 7\n\nbroken\nnegative -1\n')]).toEqual([
    ['usage_usec', 12],
    ['user_usec', 7],
  ])
})

test('traffic of block devices, both versions', () => {
  expect(parseIo('8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2\n')).toEqual({
    read: 101,
    write: 22,
  })
  expect(parseIo('8:0 Read 100\n8:0 Write 20\n8:0 Sync 7\nTotal 120\n')).toEqual({ read: 100, write: 20 })
  expect(parseIo('Total 0\n')).toEqual({ read: 0, write: 0 })
})

test('whatever the kernel writes', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseKeyed(text)
      const { read, write } = parseIo(text)
      expect(read + write).toBeGreaterThanOrEqual(0)
    }),
  )
})

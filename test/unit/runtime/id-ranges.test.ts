import { rangesOf } from '../../../lib/runtime/user/id-ranges.js'

const grant = (name: string, first: number, count: number) => ({ name, first, count })

describe('ranges for containers', () => {
  test('are those that both files grant to caisson', () => {
    const uids = [grant('caisson', 1_000_000, 200_000), grant('somebody', 5_000_000, 200_000)]
    expect(rangesOf(uids, uids)).toEqual([1_000_000, 1_065_536, 1_131_072])
    expect(rangesOf(uids, [grant('caisson', 1_065_536, 65_536)])).toEqual([1_065_536])
  })

  test('are above all others without a grant, and below 2^31', () => {
    const ranges = rangesOf([grant('somebody', 100_000, 65_536)], [])
    expect(ranges).toHaveLength(4096)
    expect(Math.min(...ranges)).toBe(0x70000000)
    expect(Math.max(...ranges) + 65_535).toBe(0x7fffffff)
  })
})

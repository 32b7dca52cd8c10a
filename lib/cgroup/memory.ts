import { type Controller, type FileWrite, max, minusOne } from './controller.js'

/** memory.max and its like; v1's memsw counts memory and swap together, v2 counts swap alone. */
export const memory: Controller = {
  name: 'memory',
  legacy: 'memory',
  needed: (s) =>
    s.memoryMax !== undefined || s.memoryHigh !== undefined || s.memoryLow !== undefined || s.swappiness !== undefined,

  unified(s) {
    const writes: FileWrite[] = []
    if (s.memoryMax !== undefined) {
      writes.push({ file: 'memory.max', text: max(s.memoryMax) })
      // All of a container ends at once, not one process of it.
      writes.push({ file: 'memory.oom.group', text: '1' })
    }
    if (s.memorySwapMax !== undefined && s.memoryMax !== undefined)
      writes.push({
        file: 'memory.swap.max',
        text: max(s.memorySwapMax - (s.memorySwapMax === Number.POSITIVE_INFINITY ? 0 : s.memoryMax)),
        lenient: s.swapImplied,
      })
    if (s.memoryHigh !== undefined) writes.push({ file: 'memory.high', text: max(s.memoryHigh) })
    if (s.memoryLow !== undefined) writes.push({ file: 'memory.low', text: max(s.memoryLow) })
    return writes
  },

  legacyWrites(s, now) {
    const writes: FileWrite[] = []
    if (s.memoryMax !== undefined) writes.push({ file: 'memory.limit_in_bytes', text: minusOne(s.memoryMax) })
    const before = now?.('memory.limit_in_bytes')
    if (s.memorySwapMax !== undefined)
      writes.push({
        file: 'memory.memsw.limit_in_bytes',
        text: minusOne(s.memorySwapMax),
        lenient: s.swapImplied,
      })
    // At no instant may memory alone have more than memory and swap together.
    if (before !== undefined && before !== '-1' && Number(before) <= (s.memorySwapMax ?? 0)) writes.reverse()
    // What waits in TCP sockets is counted apart, and only where it has a limit; v2 counts it with the rest.
    if (s.memoryMax !== undefined)
      writes.push({ file: 'memory.kmem.tcp.limit_in_bytes', text: minusOne(s.memoryMax), lenient: true })
    const soft = s.memoryLow ?? s.memoryHigh
    if (soft !== undefined) writes.push({ file: 'memory.soft_limit_in_bytes', text: minusOne(soft) })
    if (s.swappiness !== undefined) writes.push({ file: 'memory.swappiness', text: String(s.swappiness) })
    return writes
  },
}

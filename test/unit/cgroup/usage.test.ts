import fc from 'fast-check'
import type { AccountFiles } from '../../../lib/cgroup/accounts.js'
import { accountPaths, parseIo, parseKeyed, usageFrom } from '../../../lib/cgroup/usage.js'
import type { NativeReport } from '../../../lib/native/addon.js'

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

const report = (collected: string[]): NativeReport => ({
  pid: 7,
  code: 1,
  status: 0,
  cause: '',
  durationMs: 1,
  userMs: 2,
  systemMs: 3,
  stdout: Buffer.alloc(0),
  stderr: Buffer.alloc(0),
  truncated: false,
  collected,
})

test('reads the accounts of v2', () => {
  const files: AccountFiles = {
    cpu: '/c/cpu.stat',
    memoryPeak: '/c/memory.peak',
    memoryEvents: '/c/memory.events',
    pidsPeak: '/c/pids.peak',
    io: '/c/io.stat',
  }
  expect(accountPaths(files)).toEqual([
    '/c/cpu.stat',
    '/c/memory.peak',
    '/c/memory.events',
    '/c/pids.peak',
    '/c/io.stat',
  ])
  const texts = [
    'usage_usec 3000\nuser_usec 1000\nsystem_usec 2000\nnr_periods 1\nnr_throttled 1\nthrottled_usec 500\n',
    '4096\n',
    'low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 1\n',
    '5\n',
    '8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=0 dios=0\n',
  ]
  expect(usageFrom(files, report(texts))).toEqual({
    cpuUserMs: 1,
    cpuSystemMs: 2,
    memoryPeakBytes: 4096,
    pidsPeak: 5,
    oomKills: 2,
    ioReadBytes: 11,
    ioWriteBytes: 22,
    throttledMs: 0.5,
  })
})

test('gives what no cgroup counts as null, processor time excepted', () => {
  expect(usageFrom({}, report([]))).toEqual({
    cpuUserMs: 2,
    cpuSystemMs: 3,
    memoryPeakBytes: null,
    pidsPeak: null,
    oomKills: null,
    ioReadBytes: null,
    ioWriteBytes: null,
    throttledMs: null,
  })
})

test('tells no traffic from an unreadable file', () => {
  expect(usageFrom({ io: '/c/io.stat' }, report(['']))).toMatchObject({ ioReadBytes: 0, ioWriteBytes: 0 })
  const legacy = '/c/blkio.throttle.io_service_bytes_recursive'
  expect(usageFrom({ io: legacy }, report(['']))).toMatchObject({ ioReadBytes: null, ioWriteBytes: null })
  expect(usageFrom({ io: legacy }, report(['Total 0\n']))).toMatchObject({ ioReadBytes: 0, ioWriteBytes: 0 })
})

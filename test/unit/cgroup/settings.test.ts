import { settingsFromLimits, settingsFromSpec, specFromSettings } from '../../../lib/cgroup/settings.js'

test('limits become numbers', () => {
  expect(
    settingsFromLimits({
      memory: '64m',
      cpus: 1.5,
      cpuWeight: 200,
      cpuset: '0-1',
      pids: 10,
      hugepages: { '2MB': '4m' },
    }),
  ).toEqual({
    memoryMax: 67108864,
    memorySwapMax: 67108864,
    swapImplied: true,
    cpuPeriod: 100000,
    cpuQuota: 150000,
    cpuWeight: 200,
    cpusetCpus: '0-1',
    pidsMax: 10,
    pidsAsked: true,
    hugepages: { '2MB': 4194304 },
  })
  expect(settingsFromLimits({ memory: '64m', memorySwap: -1 })).toMatchObject({
    memorySwapMax: Number.POSITIVE_INFINITY,
    swapImplied: false,
  })
  expect(settingsFromLimits()).toEqual({})
})

test.each([
  ['1.5', 150_000],
  ['.5', 50_000],
  ['2', 200_000],
])('processors as text: %p', (cpus, cpuQuota) => {
  expect(settingsFromLimits({ cpus })).toMatchObject({ cpuQuota })
})

test.each([
  [{ cpus: '' }],
  [{ cpus: '1,5' }],
  [{ cpus: '1e1' }],
  [{ cpus: '0x1' }],
  [{ cpus: ' 1' }],
  [{ cpus: '.' }],
  [{ cpus: '0' }],
  [{ memory: '1k' }],
  [{ memory: '64m', memorySwap: '1m' }],
  [{ cpus: -1 }],
  [{ cpuWeight: 0 }],
  [{ cpuset: '0,' }],
  [{ pids: 0 }],
  [{ hugepages: { '../2MB': 1 } }],
  [{ unified: { 'cgroup.procs': '1' } }],
  [{ unified: { 'memory.high': 5 as never } }],
  [{ io: { weight: 0 } }],
  [{ memory: '64m', memoryReservation: '65m' }],
  [{ memorySwappiness: 101 }],
  [{ cpusetMems: 'all' }],
  [{ io: { devices: [{ path: '/etc/passwd', readBps: 1 }] } }],
])('%p is refused', (limits) => {
  expect(() => settingsFromLimits(limits)).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }))
})

test('what docker asks for on the host, of memory and of its nodes', () => {
  const settings = settingsFromLimits({
    memory: '64m',
    memoryReservation: '32m',
    memorySwappiness: 0,
    cpusetMems: '0',
  })
  expect(settings).toMatchObject({ memoryLow: 1 << 25, swappiness: 0, cpusetMems: '0' })
  expect(specFromSettings(settings)).toEqual({
    memory: { limit: 1 << 26, reservation: 1 << 25, swappiness: 0 },
    cpu: { mems: '0' },
  })
})

test('linux.resources, and back', () => {
  const settings = settingsFromSpec({
    memory: { limit: 1 << 26, swap: -1, reservation: 1 << 20 },
    cpu: { shares: 1024, quota: 50000, period: 100000, cpus: '0' },
    pids: { limit: -1 },
    blockIO: {
      throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 100 }],
      throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 7 }],
    },
  })
  expect(settings).toMatchObject({
    memoryMax: 1 << 26,
    memorySwapMax: Number.POSITIVE_INFINITY,
    memoryLow: 1 << 20,
    cpuWeight: 39,
    cpuQuota: 50000,
    pidsMax: Number.POSITIVE_INFINITY,
    ioDevices: [{ major: 8, minor: 0, readBps: 100, writeIops: 7 }],
  })
  expect(specFromSettings(settings)).toMatchObject({
    memory: { limit: 1 << 26, swap: -1, reservation: 1 << 20 },
    cpu: { quota: 50000, period: 100000, cpus: '0' },
    pids: { limit: -1 },
  })
})

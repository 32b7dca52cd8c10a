import { type Controller, type FileWrite, max, minusOne } from './controller.js'

/** Bandwidth and weight. v1's shares are v2's weight times 10.24: 1024 and 100 are the usual ones. */
export const cpu: Controller = {
  name: 'cpu',
  legacy: 'cpu',
  needed: (s) =>
    s.cpuQuota !== undefined || s.cpuWeight !== undefined || s.cpuBurst !== undefined || s.cpuIdle === true,

  unified(s) {
    const writes: FileWrite[] = []
    if (s.cpuQuota !== undefined) writes.push({ file: 'cpu.max', text: `${max(s.cpuQuota)} ${s.cpuPeriod ?? 100_000}` })
    if (s.cpuBurst !== undefined) writes.push({ file: 'cpu.max.burst', text: String(s.cpuBurst) })
    if (s.cpuWeight !== undefined) writes.push({ file: 'cpu.weight', text: String(s.cpuWeight) })
    if (s.cpuIdle) writes.push({ file: 'cpu.idle', text: '1' })
    return writes
  },

  legacyWrites(s) {
    const writes: FileWrite[] = []
    if (s.cpuQuota !== undefined) {
      writes.push({ file: 'cpu.cfs_period_us', text: String(s.cpuPeriod ?? 100_000) })
      writes.push({ file: 'cpu.cfs_quota_us', text: minusOne(s.cpuQuota) })
    }
    if (s.cpuBurst !== undefined) writes.push({ file: 'cpu.cfs_burst_us', text: String(s.cpuBurst) })
    if (s.cpuWeight !== undefined)
      writes.push({ file: 'cpu.shares', text: String(Math.min(262_144, Math.max(2, Math.round(s.cpuWeight * 10.24)))) })
    if (s.cpuIdle) writes.push({ file: 'cpu.idle', text: '1' })
    return writes
  },
}

/** Flags of `caisson run` that limit what its program uses, as limits of run(). */
import type { Limits, RunOptions } from '../index.js'
import { ioWeight } from '../spec/io-weight.js'
import type { Flags } from './flags.js'
import { usageError } from './usage.js'
import { defined, numberOf, parsePair, parseRate, parseWeight } from './values.js'

export function limitsOf(flags: Flags): Limits | undefined {
  return defined({
    memory: flags.text('memory'),
    memorySwap: flags.text('memory-swap') === '-1' ? -1 : flags.text('memory-swap'),
    memoryReservation: flags.text('memory-reservation'),
    memorySwappiness: swappiness(flags),
    cpus: cpus(flags),
    cpuWeight: cpuWeight(flags),
    cpuset: flags.text('cpuset-cpus'),
    cpusetMems: flags.text('cpuset-mems'),
    pids: pids(flags),
    io: blockIo(flags),
    disk: disk(flags),
  })
}

/** -1 is docker's word for the host's. */
function swappiness(flags: Flags): number | undefined {
  const given = numberOf(flags, 'memory-swappiness', true)
  if (given !== undefined && (given < -1 || given > 100))
    throw usageError(`--memory-swappiness: ${given} is out of range`, 'Give 0 to 100.')
  return given === -1 ? undefined : given
}

/** A quota of each period comes to processors. */
function cpus(flags: Flags): number | undefined {
  const given = numberOf(flags, 'cpus', false)
  const quota = numberOf(flags, 'cpu-quota', true)
  const period = numberOf(flags, 'cpu-period', true) || 100_000
  if (given !== undefined && (quota !== undefined || flags.text('cpu-period') !== undefined))
    throw usageError('--cpus says what --cpu-quota and --cpu-period say', 'Give the one or the others.')
  if (period < 1000 || period > 1_000_000)
    throw usageError(`--cpu-period: ${period} is out of range`, 'Give 1000 to 1000000 microseconds.')
  return quota === undefined || quota <= 0 ? given : quota / period
}

/** Shares have 1024 where weights have 100; 0 is the usual share. */
function cpuWeight(flags: Flags): number | undefined {
  const shares = numberOf(flags, 'cpu-shares', true)
  if (!shares) return undefined
  return Math.min(10_000, Math.max(1, Math.round(shares / 10.24)))
}

/** The most that the kernel numbers. */
const PIDS_MAX = 4_194_304

function pids(flags: Flags): number | undefined {
  const limit = numberOf(flags, 'pids-limit', true)
  return limit !== undefined && limit <= 0 ? PIDS_MAX : limit
}

type IoLimits = NonNullable<NonNullable<RunOptions['limits']>['io']>
type DeviceLimits = NonNullable<IoLimits['devices']>[number]

function blockIo(flags: Flags): IoLimits | undefined {
  const weight = numberOf(flags, 'blkio-weight', true)
  if (weight !== undefined && weight !== 0 && (weight < 10 || weight > 1000))
    throw usageError(`--blkio-weight: ${weight} is out of range`, 'Give a weight from 10 to 1000.')
  const devices: DeviceLimits[] = []
  for (const [flag, key] of [
    ['device-read-bps', 'readBps'],
    ['device-write-bps', 'writeBps'],
    ['device-read-iops', 'readIops'],
    ['device-write-iops', 'writeIops'],
  ] as const)
    for (const each of flags.list(flag) ?? []) {
      const whole = key.endsWith('Iops')
      const { path, rate } = parseRate(each, `--${flag}`, whole)
      devices.push({ path, [key]: whole ? Number(rate) : rate })
    }
  for (const { path, weight } of flags.list('blkio-weight-device')?.map(parseWeight) ?? [])
    if (weight !== 0) devices.push({ path, weight: ioWeight(weight) })
  return defined({
    weight: weight ? ioWeight(weight) : undefined,
    devices: devices.length > 0 ? devices : undefined,
  })
}

function disk(flags: Flags): string | undefined {
  let size: string | undefined
  for (const option of flags.list('storage-opt') ?? []) {
    const [key, value] = parsePair(option, '--storage-opt')
    if (key !== 'size') throw usageError(`--storage-opt: there is no option ${key}`, 'Write --storage-opt size=10g.')
    size = value
  }
  return size
}

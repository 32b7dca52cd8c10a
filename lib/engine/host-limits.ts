/** The limits of a HostConfig (and of an update) as limits of a container. Docker writes 0 for none. */
import type { Limits } from '../options.js'
import type { Fields } from '../spec/fields.js'
import { ioWeight } from '../spec/io-weight.js'
import type { Json } from '../spec/json.js'
import { fieldsOf } from './body.js'
import { badRequest } from './failure.js'

/** The most that the kernel numbers. */
const PIDS_MAX = 4_194_304
const PERIOD = 100_000
const NANO = 1e9

const RATES = {
  BlkioDeviceReadBps: 'readBps',
  BlkioDeviceWriteBps: 'writeBps',
  BlkioDeviceReadIOps: 'readIops',
  BlkioDeviceWriteIOps: 'writeIops',
} as const

/** A whole number, also a negative one; null and absent are undefined. */
export function whole(object: Json, name: string): number | undefined {
  const value = Object.hasOwn(object, name) ? object[name] : undefined
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  throw badRequest(`${name} is not a whole number`)
}

export function limitsOf(host: Json): Limits | undefined {
  const given = (name: string) => whole(host, name) || undefined
  const fields = fieldsOf(host, 'HostConfig.')
  const swap = given('MemorySwap')
  const swappiness = whole(host, 'MemorySwappiness')
  const pids = given('PidsLimit')
  const limits: Limits = {
    memory: given('Memory'),
    memorySwap: swap !== undefined && swap < 0 ? -1 : swap,
    memoryReservation: given('MemoryReservation'),
    memorySwappiness: swappiness === -1 ? undefined : swappiness,
    cpus: cpusOf(host),
    cpuWeight: weightOf(given('CpuShares')),
    cpuset: fields.text('CpusetCpus') || undefined,
    cpusetMems: fields.text('CpusetMems') || undefined,
    pids: pids !== undefined && pids < 0 ? PIDS_MAX : pids,
    io: ioOf(host, fields),
    disk: fields.map('StorageOpt')?.size,
  }
  const asked = Object.entries(limits).filter(([, value]) => value !== undefined)
  return asked.length > 0 ? Object.fromEntries(asked) : undefined
}

function cpusOf(host: Json): number | undefined {
  const [nano, quota] = [whole(host, 'NanoCpus') || 0, whole(host, 'CpuQuota') || 0]
  const period = whole(host, 'CpuPeriod') || PERIOD
  if (nano > 0 && quota > 0) throw badRequest('conflicting options: NanoCpus and CpuQuota cannot both be set')
  if (nano < 0 || period < 1000 || period > 1_000_000) throw badRequest('NanoCpus or CpuPeriod is out of range')
  if (nano > 0) return nano / NANO
  return quota > 0 ? quota / period : undefined
}

/** Shares have 1024 where weights have 100. */
function weightOf(shares: number | undefined): number | undefined {
  return shares === undefined ? undefined : Math.min(10_000, Math.max(1, Math.round(shares / 10.24)))
}

function ioOf(host: Json, fields: Fields): Limits['io'] {
  const devices = new Map<string, { path: string } & Record<string, number | string>>()
  for (const [name, key] of Object.entries(RATES))
    for (const each of fields.objects(name) ?? []) {
      const device = fieldsOf(each, `HostConfig.${name}.`)
      const path = device.requiredText('Path')
      devices.set(path, { ...devices.get(path), path, [key]: device.count('Rate') ?? 0 })
    }
  for (const each of fields.objects('BlkioWeightDevice') ?? []) {
    const device = fieldsOf(each, 'HostConfig.BlkioWeightDevice.')
    const path = device.requiredText('Path')
    const weight = device.count('Weight') ?? 0
    if (weight > 0) devices.set(path, { ...devices.get(path), path, weight: ioWeight(weight) })
  }
  const weight = whole(host, 'BlkioWeight') || undefined
  if (weight === undefined && devices.size === 0) return undefined
  return {
    ...(weight === undefined ? {} : { weight: ioWeight(weight) }),
    ...(devices.size > 0 ? { devices: [...devices.values()] } : {}),
  }
}

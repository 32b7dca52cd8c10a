/** Limits in one form for both versions of cgroups: plain numbers, undefined where nothing was asked. */
import { statSync } from 'node:fs'
import { CaissonError, invalidArgument } from '../errors.js'
import { ioWeight } from '../spec/io-weight.js'
import type { SpecDeviceRule, SpecResources } from '../spec/runtime.js'
import { parseSize, type Size } from '../util/units.js'

/** Limits as callers give them (`limits` of ContainerOptions). */
export interface Limits {
  /** Bytes of memory, page cache of its files included. */
  memory?: Size
  /** Memory and swap together; -1: as much swap as the host has. Default: the same as `memory`, so no swap. */
  memorySwap?: Size | -1
  /** Above this the kernel reclaims and slows down, and does not kill (cgroup v2). */
  memoryHigh?: Size
  /**
   * Bytes that it gets to keep when memory is short (v2: memory.low, as far as the cgroups above have them too; v1: the
   * soft limit); at most `memory`.
   */
  memoryReservation?: Size
  /** How readily it is swapped out, 0 to 100 (cgroup v1; v2 has no such thing). */
  memorySwappiness?: number
  /** Processors' worth of time, as 0.5 or 2; also as text, as docker's users write it. */
  cpus?: number | string
  /** Share against others under contention, 1 to 10000; 100 is usual. */
  cpuWeight?: number
  /** Processors it may run on, as `0-2,4`. */
  cpuset?: string
  /** Memory nodes that it may use, in the same form. */
  cpusetMems?: string
  /** Processes and threads. */
  pids?: number
  io?: {
    /** 1 to 10000; 100 is usual. */
    weight?: number
    /** `weight`: as above, for this device. */
    devices?: Array<{
      path: string
      readBps?: Size
      writeBps?: Size
      readIops?: number
      writeIops?: number
      weight?: number
    }>
  }
  /** Bytes that the writable layer may hold. */
  disk?: Size
  /** By page size, as { '2MB': '64m' }. */
  hugepages?: Record<string, Size>
  /** cgroup v2 files, written as they are. */
  unified?: Record<string, string>
}

export interface DeviceRate {
  major: number
  minor: number
  readBps?: number
  writeBps?: number
  readIops?: number
  writeIops?: number
  weight?: number
}

export interface Settings {
  /** Bytes; Infinity: no limit. */
  memoryMax?: number
  /** Memory and swap together. */
  memorySwapMax?: number
  /** The swap limit follows from the memory limit; a host that cannot limit swap may ignore it. */
  swapImplied?: boolean
  memoryHigh?: number
  memoryLow?: number
  swappiness?: number
  /** Microseconds in each period. Infinity: no limit. */
  cpuQuota?: number
  cpuPeriod?: number
  cpuBurst?: number
  cpuWeight?: number
  cpuIdle?: boolean
  cpusetCpus?: string
  cpusetMems?: string
  pidsMax?: number
  /** The caller set it, it is not our default. */
  pidsAsked?: boolean
  ioWeight?: number
  ioDevices?: DeviceRate[]
  hugepages?: Record<string, number>
  unified?: Record<string, string>
  /** cgroup v1 only. */
  devices?: readonly SpecDeviceRule[]
}

const PERIOD = 100_000

export function settingsFromLimits(limits: Limits = {}): Settings {
  const settings: Settings = {}
  const { memory, memorySwap, memoryHigh, memoryReservation, memorySwappiness } = limits
  const { cpus, cpuWeight, cpuset, cpusetMems, pids, io, hugepages, unified } = limits
  if (memory !== undefined) {
    settings.memoryMax = atLeast(parseSize(memory, 'limits.memory'), 512 * 1024, 'limits.memory', memory)
    settings.memorySwapMax = settings.memoryMax
    settings.swapImplied = true
  }
  if (memorySwap !== undefined) {
    settings.swapImplied = false
    settings.memorySwapMax = memorySwap === -1 ? Number.POSITIVE_INFINITY : parseSize(memorySwap, 'limits.memorySwap')
    if (settings.memoryMax === undefined)
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'limits.memorySwap needs limits.memory', {
        stage: 'options',
        hint: 'Give limits.memory too; memorySwap is the sum of memory and swap.',
      })
    if (settings.memorySwapMax < settings.memoryMax)
      throw invalidArgument('limits.memorySwap', memorySwap, 'at least limits.memory')
  }
  if (memoryReservation !== undefined) {
    settings.memoryLow = parseSize(memoryReservation, 'limits.memoryReservation')
    if (settings.memoryMax !== undefined && settings.memoryLow > settings.memoryMax)
      throw invalidArgument('limits.memoryReservation', memoryReservation, 'at most limits.memory')
  }
  if (memorySwappiness !== undefined) settings.swappiness = integer(memorySwappiness, 'limits.memorySwappiness', 0, 100)
  if (memoryHigh !== undefined) settings.memoryHigh = parseSize(memoryHigh, 'limits.memoryHigh')
  if (cpus !== undefined) {
    settings.cpuPeriod = PERIOD
    settings.cpuQuota = Math.round(processors(cpus) * PERIOD)
  }
  if (cpuWeight !== undefined) settings.cpuWeight = integer(cpuWeight, 'limits.cpuWeight', 1, 10_000)
  if (cpuset !== undefined) settings.cpusetCpus = cpuList(cpuset, 'limits.cpuset')
  if (cpusetMems !== undefined) settings.cpusetMems = cpuList(cpusetMems, 'limits.cpusetMems')
  if (pids !== undefined) {
    settings.pidsMax = integer(pids, 'limits.pids', 1, 4_194_304)
    settings.pidsAsked = true
  }
  if (io?.weight !== undefined) settings.ioWeight = integer(io.weight, 'limits.io.weight', 1, 10_000)
  if (io?.devices) settings.ioDevices = io.devices.map(deviceRate)
  if (hugepages)
    settings.hugepages = Object.fromEntries(
      Object.entries(hugepages).map(([size, limit]) => {
        if (!/^\d+[KMG]B$/.test(size)) throw invalidArgument('limits.hugepages', size, 'a page size such as 2MB')
        return [size, parseSize(limit, `limits.hugepages.${size}`)]
      }),
    )
  if (unified) settings.unified = checkUnified(unified)
  return settings
}

/** linux.resources of a config.json. */
export function settingsFromSpec(resources: SpecResources = {}): Settings {
  const settings: Settings = {}
  const { memory, cpu, pids, blockIO, hugepageLimits, unified } = resources
  const bytes = (value: number | undefined) =>
    value === undefined || value === 0 ? undefined : value < 0 ? Number.POSITIVE_INFINITY : value
  settings.memoryMax = bytes(memory?.limit)
  settings.memorySwapMax = bytes(memory?.swap)
  settings.memoryLow = bytes(memory?.reservation)
  if (memory?.swappiness !== undefined) settings.swappiness = memory.swappiness
  if (cpu?.quota) {
    settings.cpuQuota = cpu.quota < 0 ? Number.POSITIVE_INFINITY : cpu.quota
    settings.cpuPeriod = cpu.period || PERIOD
  }
  if (cpu?.burst) settings.cpuBurst = cpu.burst
  if (cpu?.idle !== undefined) settings.cpuIdle = cpu.idle === 1
  // The conversion of the OCI runtimes, from 2..262144 to 1..10000.
  if (cpu?.shares) settings.cpuWeight = Math.floor(1 + ((Math.max(2, cpu.shares) - 2) * 9999) / 262142)
  if (cpu?.cpus) settings.cpusetCpus = cpuList(cpu.cpus, 'linux.resources.cpu.cpus')
  if (cpu?.mems) settings.cpusetMems = cpuList(cpu.mems, 'linux.resources.cpu.mems')
  if (pids?.limit) {
    settings.pidsMax = pids.limit < 0 ? Number.POSITIVE_INFINITY : pids.limit
    settings.pidsAsked = true
  }
  if (blockIO?.weight) settings.ioWeight = ioWeight(blockIO.weight)
  const devices = new Map<string, DeviceRate>()
  const collect = (list: Array<{ major: number; minor: number; rate: number }> | undefined, key: keyof DeviceRate) => {
    for (const { major, minor, rate } of list ?? []) {
      const id = `${major}:${minor}`
      devices.set(id, { ...(devices.get(id) ?? { major, minor }), [key]: rate })
    }
  }
  collect(blockIO?.throttleReadBpsDevice, 'readBps')
  collect(blockIO?.throttleWriteBpsDevice, 'writeBps')
  collect(blockIO?.throttleReadIOPSDevice, 'readIops')
  collect(blockIO?.throttleWriteIOPSDevice, 'writeIops')
  if (devices.size > 0) settings.ioDevices = [...devices.values()]
  if (hugepageLimits?.length)
    settings.hugepages = Object.fromEntries(hugepageLimits.map(({ pageSize, limit }) => [pageSize, limit]))
  if (unified) settings.unified = checkUnified(unified)
  for (const key of Object.keys(settings) as Array<keyof Settings>)
    if (settings[key] === undefined) delete settings[key]
  return settings
}

/** The same as linux.resources, for the config.json that other runtimes read. */
export function specFromSettings(settings: Settings): SpecResources {
  const resources: SpecResources = {}
  const number = (value: number) => (value === Number.POSITIVE_INFINITY ? -1 : value)
  if (settings.memoryMax !== undefined) {
    resources.memory = { limit: number(settings.memoryMax) }
    if (settings.memorySwapMax !== undefined && !settings.swapImplied)
      resources.memory.swap = number(settings.memorySwapMax)
  }
  if (settings.memoryLow !== undefined)
    resources.memory = { ...resources.memory, reservation: number(settings.memoryLow) }
  if (settings.swappiness !== undefined) resources.memory = { ...resources.memory, swappiness: settings.swappiness }
  if (settings.cpuQuota !== undefined)
    resources.cpu = { quota: number(settings.cpuQuota), period: settings.cpuPeriod ?? PERIOD }
  if (settings.cpuWeight !== undefined)
    resources.cpu = {
      ...resources.cpu,
      shares: Math.round(2 + ((settings.cpuWeight - 1) * 262142) / 9999),
    }
  if (settings.cpusetCpus !== undefined) resources.cpu = { ...resources.cpu, cpus: settings.cpusetCpus }
  if (settings.cpusetMems !== undefined) resources.cpu = { ...resources.cpu, mems: settings.cpusetMems }
  if (settings.pidsMax !== undefined) resources.pids = { limit: number(settings.pidsMax) }
  if (settings.unified) resources.unified = settings.unified
  return resources
}

function deviceRate(device: NonNullable<NonNullable<Limits['io']>['devices']>[number]): DeviceRate {
  let rdev: number
  try {
    const status = statSync(device.path)
    if (!status.isBlockDevice()) throw invalidArgument('limits.io.devices', device.path, 'a block device')
    rdev = status.rdev
  } catch (error) {
    if (error instanceof CaissonError) throw error
    throw invalidArgument('limits.io.devices', device.path, 'a block device that exists')
  }
  const rate = (value: Size | undefined, name: string) =>
    value === undefined ? undefined : parseSize(value, `limits.io.devices.${name}`)
  return {
    major: (rdev >> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
    readBps: rate(device.readBps, 'readBps'),
    writeBps: rate(device.writeBps, 'writeBps'),
    readIops: rate(device.readIops, 'readIops'),
    writeIops: rate(device.writeIops, 'writeIops'),
    weight: device.weight === undefined ? undefined : integer(device.weight, 'limits.io.devices.weight', 1, 10_000),
  }
}

/** Text is plain digits with at most one point: `1,5` and `1e1` mean different things to different people. */
function processors(given: unknown): number {
  const value = typeof given === 'string' && /^(\d+(\.\d*)?|\.\d+)$/.test(given) ? Number(given) : given
  if (!(typeof value === 'number' && value >= 0.01 && Number.isFinite(value)))
    throw invalidArgument('limits.cpus', given, 'a number of processors from 0.01 up')
  return value
}

function integer(value: unknown, option: string, from: number, to: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < from || value > to)
    throw invalidArgument(option, value, `an integer from ${from} to ${to}`)
  return value
}

function atLeast(value: number, least: number, option: string, given: unknown): number {
  if (value < least) throw invalidArgument(option, given, `at least ${least} bytes`)
  return value
}

function cpuList(value: string, option: string): string {
  if (typeof value !== 'string' || !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(value.trim()))
    throw invalidArgument(option, value, 'a list such as 0-2,4')
  return value.trim()
}

/** The keys become file names, so they must be just that. */
function checkUnified(unified: Record<string, string>): Record<string, string> {
  for (const [key, value] of Object.entries(unified)) {
    if (!/^[a-z0-9]+(\.[a-zA-Z0-9_]+)+$/.test(key) || key.startsWith('cgroup.'))
      throw invalidArgument('limits.unified', key, 'a controller file such as memory.low')
    if (typeof value !== 'string') throw invalidArgument(`limits.unified[${key}]`, value, 'a string')
  }
  return { ...unified }
}

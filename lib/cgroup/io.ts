import type { Controller, FileWrite } from './controller.js'
import type { DeviceRate } from './settings.js'

const LEGACY_FILES: Array<[keyof DeviceRate, string]> = [
  ['readBps', 'blkio.throttle.read_bps_device'],
  ['writeBps', 'blkio.throttle.write_bps_device'],
  ['readIops', 'blkio.throttle.read_iops_device'],
  ['writeIops', 'blkio.throttle.write_iops_device'],
]

/** Block devices: rates per device, and a weight where a scheduler honours one. */
export const io: Controller = {
  name: 'io',
  legacy: 'blkio',
  needed: (s) => s.ioWeight !== undefined || (s.ioDevices?.length ?? 0) > 0,

  unified(s) {
    const writes: FileWrite[] = []
    if (s.ioWeight !== undefined) writes.push({ file: 'io.weight', text: `default ${s.ioWeight}` })
    for (const device of s.ioDevices ?? []) {
      const parts: Array<[string, number | undefined]> = [
        ['rbps', device.readBps],
        ['wbps', device.writeBps],
        ['riops', device.readIops],
        ['wiops', device.writeIops],
      ]
      const text = parts.flatMap(([key, value]) => (value === undefined ? [] : `${key}=${value}`)).join(' ')
      const id = `${device.major}:${device.minor}`
      if (text) writes.push({ file: 'io.max', text: `${id} ${text}` })
      if (device.weight !== undefined) writes.push({ file: 'io.weight', text: `${id} ${device.weight}` })
    }
    return writes
  },

  legacyWrites(s) {
    const writes: FileWrite[] = []
    if (s.ioWeight !== undefined) writes.push({ file: 'blkio.bfq.weight', text: String(bfqWeight(s.ioWeight)) })
    for (const { major, minor, weight } of s.ioDevices ?? [])
      if (weight !== undefined)
        writes.push({ file: 'blkio.bfq.weight_device', text: `${major}:${minor} ${bfqWeight(weight)}` })
    for (const device of s.ioDevices ?? [])
      for (const [key, file] of LEGACY_FILES)
        if (device[key] !== undefined) writes.push({ file, text: `${device.major}:${device.minor} ${device[key]}` })
    return writes
  },
}

/** bfq is the one v1 scheduler left with weights; its range is 1 to 1000. */
function bfqWeight(weight: number): number {
  return Math.min(1000, Math.max(1, weight))
}

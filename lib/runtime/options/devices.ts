/** Devices of the host that a container is given. */
import { type Dirent, lstatSync, readdirSync, type Stats, statSync } from 'node:fs'
import path from 'node:path'
import { invalidArgument } from '../../errors.js'
import { DEFAULT_DEVICES } from '../../spec/defaults.js'
import type { SpecDevice, SpecDeviceRule } from '../../spec/runtime.js'
import { insidePath } from '../../util/paths.js'

/** As in docker's --device: `HOST[:CONTAINER][:rwm]`. */
export function deviceSpec(text: string): { spec: SpecDevice; rule: SpecDeviceRule } {
  if (typeof text !== 'string') throw invalidArgument('devices', text, 'a path such as /dev/fuse')
  const [source = '', second, third, more] = text.split(':')
  const secondIsAccess = second !== undefined && third === undefined && /^[rwm]+$/.test(second)
  const target = second === undefined || secondIsAccess ? source : second
  const access = (secondIsAccess ? second : third) ?? 'rwm'
  if (!/^[rwm]{1,3}$/.test(access)) throw invalidArgument('devices', text, 'a device with an access of r, w and m')
  if (more !== undefined || text.includes('\0'))
    throw invalidArgument('devices', text, 'at most two paths and an access')
  const status = statSync(source, { throwIfNoEntry: false })
  if (!status || !isDevice(status)) throw invalidArgument('devices', text, 'a device node that exists on the host')
  const spec = specOf(status, source, insidePath(target, 'devices'))
  const { type, major, minor } = spec
  return { spec, rule: { allow: true, type, major, minor, access } }
}

/** What is mounted in every /dev, or lies in memory there. */
const NOT_DEVICES = new Set(['/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/hugepages', '/dev/fd'])

/** All that the host has in its /dev, but for what every container has of its own. */
export function hostDevices(directory = '/dev'): SpecDevice[] {
  const own = new Set([...DEFAULT_DEVICES.map((device) => device.path), '/dev/console', '/dev/ptmx'])
  return entriesOf(directory).flatMap((entry) => {
    const at = path.join(directory, entry.name)
    if (entry.isDirectory()) return NOT_DEVICES.has(at) ? [] : hostDevices(at)
    if (own.has(at) || !(entry.isCharacterDevice() || entry.isBlockDevice())) return []
    const status = lstatSync(at, { throwIfNoEntry: false })
    return status && isDevice(status) ? [specOf(status, at, at)] : []
  })
}

/** None of what is plugged out meanwhile. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch {
    return []
  }
}

const isDevice = (status: Stats) => status.isCharacterDevice() || status.isBlockDevice()

function specOf(status: Stats, source: string, target: string): SpecDevice & { type: 'b' | 'c' } {
  return {
    type: status.isBlockDevice() ? 'b' : 'c',
    path: target,
    source,
    major: (status.rdev >> 8) & 0xfff,
    minor: (status.rdev & 0xff) | ((status.rdev >> 12) & 0xfff00),
    fileMode: status.mode & 0o777,
    uid: status.uid,
    gid: status.gid,
  }
}

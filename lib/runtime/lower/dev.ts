/** The container's /dev, and device nodes elsewhere. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { DEFAULT_DEVICES, DEVICE_LINKS } from '../../spec/defaults.js'
import type { SpecDevice, SpecMount } from '../../spec/runtime.js'
import { ATTR, type MountOptions, PROPAGATION } from '../options/mount-options.js'
import type { Workload } from '../options/workload.js'
import { hostId } from '../user/id-maps.js'
import { EXCLUSIVE, NONE, OPTIONAL, type Plan } from './plan.js'
import { ownerOf } from './root.js'

/** Those of every container, and those that were asked for. */
export function devicesOf({ spec }: Workload): SpecDevice[] {
  const asked = spec.linux?.devices ?? []
  const paths = new Set(asked.map((device) => device.path))
  return [...DEFAULT_DEVICES.filter((device) => !paths.has(device.path)), ...asked]
}

/**
 * A /dev of our own and its nodes; the image has no say in it. In a user namespace none can be made (mknod(2)): the
 * owner makes them before it enters that, or, where it has no rights outside either, shows the host's in their place.
 */
export function prepareDev(plan: Plan, workload: Workload, mount: SpecMount, options: MountOptions, dev: number): void {
  const { idMaps, inside } = workload
  const owner =
    !idMaps || inside ? [] : ['uid', String(hostId(idMaps.uidMap, 0)), 'gid', String(hostId(idMaps.gidMap, 0))]
  plan.add('FILESYSTEM', `mounts: ${mount.destination}`, {
    numbers: [dev, options.attributes],
    strings: ['tmpfs', ...sourceOf('tmpfs', mount), ...options.data.flat(), ...owner],
  })
  for (const device of devicesOf(workload)) {
    if (!device.path.startsWith('/dev/')) continue
    const name = device.path.slice(5)
    if (inside) plan.add('FILE', 'devices', { flags: EXCLUSIVE, numbers: [dev, 0o666], strings: [name] })
    else addDevice(plan, workload, device, dev, name)
  }
}

/** The host's own nodes, for an ordinary user: to be mounted at their places once the root is in place. */
export function bindDevices(plan: Plan, devices: readonly SpecDevice[]): Array<{ path: string; slot: number }> {
  return devices.map((device) => {
    const slot = plan.slot()
    plan.add('TREE', 'devices', {
      numbers: [slot, PROPAGATION.private, ATTR.NOSUID | ATTR.NOEXEC, NONE],
      strings: [device.source ?? device.path],
    })
    return { path: device.path, slot }
  })
}

/** Links and directories of /dev, before it is attached. */
export function populateDev(plan: Plan, { spec }: Workload, dev: number): void {
  const stage = 'devices'
  for (const { destination } of spec.mounts ?? [])
    if (/^\/dev\/[^/]+$/.test(destination))
      plan.add('DIRECTORY', stage, { numbers: [dev, 0o755], strings: [destination.slice(5)] })
  for (const [target, link] of DEVICE_LINKS)
    if (link !== 'core' || existsSync(target))
      plan.add('SYMLINK', stage, { flags: OPTIONAL, numbers: [dev], strings: [target, link] })
}

/** Nodes for places outside of /dev, to be mounted there. */
export function prepareNodes(
  plan: Plan,
  workload: Workload,
  devices: readonly SpecDevice[],
  base: string,
): Array<{ path: string; slot: number }> {
  return devices.map((device, i) => {
    const at = path.join(base, `node${i}`)
    const slot = plan.slot()
    addDevice(plan, workload, device, NONE, at)
    plan.add('TREE', 'devices', { numbers: [slot, PROPAGATION.private, ATTR.NOEXEC, NONE], strings: [at] })
    return { path: device.path, slot }
  })
}

const FILE_TYPES: Record<SpecDevice['type'], number> = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 }

export function addDevice(plan: Plan, workload: Workload, device: SpecDevice, base: number, at: string): void {
  plan.add('NODE', 'devices', {
    flags: OPTIONAL,
    numbers: [
      base,
      FILE_TYPES[device.type] | ((device.fileMode ?? 0o666) & 0o7777),
      makeDevice(device.major ?? 0, device.minor ?? 0),
      ownerOf(workload, device.uid, device.gid),
    ],
    strings: [at],
  })
}

/** dev_t in the encoding of mknod(2). */
function makeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0
}

/** What a tmpfs is called in mountinfo. */
export function sourceOf(type: string, mount: SpecMount): string[] {
  return mount.source && type === 'tmpfs' ? ['source', mount.source] : []
}

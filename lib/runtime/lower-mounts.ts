/** The mounts of a workload, as operations of a plan. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { DEFAULT_DEVICES, DEVICE_LINKS } from '../spec/defaults.js'
import type { SpecDevice, SpecMount } from '../spec/runtime.js'
import { ATTR, type MountOptions, MS_REC, PROPAGATION, parseMountOptions } from './mount-options.js'
import { CREATE, EXCLUSIVE, NO_SYMLINKS, NONE, OPTIONAL, type Plan, RECURSIVE, TOP } from './plan.js'
import type { Rootfs, Workload } from './workload.js'

/** Targets that carry the container's own kernel interfaces; a link there would move them (CVE-2019-19921). */
const STRICT_TARGETS = new Set(['/proc', '/sys', '/dev'])

const HIDDEN = ATTR.NOSUID | ATTR.NODEV | ATTR.NOEXEC

interface Prepared {
  mount: SpecMount
  slot: number
  options: MountOptions
  /** The source may be missing. */
  optional: boolean
}

export interface MountSlots {
  dev: number
  pts: number
  proc: number
}

/** Everything up to the new root: sources are opened while the host's tree is still there. */
export function prepareMounts(plan: Plan, workload: Workload): { attach: () => MountSlots } {
  const { spec, rootfs, staging } = workload
  const mounts = (spec.mounts ?? []).map((mount) => ({ mount, options: parseMountOptions(mount.options) }))
  const slots: MountSlots = { dev: NONE, pts: NONE, proc: NONE }

  // Bind sources before the host's propagation is cut: a shared or slave bind keeps its peer.
  const prepared: Prepared[] = mounts.map(({ mount, options }) => {
    const slot = plan.slot()
    if (options.bind || mount.type === 'bind') prepareBind(plan, mount, options, slot)
    return { mount, options, slot, optional: false }
  })
  const trees = rootfs.kind === 'overlay' ? rootfs.trees.map((tree) => ({ tree, slot: plan.slot() })) : []
  for (const { tree, slot } of trees)
    plan.add('TREE', `image: ${tree.target}`, {
      flags: RECURSIVE | OPTIONAL,
      numbers: [slot, PROPAGATION.private, ATTR.RDONLY | ATTR.NOSUID | ATTR.NODEV, NONE],
      strings: [tree.source],
    })

  plan.add('PROPAGATION', 'mounts: /', { numbers: [MS_REC | rootPropagation(workload)], strings: [''] })
  const root = prepareRoot(plan, rootfs, staging, workload.etc)
  prepared.forEach(({ mount, slot, options }, i) => {
    if (options.bind || mount.type === 'bind') return
    if (isHostOverlay(mount, options))
      prepareHostOverlay(plan, mount, options, slot, path.join(root.base, `overlay${i}`))
    else prepareFilesystem(plan, workload, mount, options, slot, slots)
  })

  return {
    attach() {
      plan.add('ROOT', 'root', { numbers: [root.slot, root.mounted ? 1 : 0], strings: [root.at] })
      for (const { tree, slot } of trees)
        plan.add('ATTACH', `image: ${tree.target}`, {
          flags: CREATE | OPTIONAL,
          numbers: [slot, NONE],
          strings: [tree.target],
        })
      for (const { mount, slot } of prepared) {
        plan.add('ATTACH', `mounts: ${mount.destination}`, {
          flags: CREATE | (STRICT_TARGETS.has(mount.destination) ? NO_SYMLINKS : 0),
          numbers: [slot, NONE],
          strings: [mount.destination],
        })
      }
      for (const device of spec.linux?.devices ?? [])
        if (!device.path.startsWith('/dev/') || slots.dev === NONE) addDevice(plan, device, NONE, device.path)
      for (const [name, slot] of root.etc)
        plan.add('ATTACH', `mounts: /etc/${name}`, { flags: CREATE, numbers: [slot, NONE], strings: [`/etc/${name}`] })
      return slots
    },
  }
}

function rootPropagation({ spec }: Workload): number {
  const asked = spec.linux?.rootfsPropagation?.replace(/^r/, '')
  if (asked && asked in PROPAGATION && asked !== 'shared') return PROPAGATION[asked as keyof typeof PROPAGATION]
  return asked === 'shared' ? PROPAGATION.slave : PROPAGATION.private
}

function prepareBind(plan: Plan, mount: SpecMount, options: MountOptions, slot: number): void {
  const flags = (options.recursive ? RECURSIVE : 0) | (options.recursiveAttributes ? 0 : TOP)
  plan.add('TREE', `mounts: ${mount.destination}`, {
    flags,
    numbers: [slot, options.propagation || PROPAGATION.private, options.attributes, NONE],
    strings: [mount.source ?? ''],
  })
}

/** The root as a mount in a slot, and the files for /etc beside it. */
function prepareRoot(
  plan: Plan,
  rootfs: Rootfs,
  staging: string,
  etc: Readonly<Record<string, string>>,
): { slot: number; at: string; base: string; mounted: boolean; etc: Map<string, number> } {
  const slot = plan.slot()
  const files = new Map<string, number>()
  if (rootfs.kind === 'directory') {
    plan.add('TREE', 'root', {
      flags: RECURSIVE,
      numbers: [slot, PROPAGATION.private, 0, NONE],
      strings: [rootfs.path],
    })
    return { slot, at: staging, base: staging, mounted: false, etc: files }
  }
  if (rootfs.kind === 'inherited') throw new Error('a kept mount namespace has its root')

  const { writable } = rootfs
  let base = writable.kind === 'disk' ? writable.directory : staging
  if (writable.kind === 'memory') {
    const memory = plan.slot()
    plan.add('FILESYSTEM', 'writable layer', {
      numbers: [memory, ATTR.NODEV],
      strings: ['tmpfs', 'mode', '0755', ...(writable.size === undefined ? [] : ['size', String(writable.size)])],
    })
    for (const name of ['upper', 'work', 'root'])
      plan.add('DIRECTORY', 'writable layer', { numbers: [memory, 0o755], strings: [name] })
    for (const [name, content] of Object.entries(etc))
      plan.add('FILE', `mounts: /etc/${name}`, {
        flags: EXCLUSIVE,
        numbers: [memory, 0o644],
        strings: [name],
        blob: Buffer.from(content),
      })
    plan.add('ATTACH', 'writable layer', { numbers: [memory, NONE], strings: [staging] })
    base = staging
  }
  for (const name of Object.keys(etc)) {
    const file = plan.slot()
    files.set(name, file)
    plan.add('TREE', `mounts: /etc/${name}`, {
      numbers: [file, PROPAGATION.private, HIDDEN, NONE],
      strings: [`${base}/${name}`],
    })
  }
  plan.add('OVERLAY', 'root', {
    numbers: [slot, 0],
    // volatile: no sync of the host's whole file system when a throwaway container ends.
    strings: [`${base}/root`, `${base}/upper`, `${base}/work`, 'volatile', ...rootfs.lower],
  })
  return { slot, at: `${base}/root`, base, mounted: true, etc: files }
}

function prepareFilesystem(
  plan: Plan,
  workload: Workload,
  mount: SpecMount,
  options: MountOptions,
  slot: number,
  slots: MountSlots,
): void {
  const type = mount.type ?? 'none'
  const stage = `mounts: ${mount.destination}`
  if (mount.destination === '/proc' && type === 'proc') slots.proc = slot
  if (mount.destination === '/dev' && type === 'tmpfs') slots.dev = slot
  if (mount.destination === '/dev/pts') slots.pts = slot
  if (type === 'cgroup' || type === 'cgroup2') {
    prepareCgroup(plan, workload, mount, options, slot)
    return
  }
  plan.add('FILESYSTEM', stage, {
    numbers: [slot, options.attributes],
    strings: [type, ...sourceOf(type, mount), ...options.data.flat()],
  })
  if (slot === slots.dev) populateDev(plan, workload, slot)
}

/** Ours: a directory of the host under a writable layer. One with `lowerdir` is a bundle's own, taken as it is. */
function isHostOverlay(mount: SpecMount, options: MountOptions): boolean {
  return mount.type === 'overlay' && !options.data.some(([key]) => key === 'lowerdir')
}

function prepareHostOverlay(
  plan: Plan,
  mount: SpecMount,
  options: MountOptions,
  slot: number,
  directory: string,
): void {
  const stage = `mounts: ${mount.destination}`
  const at = (name: string) => path.join(directory, name)
  for (const name of ['upper', 'work', 'root'])
    plan.add('DIRECTORY', stage, { numbers: [NONE, 0o755], strings: [at(name)] })
  plan.add('OVERLAY', stage, {
    numbers: [plan.slot(), 0],
    strings: [at('root'), at('upper'), at('work'), 'volatile', mount.source ?? ''],
  })
  // A copy of the mount: the one at the staging directory goes with the host's tree.
  plan.add('TREE', stage, { numbers: [slot, PROPAGATION.private, options.attributes, NONE], strings: [at('root')] })
}

function sourceOf(type: string, mount: SpecMount): string[] {
  return mount.source && type === 'tmpfs' ? ['source', mount.source] : []
}

/** What the container sees of its cgroups: v2 alone, or on v1 hosts a directory with one mount per hierarchy. */
function prepareCgroup(plan: Plan, workload: Workload, mount: SpecMount, options: MountOptions, slot: number): void {
  const stage = `mounts: ${mount.destination}`
  const { unified, legacy, shown } = workload.cgroup
  if (shown !== undefined) {
    // Programs look here for their limits: for the root of their cgroup namespace ("/") in this directory.
    plan.add('TREE', stage, { numbers: [slot, PROPAGATION.private, options.attributes, NONE], strings: [shown] })
    return
  }
  if (legacy.length === 0 && unified) {
    plan.add('FILESYSTEM', stage, { numbers: [slot, options.attributes], strings: ['cgroup2'] })
    return
  }
  plan.add('FILESYSTEM', stage, {
    numbers: [slot, options.attributes & ~ATTR.RDONLY],
    strings: ['tmpfs', 'mode', '0755', 'size', '64k'],
  })
  for (const name of [...legacy, ...(unified ? ['unified'] : [])])
    plan.add('DIRECTORY', stage, { numbers: [slot, 0o755], strings: [name] })
}

/** Nodes, links and directories of a /dev of our own, before it is attached: the image has no say in it. */
function populateDev(plan: Plan, { spec }: Workload, dev: number): void {
  const stage = 'devices'
  for (const { destination } of spec.mounts ?? [])
    if (/^\/dev\/[^/]+$/.test(destination))
      plan.add('DIRECTORY', stage, { numbers: [dev, 0o755], strings: [destination.slice(5)] })
  const asked = spec.linux?.devices ?? []
  const paths = new Set(asked.map((device) => device.path))
  for (const device of [...DEFAULT_DEVICES.filter((device) => !paths.has(device.path)), ...asked])
    if (device.path.startsWith('/dev/')) addDevice(plan, device, dev, device.path.slice(5))
  for (const [target, link] of DEVICE_LINKS)
    if (link !== 'core' || existsSync(target))
      plan.add('SYMLINK', stage, { flags: OPTIONAL, numbers: [dev], strings: [target, link] })
}

const FILE_TYPES: Record<SpecDevice['type'], number> = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 }

function addDevice(plan: Plan, device: SpecDevice, base: number, at: string): void {
  plan.add('NODE', 'devices', {
    flags: OPTIONAL,
    numbers: [
      base,
      FILE_TYPES[device.type] | (device.fileMode ?? 0o666),
      makeDevice(device.major ?? 0, device.minor ?? 0),
      (BigInt(device.uid ?? 0) << 32n) | BigInt(device.gid ?? 0),
    ],
    strings: [at],
  })
}

/** dev_t in the encoding of mknod(2). */
export function makeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0
}

/** After all is mounted: what is hidden, read-only, and the cgroup mounts inside their directory. */
export function protectMounts(plan: Plan, workload: Workload, slots: MountSlots): void {
  const { spec, cgroup } = workload
  const cgroupMount = (spec.mounts ?? []).find((mount) => mount.type === 'cgroup')
  if (cgroupMount && (cgroup.legacy.length > 0 || !cgroup.unified)) {
    const { attributes } = parseMountOptions(cgroupMount.options)
    for (const name of [...cgroup.legacy, ...(cgroup.unified ? ['unified'] : [])]) {
      const slot = plan.slot()
      const target = `${cgroupMount.destination}/${name}`
      const type = name === 'unified' ? ['cgroup2'] : ['cgroup', ...name.split(',').flatMap((key) => [key, ''])]
      plan.add('FILESYSTEM', `mounts: ${target}`, { numbers: [slot, attributes], strings: type })
      plan.add('ATTACH', `mounts: ${target}`, { flags: NO_SYMLINKS, numbers: [slot, NONE], strings: [target] })
    }
    if (attributes & ATTR.RDONLY)
      plan.add('SETATTR', `mounts: ${cgroupMount.destination}`, {
        numbers: [ATTR.RDONLY, 0, 0],
        strings: [cgroupMount.destination],
      })
  }
  const strict = (hidden: string) => (/^\/(proc|sys)\//.test(hidden) ? NO_SYMLINKS : 0)
  for (const hidden of spec.linux?.readonlyPaths ?? [])
    plan.add('READONLY', 'read-only paths', { flags: strict(hidden), strings: [hidden] })
  for (const hidden of spec.linux?.maskedPaths ?? [])
    plan.add('MASK', 'masked paths', { flags: strict(hidden), numbers: [slots.dev], strings: [hidden] })
  if (spec.root?.readonly) plan.add('SETATTR', 'read-only root', { numbers: [ATTR.RDONLY, 0, 0], strings: ['/'] })
}

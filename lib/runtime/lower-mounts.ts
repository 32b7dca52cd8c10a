/** The mounts of a workload, as operations of a plan. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { DEFAULT_DEVICES, DEVICE_LINKS } from '../spec/defaults.js'
import type { SpecDevice, SpecMount } from '../spec/runtime.js'
import { hostId } from './id-maps.js'
import { ATTR, type MountOptions, MS_REC, PROPAGATION, parseMountOptions } from './mount-options.js'
import { type EtcDirectory, plainEtc } from './plain-etc.js'
import { CREATE, EXCLUSIVE, NO_SYMLINKS, NONE, OPTIONAL, type Plan, RECURSIVE, TOP } from './plan.js'
import type { Workload } from './workload.js'

/** Targets that carry the container's own kernel interfaces; a link there would move them (CVE-2019-19921). */
const STRICT_TARGETS = new Set(['/proc', '/sys', '/dev'])

const HIDDEN = ATTR.NOSUID | ATTR.NODEV | ATTR.NOEXEC

interface Prepared {
  mount: SpecMount
  slot: number
  options: MountOptions
}

export interface MountSlots {
  dev: number
  pts: number
  proc: number
  /** An empty directory to hide others; NONE: one is made when it is needed. */
  empty: number
}

/**
 * Everything up to the new root: sources are opened while the host's tree is still there.
 *
 * With a user namespace (`user` is its slot) the first part is done with the owner's rights, as is everything that the
 * container is not to have a say in: its files get their owners by id-mapped mounts, and devices can be made. What
 * belongs to the container's own namespaces (/proc, /sys, terminals) follows in `prepareInside`.
 */
export function prepareMounts(
  plan: Plan,
  workload: Workload,
  user = NONE,
): { prepareInside: () => void; attach: () => MountSlots } {
  const { spec, rootfs, staging } = workload
  const mounts = (spec.mounts ?? []).map((mount) => ({ mount, options: parseMountOptions(mount.options) }))
  const slots: MountSlots = { dev: NONE, pts: NONE, proc: NONE, empty: NONE }

  // Bind sources before the host's propagation is cut: a shared or slave bind keeps its peer.
  const prepared: Prepared[] = mounts.map(({ mount, options }) => {
    const slot = plan.slot()
    if (options.bind || mount.type === 'bind') prepareBind(plan, mount, options, slot)
    return { mount, options, slot }
  })
  const trees = rootfs.kind === 'overlay' ? rootfs.trees.map((tree) => ({ tree, slot: plan.slot() })) : []
  for (const { tree, slot } of trees)
    plan.add('TREE', `image: ${tree.target}`, {
      flags: RECURSIVE | OPTIONAL,
      numbers: [slot, PROPAGATION.private, ATTR.RDONLY | ATTR.NOSUID | ATTR.NODEV, user],
      strings: [tree.source],
    })

  plan.add('PROPAGATION', 'mounts: /', { numbers: [MS_REC | rootPropagation(workload)], strings: [''] })
  const root = prepareRoot(plan, workload, user)
  slots.empty = root.empty
  const inside: Prepared[] = []
  prepared.forEach((each, i) => {
    const { mount, slot, options } = each
    if (options.bind || mount.type === 'bind') return
    if (isHostOverlay(mount, options))
      prepareHostOverlay(plan, mount, options, slot, path.join(root.base, `overlay${i}`))
    else if (isDev(mount)) prepareDev(plan, workload, mount, options, slot)
    else inside.push(each)
    if (isDev(mount)) slots.dev = slot
  })
  const outside = (spec.linux?.devices ?? []).filter((device) => !device.path.startsWith('/dev/') || slots.dev === NONE)
  const nodes = user === NONE ? [] : prepareNodes(plan, workload, outside, root.base)
  // The staging directory may have no name that the container's root can follow.
  if (user !== NONE) plan.add('WORKDIR', 'root', { strings: [staging] })

  return {
    prepareInside() {
      if (slots.dev !== NONE) populateDev(plan, workload, slots.dev)
      for (const { mount, slot, options } of inside) prepareFilesystem(plan, workload, mount, options, slot, slots)
    },
    attach() {
      plan.add('ROOT', 'root', {
        numbers: [root.slot, root.mounted ? 1 : 0],
        strings: [user === NONE ? root.at : '.'],
      })
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
      if (user === NONE) for (const device of outside) addDevice(plan, workload, device, NONE, device.path)
      for (const { path: at, slot } of nodes)
        plan.add('ATTACH', 'devices', { flags: CREATE, numbers: [slot, NONE], strings: [at] })
      for (const [name, slot] of root.etc)
        plan.add('ATTACH', `mounts: /etc/${name}`, { flags: CREATE, numbers: [slot, NONE], strings: [`/etc/${name}`] })
      return slots
    },
  }
}

function isDev(mount: SpecMount): boolean {
  return mount.destination === '/dev' && mount.type === 'tmpfs'
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

interface PreparedRoot {
  slot: number
  at: string
  /** A directory of the host, out of sight, for what else is put together. */
  base: string
  /** It is mounted at `at`. */
  mounted: boolean
  /** Files to mount at /etc/NAME. */
  etc: Map<string, number>
  /** An empty directory, read-only, to hide others. */
  empty: number
}

function prepareRoot(plan: Plan, workload: Workload, user: number): PreparedRoot {
  const { rootfs, staging, etc } = workload
  const slot = plan.slot()
  if (rootfs.kind === 'directory') {
    plan.add('TREE', 'root', {
      flags: RECURSIVE,
      numbers: [slot, PROPAGATION.private, 0, NONE],
      strings: [rootfs.path],
    })
    return { slot, at: staging, base: staging, mounted: false, etc: new Map(), empty: NONE }
  }
  if (rootfs.kind === 'inherited') throw new Error('a kept mount namespace has its root')

  const { writable } = rootfs
  const inMemory = writable.kind === 'memory'
  const plain = inMemory && user === NONE ? plainEtc(workload) : undefined
  const empty = inMemory || user !== NONE ? prepareStaging(plan, workload, user, plain) : NONE
  const base = inMemory || user !== NONE ? staging : writable.directory
  const files = inMemory ? staging : writable.directory
  let { lower } = rootfs
  let upper = base
  if (user !== NONE) {
    // On disk the ids are the container's own: a commit finds them right, and another range can be used next time.
    if (!inMemory) {
      upper = path.join(base, 'disk')
      mapDirectory(plan, 'writable layer', writable.directory, upper, user)
    }
    lower = rootfs.lower.map((layer, i) => mapDirectory(plan, 'root', layer, path.join(base, `lower${i}`), user))
  }
  const mounted = new Map<string, number>()
  for (const name of plain ? [] : Object.keys(etc)) {
    const file = plan.slot()
    mounted.set(name, file)
    plan.add('TREE', `mounts: /etc/${name}`, {
      numbers: [file, PROPAGATION.private, HIDDEN, inMemory ? NONE : user],
      strings: [`${files}/${name}`],
    })
  }
  plan.add('OVERLAY', 'root', {
    numbers: [slot, 0, inMemory || user === NONE ? 0 : ownerOf(workload)],
    // volatile: no sync of the host's whole file system when a throwaway container ends.
    strings: [`${base}/root`, `${upper}/upper`, `${upper}/work`, 'volatile', ...lower],
  })
  // A copy of the mount, which is not bound to the mount namespace that is left behind.
  if (user !== NONE)
    plan.add('TREE', 'root', { numbers: [slot, PROPAGATION.private, 0, NONE], strings: [`${base}/root`] })
  return { slot, at: `${base}/root`, base, mounted: user === NONE, etc: mounted, empty }
}

/** A tmpfs at the staging directory: the writable layer when that is in memory, and places to mount things at. */
function prepareStaging(plan: Plan, workload: Workload, user: number, plain: EtcDirectory | undefined): number {
  const { rootfs, staging, etc } = workload
  if (rootfs.kind !== 'overlay') return NONE
  const { writable } = rootfs
  const stage = 'writable layer'
  const memory = plan.slot()
  const size = writable.kind === 'memory' && writable.size !== undefined ? ['size', String(writable.size)] : []
  plan.add('FILESYSTEM', stage, {
    numbers: [memory, user === NONE ? ATTR.NODEV : 0],
    strings: ['tmpfs', 'mode', '0755', ...size],
  })
  const directories = ['root', ...(user === NONE ? ['empty'] : [])]
  if (user !== NONE) directories.push(...rootfs.lower.map((_, i) => `lower${i}`))
  if (writable.kind === 'memory') directories.push('upper', 'work')
  else directories.push('disk')
  for (const name of directories)
    plan.add('DIRECTORY', stage, { numbers: [memory, 0o755, ownerOf(workload)], strings: [name] })
  if (plain)
    plan.add('DIRECTORY', 'mounts: /etc', {
      numbers: [memory, plain.mode, (BigInt(plain.uid) << 32n) | BigInt(plain.gid)],
      strings: ['upper/etc'],
    })
  if (writable.kind === 'memory')
    for (const [name, content] of Object.entries(etc))
      plan.add('FILE', `mounts: /etc/${name}`, {
        flags: EXCLUSIVE,
        numbers: [memory, 0o644, ownerOf(workload)],
        strings: [plain ? `upper/etc/${name}` : name],
        blob: Buffer.from(content),
      })
  plan.add('ATTACH', stage, { numbers: [memory, NONE], strings: [staging] })
  // Inside a user namespace nothing of ours can be cloned any more.
  if (user !== NONE) return NONE
  const empty = plan.slot()
  plan.add('TREE', stage, {
    numbers: [empty, PROPAGATION.private, ATTR.RDONLY | HIDDEN, NONE],
    strings: [path.join(staging, 'empty')],
  })
  return empty
}

/**
 * Shows a directory at `at` with the owners that its ids are in the user namespace (mount_setattr(2),
 * MOUNT_ATTR_IDMAP; overlay takes such layers from Linux 5.19 on, and detached ones only from 6.15 on).
 */
function mapDirectory(plan: Plan, stage: string, directory: string, at: string, user: number): string {
  const slot = plan.slot()
  plan.add('TREE', stage, { numbers: [slot, PROPAGATION.private, 0, user], strings: [directory] })
  plan.add('ATTACH', stage, { numbers: [slot, NONE], strings: [at] })
  return at
}

/** What an owner inside is on the host, as a number of a record. An id without one stays the host's root. */
function ownerOf({ idMaps }: Workload, uid = 0, gid = 0): bigint {
  if (!idMaps) return (BigInt(uid) << 32n) | BigInt(gid)
  return (BigInt(hostId(idMaps.uidMap, uid) ?? 0) << 32n) | BigInt(hostId(idMaps.gidMap, gid) ?? 0)
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
  if (mount.destination === '/dev/pts') slots.pts = slot
  if (type === 'cgroup' || type === 'cgroup2') {
    prepareCgroup(plan, workload, mount, options, slot)
    return
  }
  plan.add('FILESYSTEM', stage, {
    numbers: [slot, options.attributes],
    strings: [type, ...sourceOf(type, mount), ...options.data.flat()],
  })
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

/** A /dev of our own and its nodes; the image has no say in it. A user namespace could make none (mknod(2)). */
function prepareDev(plan: Plan, workload: Workload, mount: SpecMount, options: MountOptions, dev: number): void {
  const { spec, idMaps } = workload
  const owner = idMaps && ['uid', String(hostId(idMaps.uidMap, 0)), 'gid', String(hostId(idMaps.gidMap, 0))]
  plan.add('FILESYSTEM', `mounts: ${mount.destination}`, {
    numbers: [dev, options.attributes],
    strings: ['tmpfs', ...sourceOf('tmpfs', mount), ...options.data.flat(), ...(owner ?? [])],
  })
  const asked = spec.linux?.devices ?? []
  const paths = new Set(asked.map((device) => device.path))
  for (const device of [...DEFAULT_DEVICES.filter((device) => !paths.has(device.path)), ...asked])
    if (device.path.startsWith('/dev/')) addDevice(plan, workload, device, dev, device.path.slice(5))
}

/** Links and directories of /dev, before it is attached. */
function populateDev(plan: Plan, { spec }: Workload, dev: number): void {
  const stage = 'devices'
  for (const { destination } of spec.mounts ?? [])
    if (/^\/dev\/[^/]+$/.test(destination))
      plan.add('DIRECTORY', stage, { numbers: [dev, 0o755], strings: [destination.slice(5)] })
  for (const [target, link] of DEVICE_LINKS)
    if (link !== 'core' || existsSync(target))
      plan.add('SYMLINK', stage, { flags: OPTIONAL, numbers: [dev], strings: [target, link] })
}

/** Nodes for places outside of /dev, to be mounted there. */
function prepareNodes(
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

function addDevice(plan: Plan, workload: Workload, device: SpecDevice, base: number, at: string): void {
  plan.add('NODE', 'devices', {
    flags: OPTIONAL,
    numbers: [
      base,
      FILE_TYPES[device.type] | (device.fileMode ?? 0o666),
      makeDevice(device.major ?? 0, device.minor ?? 0),
      ownerOf(workload, device.uid, device.gid),
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
    plan.add('MASK', 'masked paths', {
      flags: strict(hidden),
      numbers: [slots.dev, slots.empty],
      strings: [hidden],
    })
  if (spec.root?.readonly) plan.add('SETATTR', 'read-only root', { numbers: [ATTR.RDONLY, 0, 0], strings: ['/'] })
}

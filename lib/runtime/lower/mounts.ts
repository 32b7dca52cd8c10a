/** The mounts of a workload, as operations of a plan. */
import path from 'node:path'
import type { SpecMount } from '../../spec/runtime.js'
import { ATTR, type MountOptions, MS_REC, PROPAGATION, parseMountOptions } from '../options/mount-options.js'
import type { Workload } from '../options/workload.js'
import { addDevice, bindDevices, devicesOf, populateDev, prepareDev, prepareNodes, sourceOf } from './dev.js'
import { hasOwn } from './namespaces.js'
import { CREATE, NO_SYMLINKS, NONE, OPTIONAL, type Plan, RECURSIVE, TOP } from './plan.js'
import { overlayOptions, prepareRoot } from './root.js'

/** Targets that carry the container's own kernel interfaces; a link there would move them (CVE-2019-19921). */
const STRICT_TARGETS = new Set(['/proc', '/sys', '/dev'])

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
 * belongs to the container's own namespaces (/proc, /sys, terminals) follows in `prepareInside`. What is `without` is
 * left to `mountLater`.
 */
export function prepareMounts(
  plan: Plan,
  workload: Workload,
  user = NONE,
  mountMaps: ReadonlyMap<string, number> = new Map(),
  without: (mount: SpecMount) => boolean = () => false,
): { prepareInside: () => void; attach: () => MountSlots } {
  const { spec, rootfs, staging } = workload
  const mounts = (spec.mounts ?? [])
    .filter((mount) => !without(mount))
    .map((mount) => ({ mount, options: parseMountOptions(mount.options) }))
  const slots: MountSlots = { dev: NONE, pts: NONE, proc: NONE, empty: NONE }

  // Bind sources before the host's propagation is cut: a shared or slave bind keeps its peer.
  const prepared: Prepared[] = mounts.map(({ mount, options }) => {
    const slot = plan.slot()
    if (options.bind || mount.type === 'bind') {
      // With `idmap` alone the maps are those of the container's own user namespace.
      const own = options.idmap && mount.uidMappings === undefined ? user : NONE
      prepareBind(plan, mount, options, slot, mountMaps.get(mount.destination) ?? own)
    }
    if (mount.destination === '/proc' && mount.source === '/proc') slots.proc = slot
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
      prepareHostOverlay(plan, workload, mount, options, slot, path.join(root.base, `overlay${i}`))
    else if (isDev(mount)) prepareDev(plan, workload, mount, options, slot)
    else inside.push(each)
    if (isDev(mount)) slots.dev = slot
  })
  const outside = (spec.linux?.devices ?? []).filter((device) => !device.path.startsWith('/dev/') || slots.dev === NONE)
  const nodes = workload.inside
    ? bindDevices(plan, slots.dev === NONE ? outside : devicesOf(workload))
    : user === NONE
      ? []
      : prepareNodes(plan, workload, outside, root.base)
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
      for (const { mount, slot } of prepared) attachMount(plan, mount, slot)
      if (user === NONE && !workload.inside)
        for (const device of outside) addDevice(plan, workload, device, NONE, device.path)
      for (const { path: at, slot } of nodes)
        plan.add('ATTACH', 'devices', { flags: CREATE, numbers: [slot, NONE], strings: [at] })
      for (const [name, slot] of root.etc)
        plan.add('ATTACH', `mounts: /etc/${name}`, { flags: CREATE, numbers: [slot, NONE], strings: [`/etc/${name}`] })
      return slots
    },
  }
}

function attachMount(plan: Plan, mount: SpecMount, slot: number): void {
  plan.add('ATTACH', `mounts: ${mount.destination}`, {
    flags: CREATE | (STRICT_TARGETS.has(mount.destination) ? NO_SYMLINKS : 0),
    numbers: [slot, NONE],
    strings: [mount.destination],
  })
}

/** In the container's root, from inside its namespaces. */
export function mountLater(plan: Plan, workload: Workload, mounts: readonly SpecMount[], slots: MountSlots): void {
  for (const mount of mounts) {
    const slot = plan.slot()
    prepareFilesystem(plan, workload, mount, parseMountOptions(mount.options), slot, slots)
    attachMount(plan, mount, slot)
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

function prepareBind(plan: Plan, mount: SpecMount, options: MountOptions, slot: number, map = NONE): void {
  // A map of the top alone would show what is mounted below with other owners.
  const flags = (options.recursive ? RECURSIVE : 0) | (options.recursiveAttributes || map !== NONE ? 0 : TOP)
  plan.add('TREE', `mounts: ${mount.destination}`, {
    flags,
    numbers: [slot, options.propagation || PROPAGATION.private, options.attributes, map],
    strings: [mount.source ?? ''],
  })
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
  workload: Workload,
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
    strings: [at('root'), at('upper'), at('work'), overlayOptions(workload), mount.source ?? ''],
  })
  // A copy of the mount: the one at the staging directory goes with the host's tree.
  plan.add('TREE', stage, { numbers: [slot, PROPAGATION.private, options.attributes, NONE], strings: [at('root')] })
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
  if (showsHostCgroups(workload)) {
    plan.add('TREE', stage, {
      flags: RECURSIVE,
      numbers: [slot, PROPAGATION.private, options.attributes, NONE],
      strings: ['/sys/fs/cgroup'],
    })
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

/** Inside a user namespace cgroups can only be mounted with a cgroup namespace that belongs to it. */
function showsHostCgroups(workload: Workload): boolean {
  return workload.inside && !hasOwn(workload, 'cgroup')
}

/** After all is mounted: what is hidden, read-only, and the cgroup mounts inside their directory. */
export function protectMounts(
  plan: Plan,
  workload: Workload,
  slots: MountSlots,
  fits: (hidden: string) => boolean = () => true,
): void {
  mountHierarchies(plan, workload)
  hidePaths(plan, workload, slots, fits)
  if (workload.spec.root?.readonly)
    plan.add('SETATTR', 'read-only root', { numbers: [ATTR.RDONLY, 0, 0], strings: ['/'] })
}

function mountHierarchies(plan: Plan, workload: Workload): void {
  const { spec, cgroup } = workload
  const cgroupMount = (spec.mounts ?? []).find((mount) => mount.type === 'cgroup')
  if (cgroupMount && !showsHostCgroups(workload) && (cgroup.legacy.length > 0 || !cgroup.unified)) {
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
}

/** Those of the read-only and masked paths that fit. */
export function hidePaths(plan: Plan, workload: Workload, slots: MountSlots, fits: (hidden: string) => boolean): void {
  const { readonlyPaths = [], maskedPaths = [] } = workload.spec.linux ?? {}
  const strict = (hidden: string) => (/^\/(proc|sys)\//.test(hidden) ? NO_SYMLINKS : 0)
  for (const hidden of readonlyPaths.filter(fits))
    plan.add('READONLY', 'read-only paths', { flags: strict(hidden), strings: [hidden] })
  for (const hidden of maskedPaths.filter(fits))
    plan.add('MASK', 'masked paths', {
      flags: strict(hidden),
      numbers: [slots.dev, slots.empty],
      strings: [hidden],
    })
}

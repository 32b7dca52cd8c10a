/** The container's root: layers under a writable one, or a directory as it is. */
import path from 'node:path'
import { ATTR, PROPAGATION } from '../options/mount-options.js'
import { type EtcDirectory, plainEtc } from '../options/plain-etc.js'
import type { Workload } from '../options/workload.js'
import { hostId } from '../user/id-maps.js'
import { EXCLUSIVE, NONE, type Plan, RECURSIVE } from './plan.js'

/** Nothing that is mounted so can be executed, is a device, or changes who one is. */
export const HIDDEN = ATTR.NOSUID | ATTR.NODEV | ATTR.NOEXEC

export interface PreparedRoot {
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

export function prepareRoot(plan: Plan, workload: Workload, user: number): PreparedRoot {
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

  const { writable, copied } = rootfs
  const inMemory = writable.kind === 'memory'
  const plain = inMemory && user === NONE && !copied ? plainEtc(workload) : undefined
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
  if (copied) {
    // On disk it is done once, and what was written since is kept.
    const bound = inMemory ? (writable.size ?? 0) : 0
    const mark = inMemory ? '' : `${upper}/copied`
    plan.add('COPY', 'root', { numbers: [bound], strings: [`${upper}/upper`, mark, ...lower] })
    plan.add('TREE', 'root', { numbers: [slot, PROPAGATION.private, 0, NONE], strings: [`${upper}/upper`] })
    return { slot, at: `${base}/root`, base, mounted: false, etc: mounted, empty }
  }
  plan.add('OVERLAY', 'root', {
    numbers: [slot, 0, inMemory || user === NONE ? 0 : ownerOf(workload)],
    strings: [`${base}/root`, `${upper}/upper`, `${upper}/work`, overlayOptions(workload), ...lower],
  })
  // A copy of the mount, which is not bound to the mount namespace that is left behind.
  if (user !== NONE)
    plan.add('TREE', 'root', { numbers: [slot, PROPAGATION.private, 0, NONE], strings: [`${base}/root`] })
  return { slot, at: `${base}/root`, base, mounted: user === NONE, etc: mounted, empty }
}

/**
 * volatile: no sync of the host's whole file system when a container ends. userxattr: what overlay notes about its files
 * it keeps where an ordinary user may write (overlayfs.rst; Linux 5.11).
 */
export function overlayOptions({ inside }: Workload): string {
  return inside ? 'volatile,userxattr' : 'volatile'
}

/** A tmpfs at the staging directory: the writable layer when that is in memory, and places to mount things at. */
function prepareStaging(plan: Plan, workload: Workload, user: number, plain: EtcDirectory | undefined): number {
  const { rootfs, staging, etc } = workload
  if (rootfs.kind !== 'overlay') return NONE
  const { writable } = rootfs
  const stage = 'writable layer'
  const memory = plan.slot()
  // Copied layers take their room beside that.
  const size =
    writable.kind === 'memory' && writable.size !== undefined && !rootfs.copied ? ['size', String(writable.size)] : []
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

/** What an owner inside is where the mounts are made, as a number of a record. An id without one stays root. */
export function ownerOf({ idMaps, inside }: Workload, uid = 0, gid = 0): bigint {
  if (!idMaps || inside) return (BigInt(uid) << 32n) | BigInt(gid)
  return (BigInt(hostId(idMaps.uidMap, uid) ?? 0) << 32n) | BigInt(hostId(idMaps.gidMap, gid) ?? 0)
}

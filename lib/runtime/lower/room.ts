/** Lowers a workload whose container finds its room made (addon/core/rooms.h): one plan to make it, one to live in it. */
import type { SpecMount } from '../../spec/runtime.js'
import type { Workload } from '../options/workload.js'
import { furnish, type Lowered, ownersLimits } from './lower.js'
import { hidePaths, mountLater, prepareMounts } from './mounts.js'
import { enterRoom, hasOwn } from './namespaces.js'
import { type Ahead, NONE, Plan } from './plan.js'

export interface LoweredRoom extends Lowered {
  /** Carried out ahead, by a thread of the addon: mounts, in namespaces that have no process yet. */
  furnishing?: Plan
  /** CLONE_NEW* that it is made with; 0: nothing but its cgroups is made ahead. */
  own: number
  /** For a process that waits in it, and goes on with the plan. */
  ahead?: Ahead
  /** Slots of `furnishing` that the plan inherits after the namespaces; the first is of a mount that is in none. */
  kept: number[]
}

/** The same for a template whose containers find their room made; undefined where they cannot. */
export function lowerRoom(workload: Workload): LoweredRoom | undefined {
  const late = lateMounts(workload)
  if (!late) return undefined
  const furnishing = new Plan()
  const mounts = prepareMounts(furnishing, workload, NONE, undefined, (mount) => late.includes(mount))
  mounts.prepareInside()
  const made = mounts.attach()
  // Everything else could lead to what is mounted later.
  const early = (path: string) => path.startsWith('/sys/') && !late.some((mount) => isBelow(path, mount.destination))
  hidePaths(furnishing, workload, made, early)

  const plan = new Plan()
  const entry = enterRoom(plan, workload)
  const slots = { ...made }
  const kept: number[] = []
  for (const name of ['empty', 'dev', 'pts'] as const)
    if (made[name] !== NONE) {
      kept.push(made[name])
      slots[name] = plan.inherit(-1)
    }
  ownersLimits(plan, workload)
  entry.enter()
  mountLater(plan, workload, late, slots)
  const { filesAt } = furnish(plan, workload, slots, { template: true }, (path) => !early(path))
  return {
    furnishing,
    own: entry.own,
    kept,
    plan,
    slots,
    filesAt,
    attended: false,
    ownPids: true,
    cloneFlags: entry.cloneFlags,
  }
}

/** What only a process of the container can mount; undefined when a room cannot be made without it. */
function lateMounts(workload: Workload): SpecMount[] | undefined {
  const { rootfs, join, inside, sandbox, stockNetwork, cgroup, spec } = workload
  if (rootfs.kind !== 'overlay' || rootfs.copied || rootfs.writable.kind !== 'memory') return undefined
  if (sandbox || (workload.mountMaps?.size ?? 0) > 0 || cgroup.shown !== undefined) return undefined
  if (inside || join.length > 0 || !hasOwn(workload, 'pid') || stockNetwork !== hasOwn(workload, 'net'))
    return undefined
  const mounts = spec.mounts ?? []
  const late = mounts.filter(({ type = '' }) => type === 'proc' || type.startsWith('cgroup'))
  // Mounted after all others, they must not come to lie over what was to lie over them.
  const hides = mounts.some(({ destination }, i) =>
    late.some(
      (mount) =>
        destination !== mount.destination &&
        (isBelow(destination, mount.destination) ||
          (isBelow(mount.destination, destination) && mounts.indexOf(mount) < i)),
    ),
  )
  return hides || new Set(mounts.map(({ destination }) => destination)).size < mounts.length ? undefined : late
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`)
}

/** Trying things in a child that is gone a moment later; nothing of this process, or of the host, changes. */
import { existsSync, readFileSync } from 'node:fs'
import type { CaissonError, SystemCause } from '../errors.js'
import { addon, type NativeErrand, type NativeErrandRequest } from '../native/addon.js'
import { Plan } from '../runtime/lower/plan.js'
import { MS_REC, PROPAGATION } from '../runtime/options/mount-options.js'
import { NAMESPACES, type NamespaceType } from '../runtime/options/workload.js'
import { explained } from '../runtime/process/namespaces.js'
import { nativeIdMaps } from '../runtime/user/id-maps.js'
import { privileged } from '../util/privileged.js'

export interface Refusal {
  /** As `EPERM`. */
  code: string
  syscall: string
  /** One line for people. */
  text: string
}

export type Trial = { errand: NativeErrand; refusal?: undefined } | { errand?: undefined; refusal: Refusal }

/** The root of a container may have no more rights than others. */
export const isRoot = privileged

const SYNC_MAPS = 1

/** Carries out what `write` puts into a plan. Never throws. */
export async function attempt(write: (plan: Plan) => void, request: Partial<NativeErrandRequest> = {}): Promise<Trial> {
  const plan = new Plan()
  try {
    write(plan)
    plan.add('HOLD', 'doctor')
  } catch (error) {
    plan.abandon()
    return { refusal: refusalOf(error as CaissonError) }
  }
  try {
    const work = addon().errand({ ...request, plan: plan.finish(), inherited: plan.inherited })
    return { errand: await explained(work, plan.notes) }
  } catch (error) {
    return { refusal: refusalOf(error as CaissonError) }
  }
}

export function refusalOf(error: Error): Refusal {
  const cause = error.cause as Partial<SystemCause> | undefined
  return { code: cause?.code ?? '', syscall: cause?.syscall ?? '', text: error.message }
}

export function unshare(plan: Plan, ...types: NamespaceType[]): void {
  const flags = types.reduce((sum, type) => sum + NAMESPACES[type].flag, 0)
  plan.add('UNSHARE', types.join(' '), { numbers: [flags] })
}

/** A user namespace with our own id as its root. */
export function enterUserNamespace(plan: Plan): void {
  unshare(plan, 'user')
  plan.add('SYNC', 'id maps', { numbers: [SYNC_MAPS, 0, 1] })
  plan.add('BECOME_ROOT', 'id maps', { numbers: [1] })
}

/** For plans with `enterUserNamespace`. */
export function ownIdMaps(): Partial<NativeErrandRequest> {
  const own = (id: number | undefined) => [{ containerID: 0, hostID: id ?? 0, size: 1 }]
  const maps = nativeIdMaps({ uidMap: own(process.geteuid?.()), gidMap: own(process.getegid?.()) })
  return { maps: { ...maps, denySetgroups: true } }
}

/** A mount namespace to try mounts in: for root as it is, for others in a user namespace of their own (`mountMaps`). */
export function enterMountNamespace(plan: Plan): void {
  if (!isRoot()) enterUserNamespace(plan)
  unshare(plan, 'mnt')
  plan.add('PROPAGATION', 'mnt', { numbers: [MS_REC | PROPAGATION.private], strings: [''] })
}

export function mountMaps(): Partial<NativeErrandRequest> {
  return isRoot() ? {} : ownIdMaps()
}

/** A directory to mount over, in a mount namespace of our own. */
export function scratchDirectory(): string {
  return ['/mnt', '/tmp', '/srv'].find((directory) => existsSync(directory)) ?? '/usr'
}

/** The text of a kernel setting, or undefined where there is none. */
export function setting(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}

/**
 * Limits that a group did not have when it was made. cgroup v1 has a tree for each controller, and the group's processes
 * are in none that they did not need: so they are moved there, while they are frozen and can make no more of them.
 */
import { rmdir } from 'node:fs/promises'
import { CaissonError } from '../errors.js'
import { addon, type NativeFailure } from '../native/addon.js'
import { errorFromFailure } from '../native/failure.js'
import { freeze, isFrozen } from './freezer.js'
import type { LegacyPlace } from './host.js'
import { perform } from './perform.js'
import type { CgroupPlan } from './plan.js'

/** Makes the directories of `entry`, with their limits, for a group that is about to be moved there. */
export async function makeEntry(entry: CgroupPlan): Promise<void> {
  try {
    await perform(entry.prepare)
  } catch (error) {
    await removeEntry(entry)
    throw error
  }
}

/** All of the group is in `entry` then, with limits and accounts; or none, and there is no `entry` any more. */
export async function enterLate(plan: CgroupPlan, entry: CgroupPlan): Promise<void> {
  const frozen = await isFrozen(plan).catch(() => false)
  try {
    if (!frozen) await freeze(plan, true)
    for (const place of entry.legacy) await moveAll(plan, place)
  } catch (error) {
    await removeEntry(entry)
    throw error
  } finally {
    if (!frozen) await freeze(plan, false)
  }
}

async function moveAll(plan: CgroupPlan, { hierarchy, directory }: LegacyPlace): Promise<void> {
  const group = plan.unified?.directory ?? (plan.legacy[0]?.directory as string)
  try {
    await addon().moveMembers(group, directory, hierarchy.own)
  } catch (failure) {
    const cause = errorFromFailure(failure as NativeFailure)
    throw new CaissonError('ERR_CAISSON_CGROUP', `the group cannot be moved to ${directory}: ${cause.message}`, {
      stage: 'cgroup: procs',
      hint: 'Create the group with a limit of this kind, then update that.',
      cause,
    })
  }
}

async function removeEntry(entry: CgroupPlan): Promise<void> {
  for (const { hierarchy, directory } of entry.legacy) {
    await addon()
      .moveMembers(directory, hierarchy.own, hierarchy.own)
      .catch(() => undefined)
    await rmdir(directory).catch(() => undefined)
  }
}

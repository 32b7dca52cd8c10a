/**
 * Limits that a group did not have when it was made. cgroup v1 has a tree for each controller, and the group's processes
 * are in none that they did not need: so they are moved there, while they are frozen and can make no more of them.
 */
import { readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import { freeze, isFrozen } from './freezer.js'
import type { LegacyPlace } from './host.js'
import { perform } from './perform.js'
import type { CgroupPlan } from './plan.js'

/** Whoever was about to enter the group is frozen with the others when it does. */
const PASSES = 10

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

async function moveAll(plan: CgroupPlan, place: LegacyPlace): Promise<void> {
  const group = plan.unified?.directory ?? (plan.legacy[0]?.directory as string)
  let left: number[] = []
  for (let pass = 0; pass < PASSES; pass++) {
    const inside = new Set(await members(place.directory))
    left = (await members(group)).filter((pid) => !inside.has(pid))
    if (left.length === 0) return
    for (const pid of left) await move(pid, place.directory)
  }
  throw new CaissonError('ERR_CAISSON_CGROUP', `process ${left[0]} cannot be moved to ${place.directory}`, {
    stage: 'cgroup: procs',
    hint: 'Create the group with a limit of this kind, then update that.',
  })
}

/** Processes in a group and below it. */
async function members(directory: string): Promise<number[]> {
  const text = await readFile(path.join(directory, 'cgroup.procs'), 'utf8').catch(() => '')
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
  const below = entries.filter((entry) => entry.isDirectory()).map(({ name }) => members(path.join(directory, name)))
  return [...text.split('\n').filter(Boolean).map(Number), ...(await Promise.all(below)).flat()]
}

async function move(pid: number, directory: string): Promise<void> {
  const file = path.join(directory, 'cgroup.procs')
  await writeFile(file, String(pid)).catch((error: NodeJS.ErrnoException) => {
    // It has ended.
    if (error.code === 'ESRCH') return
    throw new CaissonError('ERR_CAISSON_CGROUP', `process ${pid} cannot be moved to ${directory}: ${error.code}`, {
      stage: 'cgroup: procs',
      hint: 'Create the group with a limit of this kind, then update that.',
      cause: error,
    })
  })
}

async function removeEntry(entry: CgroupPlan): Promise<void> {
  for (const { hierarchy, directory } of entry.legacy) {
    for (const pid of await members(directory)) await move(pid, hierarchy.own).catch(() => undefined)
    await rmdir(directory).catch(() => undefined)
  }
}

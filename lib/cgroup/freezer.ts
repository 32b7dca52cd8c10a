/** Stopping and continuing every process of a group: cgroup.freeze of v2, the freezer hierarchy of v1. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaissonError } from '../errors.js'
import { perform } from './perform.js'
import { type CgroupPlan, nativeCgroup } from './plan.js'

const TIMEOUT = 10_000

/** Resolves when the kernel says that all are frozen, or running again. */
export async function freeze(plan: CgroupPlan, wanted: boolean): Promise<void> {
  const { unified, freezer } = nativeCgroup(plan)
  const stage = 'cgroup: freezer'
  if (!unified && !freezer)
    throw new CaissonError('ERR_CAISSON_LIMIT_UNAVAILABLE', 'nothing can be frozen here: there is no cgroup', {
      stage,
      hint: 'Have a cgroup subtree delegated to this user; "caisson doctor" says how.',
    })
  if (unified) await perform([{ path: path.join(unified, 'cgroup.freeze'), text: wanted ? '1' : '0', stage }])
  else
    await perform([{ path: path.join(freezer as string, 'freezer.state'), text: wanted ? 'FROZEN' : 'THAWED', stage }])
  const now = () =>
    isFrozen(plan).catch((error: NodeJS.ErrnoException) => {
      const message = `the group is gone: ${error.code}`
      const hint = 'Its processes have ended meanwhile.'
      throw new CaissonError('ERR_CAISSON_CGROUP', message, { stage, hint, cause: error })
    })
  for (const deadline = Date.now() + TIMEOUT; (await now()) !== wanted; await sleep(1))
    if (Date.now() > deadline)
      throw new CaissonError('ERR_CAISSON_TIMEOUT', `the group did not ${wanted ? 'freeze' : 'thaw'} in time`, {
        stage,
        hint: 'A process of it may wait in the kernel for a device that does not answer.',
      })
}

/** Rejects when the group is gone. */
export async function isFrozen(plan: CgroupPlan): Promise<boolean> {
  const { unified, freezer } = nativeCgroup(plan)
  if (unified) return /^frozen 1$/m.test(await readFile(path.join(unified, 'cgroup.events'), 'utf8'))
  return (await readFile(path.join(freezer ?? '', 'freezer.state'), 'utf8')).trim() === 'FROZEN'
}

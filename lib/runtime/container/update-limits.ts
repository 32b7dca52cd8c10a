/** New limits for a container that exists. */
import { enterLate, makeEntry } from '../../cgroup/enter-late.js'
import { perform } from '../../cgroup/perform.js'
import { addEntry, type CgroupPlan, planUpdate } from '../../cgroup/plan.js'
import { settingsFromLimits } from '../../cgroup/settings.js'
import { CaissonError } from '../../errors.js'
import type { Limits } from '../../options.js'
import type { Execs } from '../process/exec.js'
import type { Running } from '../process/running.js'
import type { Parts } from './parts.js'

/**
 * At once when it runs, and for every later start, which applies them after the old ones.
 *
 * @param freezing runs what freezes and thaws it while nobody else does.
 */
export async function updateLimits(
  parts: Parts,
  limits: Limits,
  running: Running | undefined,
  execs: Execs,
  freezing: (work: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const { assembled, owner, options } = parts
  if (limits.disk !== undefined)
    throw new CaissonError(
      'ERR_CAISSON_LIMIT_UNAVAILABLE',
      'limits.disk of a container that exists cannot be changed',
      {
        stage: 'options',
        hint: 'Make another container, or keep what may grow in a volume with a size.',
      },
    )
  const settings = settingsFromLimits(limits)
  const { writes, entry } = planUpdate(owner.cgroups, assembled.cgroup, settings)
  const { oomControl } = entry
  const isFirst = oomControl !== undefined && assembled.cgroup.oomControl === undefined
  // Before there is one: memory may run out in the next moment.
  if (running && isFirst) await running.watchOom(oomControl)
  if (running) await perform(writes)
  assembled.cgroup.prepare.push(...writes)
  const enterLater = () => {
    addEntry(assembled.cgroup, entry)
    execs.forget()
  }
  if (entry.legacy.length > 0) {
    if (running) await execs.keepOut(() => freezing(() => enter(assembled.cgroup, entry, running)).then(enterLater))
    else enterLater()
  }
  if (isFirst) assembled.cgroup.oomControl = oomControl
  Object.assign(assembled.settings, settings)
  parts.options = { ...options, limits: { ...options.limits, ...limits } }
}

async function enter(plan: CgroupPlan, entry: CgroupPlan, running: Running): Promise<void> {
  await makeEntry(entry)
  for (const { directory } of entry.legacy) running.addCgroup(directory)
  await enterLate(plan, entry)
}

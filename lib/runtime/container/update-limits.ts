/** New limits for a container that exists. */
import { planUpdate } from '../../cgroup/plan.js'
import { settingsFromLimits } from '../../cgroup/settings.js'
import { CaissonError } from '../../errors.js'
import { addon, type NativeFailure } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import type { Limits } from '../../options.js'
import type { Parts } from './parts.js'

/** At once when it runs, and for every later start, which applies them after the old ones. */
export async function updateLimits(parts: Parts, limits: Limits, running: boolean): Promise<void> {
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
  const writes = planUpdate(owner.cgroups, assembled.cgroup, settings)
  if (running) {
    try {
      await addon().perform(writes)
    } catch (failure) {
      throw errorFromFailure(failure as NativeFailure)
    }
  }
  assembled.cgroup.prepare.push(...writes)
  Object.assign(assembled.settings, settings)
  parts.options = { ...options, limits: { ...options.limits, ...limits } }
}

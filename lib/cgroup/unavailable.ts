/** What to say when a limit cannot be had: what is missing, and how to get it. */
import { CaissonError } from '../errors.js'
import { privileged } from '../util/privileged.js'
import type { CgroupBase } from './base.js'
import { howToDelegate } from './delegate.js'

/** `what` was asked for, as "a memory limit"; `controller` is what it needs. */
export function unavailable(base: CgroupBase, what: string, controller: string): CaissonError {
  return new CaissonError(
    'ERR_CAISSON_LIMIT_UNAVAILABLE',
    `${what} was asked for, and this host gives us no ${controller} controller`,
    { stage: `cgroup: ${controller}`, hint: howToGet(base) },
  )
}

function howToGet({ host, unified }: CgroupBase): string {
  if (host.mode === 'none') return 'Mount a cgroup hierarchy at /sys/fs/cgroup.'
  if (privileged()) {
    const where = unified?.directory ?? host.unified?.own ?? 'any hierarchy'
    return `Make the controller available: it is not in cgroup.controllers of ${where}. Inside a container, start that with its cgroup namespace writable.`
  }
  return howToDelegate(host)
}

/** What to say when a limit cannot be had: what is missing, and how to get it. */
import { CaissonError } from '../errors.js'
import { privileged } from '../util/privileged.js'
import type { CgroupBase } from './base.js'

/** `what` was asked for, as "a memory limit"; `controller` is what it needs. */
export function unavailable(base: CgroupBase, what: string, controller: string): CaissonError {
  return new CaissonError(
    'ERR_CAISSON_LIMIT_UNAVAILABLE',
    `${what} was asked for, and this host gives us no ${controller} controller`,
    { stage: `cgroup: ${controller}`, hint: howToGet(base) },
  )
}

/** Exact commands, for this host and this user. */
export function howToGet({ host, unified }: CgroupBase): string {
  if (host.mode === 'none') return 'Mount a cgroup hierarchy at /sys/fs/cgroup.'
  if (privileged()) {
    const where = unified?.directory ?? host.unified?.own ?? 'any hierarchy'
    return `Make the controller available: it is not in cgroup.controllers of ${where}. Inside a container, start that with its cgroup namespace writable.`
  }
  const user = process.geteuid?.() ?? 0
  if (host.mode === 'unified')
    return `Have controllers delegated: systemd-run --user --scope -p Delegate=yes node ...; for cpu, cpuset and io also, as root: mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload, then log in again. Without systemd, as root: mkdir -p ${host.unified?.mountpoint}/caisson-${user}/main && chown -R ${user} ${host.unified?.mountpoint}/caisson-${user}, and move this shell there: echo $$ > ${host.unified?.mountpoint}/caisson-${user}/main/cgroup.procs.`
  const places = host.legacy.map(({ mountpoint }) => `${mountpoint}/caisson-${user}`)
  if (host.unified) places.push(`${host.unified.mountpoint}/caisson-${user}`)
  return `Have a part of each hierarchy given to this user, and this shell moved there, as root: for d in ${places.join(' ')}; do mkdir -p $d && chown -R ${user} $d && echo PID > $d/cgroup.procs; done, with the shell's process id for PID.`
}

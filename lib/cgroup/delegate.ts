/** How an ordinary user gets cgroups of its own. */
import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'
import { CONTROLLERS } from './controllers.js'
import type { CgroupHost } from './host.js'

const SYSTEMD =
  'systemd-run --user --scope -p Delegate=yes node ...; or for good, as root: mkdir -p /etc/systemd/system/user@.service.d && printf "[Service]\\nDelegate=cpu cpuset io memory pids\\n" > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload, then log in again'

/** The exact commands, for this host, user and process. */
export function howToDelegate(host: CgroupHost): string {
  if (host.mode === 'unified' && existsSync('/run/systemd/system')) return SYSTEMD
  const user = userName()
  const commands: string[] = []
  if (host.unified) {
    const base = path.join(host.unified.mountpoint, 'caisson')
    const names = CONTROLLERS.map(({ name }) => `+${name}`).join(' ')
    // Controllers go to cgroups without processes only; this one has ours beside it.
    commands.push(
      ...(host.mode === 'unified' ? [`echo "${names}" > ${host.unified.mountpoint}/cgroup.subtree_control`] : []),
      `mkdir -p ${base}/app && chown -R ${user} ${base} && echo ${process.pid} > ${base}/app/cgroup.procs`,
    )
  }
  for (const { mountpoint, controllers } of host.legacy) {
    if (!CONTROLLERS.some(({ legacy }) => controllers.includes(legacy))) continue
    const base = path.join(mountpoint, 'caisson')
    // A v1 cpuset is empty at first, and takes no process before it is filled.
    const fill = controllers.includes('cpuset')
      ? ` && for f in cpuset.cpus cpuset.mems; do cat ${mountpoint}/$f > ${base}/$f; done`
      : ''
    commands.push(`mkdir -p ${base}${fill} && chown -R ${user} ${base} && echo ${process.pid} > ${base}/cgroup.procs`)
  }
  return `as root: ${commands.join('; ')}`
}

/** An account may have no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.geteuid?.())
  }
}

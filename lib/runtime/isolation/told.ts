/** What callers are told of a container's isolation: how strong it is, and what it does not keep apart. */

import type { Workload } from '../options/workload.js'
import type { Isolation, Tier } from './isolation.js'

export interface IsolationReport {
  /** namespaces: a container. landlock: programs of the host in Landlock and a filter of system calls. */
  tier: Tier
  /** Whose processes its /proc shows. */
  proc: 'own' | 'outer' | 'none'
  /** Likewise of its /sys: whose network devices. */
  sys: 'own' | 'outer' | 'none'
  /** How its root is made of layers; null: it has none of its own. */
  layers: 'overlay' | 'copy' | null
  /** Version of the kernel's Landlock interface; 0: it has none. */
  landlock: number
  /** Users and groups inside: those of a map, or one alone; null: those of this machine. */
  ids: number | null
  /** What a container usually has and this one has not, each in a sentence. */
  notGuaranteed: readonly string[]
}

export function toldIsolation({ proc, sys, hostname, landlock }: Isolation, workload: Workload): IsolationReport {
  const { sandbox, idMaps, rootfs } = workload
  if (sandbox) {
    const notGuaranteed = sandboxLacks(landlock, sandbox.ownUser)
    return { tier: 'landlock', proc: 'none', sys: 'none', layers: null, landlock, ids: 1, notGuaranteed }
  }
  const notGuaranteed: string[] = []
  const ids = idMaps ? idMaps.uidMap.reduce((sum, { size }) => sum + size, 0) : null
  if (proc === 'outer')
    notGuaranteed.push(
      'Its /proc is the outer container\u2019s, read-only: the names and command lines of processes there can be read, and its own process ids are other ones.',
    )
  if (sys === 'outer')
    notGuaranteed.push('Its /sys is the outer container\u2019s, read-only: it names the network devices there.')
  if (hostname === 'outer' && workload.spec.hostname === undefined)
    notGuaranteed.push('Its host name is the outer container\u2019s.')
  if (ids === 1) notGuaranteed.push('There is one user and one group: all files belong to root inside.')
  const layers = rootfs.kind !== 'overlay' ? null : rootfs.copied ? 'copy' : 'overlay'
  if (layers === 'copy') notGuaranteed.push('Its layers were copied, which takes their space for each container.')
  return { tier: 'namespaces', proc, sys, layers, landlock, ids, notGuaranteed }
}

function sandboxLacks(landlock: number, ownUser: boolean): string[] {
  const lacks = [
    'It has the machine\u2019s processes, host name, clocks and network interfaces; that files and processes exist can be found out.',
    'It has no root of its own: an image but Image.host() does not run.',
    'What it writes lies on the disk of its directory, without a bound of its own.',
  ]
  if (!ownUser)
    lacks.push(
      'It runs as the user of its owner: what Landlock and the filter do not know of reaches that user\u2019s files and processes. Modes, owners, times and attributes of files cannot be changed.',
    )
  if (landlock < 6)
    lacks.push(
      'This kernel\u2019s Landlock (before 6.12) holds no signals: sending any, setsid() and setpgid() are refused.',
    )
  if (landlock < 3) lacks.push('This kernel\u2019s Landlock (before 6.2) does not know truncate(): it is refused.')
  return lacks
}

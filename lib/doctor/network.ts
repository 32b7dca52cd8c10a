/** Programs that connect an ordinary user's networks with the world, and what root's networks may have left. */
import { readdir } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import path from 'node:path'
import { addon } from '../native/addon.js'
import { findUserMode, INSTALL_CURE, TUN_CURE, tunUsable } from '../runtime/user/user-mode.js'
import { roots } from '../util/roots.js'
import { bad, type Finding, ok, type Subject } from './finding.js'
import { isRoot } from './trial.js'

const USER_MODE: Subject = {
  id: 'network.user-mode',
  what: 'user-mode networking',
  why: 'Bridge networks of an ordinary user lead to the world through pasta or slirp4netns; internal ones need neither.',
}

export function examineNetwork(): Finding {
  if (isRoot()) return ok(USER_MODE, 'root needs none')
  const program = findUserMode()
  if (!program) return bad(USER_MODE, 'warning', 'neither pasta nor slirp4netns is installed', INSTALL_CURE)
  if (!tunUsable()) return bad(USER_MODE, 'warning', `${program.name} may not use /dev/net/tun`, TUN_CURE)
  return ok(USER_MODE, program.file)
}

const BRIDGES: Subject = {
  id: 'network.bridges',
  what: 'bridges of networks',
  why: 'A bridge goes with the last process that uses its network, or with the next start; for that the directory must be there.',
}

/** A bridge says nothing of its directory of state: whoever uses another one may need it, so it is told and not removed. */
export async function examineBridges(): Promise<Finding | undefined> {
  if (!isRoot()) return undefined
  const devices = await addon()
    .network.taken()
    .catch(() => [])
  const known = await readdir(path.join(roots().run, 'networks')).catch((): string[] => [])
  // Without anybody on it a bridge has no carrier, and is not among these.
  const used = networkInterfaces()
  const left = [...new Set(devices.map(({ device }) => device))].filter((device) => {
    const [, id] = /^cnb-([0-9a-f]{8})$/.exec(device) ?? []
    return id !== undefined && !used[device] && !known.some((each) => each.startsWith(id))
  })
  if (left.length === 0) return ok(BRIDGES)
  const fix = left.map((device) => `ip link delete ${device}`).join('; ')
  const detail = `nobody is on ${left.join(', ')}, which no network of ${roots().run} has`
  return bad(BRIDGES, 'warning', detail, `${fix} (unless a process with another CAISSON_ROOT uses them)`)
}

/** Programs that connect an ordinary user's networks with the world. */
import { findUserMode, INSTALL_CURE, TUN_CURE, tunUsable } from '../runtime/user/user-mode.js'
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

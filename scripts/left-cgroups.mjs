// Cgroups that bear our name and whose owner is dead, in every hierarchy and at every depth.
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The watchdog of a killed owner may be at work, and the kernel be busy with the last process. */
const PATIENCE = 5000

/** A directory that bears our name, but not what is below it. */
function ours(at) {
  try {
    return readdirSync(at, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap(({ name }) => (name.includes('caisson') ? [path.join(at, name)] : ours(path.join(at, name))))
  } catch {
    return [] // somebody else's, gone meanwhile
  }
}

/** As `caisson-PID-ID`, or `caisson-test-PID`. */
function ownerLives(directory) {
  const pid = /-(\d+)(-|$)/.exec(path.basename(directory))?.[1]
  return pid !== undefined && existsSync(`/proc/${pid}`)
}

/** Those of now. */
export function ownCgroups() {
  return new Set(ours('/sys/fs/cgroup'))
}

/** Those that came since and stay. */
export async function leftSince(before) {
  for (const until = Date.now() + PATIENCE; ; await sleep(100)) {
    const left = [...ownCgroups()].filter((directory) => !before.has(directory) && !ownerLives(directory))
    if (left.length === 0 || Date.now() > until) return left
  }
}

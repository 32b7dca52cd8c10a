/** Processes of ours that others may kill: whether they are there, before we are told. */
import { readFileSync } from 'node:fs'
import { addon } from '../../native/addon.js'
import { awake } from '../../util/awake.js'
import type { Running } from '../process/running.js'

/** proc_pid_fdinfo(5); -1: it has ended. */
export function pidOf(running: Running): number {
  const fd = running.pidfd()
  if (fd < 0) return -1
  try {
    const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
    return Number(/^Pid:\s*(-?\d+)$/m.exec(text)?.[1])
  } finally {
    addon().closeFd(fd)
  }
}

/** true: it has ended, and everybody who waits for that was told. */
export async function settled(running: Running): Promise<boolean> {
  if (isAlive(pidOf(running))) return false
  await awake(running.ended)
  return true
}

/** One that nobody has waited for yet is dead, too. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

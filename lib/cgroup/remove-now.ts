/** Ending what is in cgroups and removing them at once, where nobody is left to do it later. */
import { readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** Milliseconds that the kernel is given until the last process has left. */
const PATIENCE = 500
const PAUSE = 2

/** Nothing is thrown: what cannot be removed is swept by the next owner. */
export function removeNow(directories: readonly string[]): void {
  const left = new Set(directories)
  for (const until = Date.now() + PATIENCE; left.size > 0 && Date.now() < until; ) {
    for (const directory of left) if (removed(directory)) left.delete(directory)
    if (left.size > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE)
  }
}

/** With all below it. */
function removed(directory: string): boolean {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory()) removed(path.join(directory, entry.name))
    kill(directory)
    rmdirSync(directory)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

function kill(directory: string): void {
  const members = readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
  if (members.length === 0) return
  try {
    // A frozen one of v1 would ignore it.
    writeFileSync(path.join(directory, 'freezer.state'), 'THAWED', { flag: 'r+' })
  } catch {
    // It freezes nothing.
  }
  for (const pid of members)
    try {
      // 0: not in our namespace, so that it would be our own group that gets it.
      if (pid > 0) process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
}

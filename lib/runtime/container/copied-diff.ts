/** What has changed in a root that was copied: it differs from the layers by more than what the container did. */
import type { Stats } from 'node:fs'
import { lstat, readlink } from 'node:fs/promises'
import path from 'node:path'
import type { Change } from '../../layer/diff.js'

/**
 * `changes` compares the copy with the layers file by file; those that are as they were copied are left out. `root`: a
 * directory of this process's. What it may not look at counts as changed.
 */
export async function withoutCopies(
  changes: readonly Change[],
  root: string,
  lowers: readonly string[],
): Promise<Change[]> {
  const kept: Change[] = []
  const above = new Set<string>()
  // From the last path on, so that what is in a directory comes before it.
  for (const change of [...changes].reverse()) {
    const inside = above.has(change.path)
    if (!inside && change.kind === 'modified' && (await isCopy(change.path, root, lowers))) continue
    kept.push(change)
    for (let at = path.dirname(change.path); at !== '/'; at = path.dirname(at)) above.add(at)
  }
  return kept.reverse()
}

async function isCopy(at: string, root: string, lowers: readonly string[]): Promise<boolean> {
  const copy = await lstat(path.join(root, at)).catch(() => undefined)
  for (const lower of lowers) {
    const original = await lstat(path.join(lower, at)).catch(() => undefined)
    if (!copy || !original) continue
    if (!alike(copy, original)) return false
    if (!copy.isSymbolicLink()) return true
    return (await readlink(path.join(root, at))) === (await readlink(path.join(lower, at)))
  }
  return false
}

/** A directory's times change with its entries, which are changes of their own. */
function alike(copy: Stats, original: Stats): boolean {
  const same = copy.mode === original.mode && copy.uid === original.uid && copy.gid === original.gid
  return same && (copy.isDirectory() || (copy.size === original.size && copy.mtimeMs === original.mtimeMs))
}

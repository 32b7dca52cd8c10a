/**
 * What `RUN --mount=type=cache` keeps between builds: a directory for each id, below the data of this user.
 *
 *     cache-mounts/NAME/content    NAME: a hash of the id; with a number behind it for private ones that were in use
 *     cache-mounts/NAME.lock       held by whoever uses it
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, stat, utimes } from 'node:fs/promises'
import path from 'node:path'
import { removeTree } from '../layer/tree.js'
import { isMissing } from '../store/files.js'
import { type Lock, takeLock, tryLock } from '../store/lock.js'
import { roots } from '../util/roots.js'
import { usageOf } from '../volume/store.js'
import type { Mount } from './dockerfile/plan-types.js'
import type { Workspace } from './workspace.js'

type CacheMount = Mount & { type: 'cache' }

const topIn = (data: string) => path.join(data, 'cache-mounts')

/** All builds that name the same id share it, as the mode of sharing says. `fill`: makes `content` in a new directory. */
export async function cacheDirectory(
  space: Workspace,
  mount: CacheMount,
  fill: (directory: string) => Promise<void>,
): Promise<{ directory: string; lock: Lock }> {
  const top = topIn(roots().data)
  // Only we may pass: what commands leave there may be set-id programs.
  await mkdir(top, { recursive: true, mode: 0o700 })
  const name = createHash('sha256').update(mount.id).digest('hex')
  const { lock, at } = await lockCache(space, path.join(top, name), mount.sharing)
  try {
    const directory = path.join(at, 'content')
    if (!(await stat(directory).catch(() => undefined))) await fillCache(space, at, fill)
    const now = new Date()
    await utimes(at, now, now)
    return { directory, lock }
  } catch (error) {
    lock.release()
    throw error
  }
}

async function lockCache(
  { signal }: Workspace,
  at: string,
  sharing: 'shared' | 'private' | 'locked',
): Promise<{ lock: Lock; at: string }> {
  if (sharing !== 'private')
    return { at, lock: await takeLock(`${at}.lock`, { exclusive: sharing === 'locked', signal }) }
  for (let copy = 0; ; copy++) {
    const place = copy === 0 ? at : `${at}-${copy}`
    const lock = await tryLock(`${place}.lock`, true)
    if (lock) return { at: place, lock }
  }
}

async function fillCache(space: Workspace, at: string, fill: (directory: string) => Promise<void>): Promise<void> {
  const beside = await space.path()
  await mkdir(beside, { mode: 0o700 })
  await fill(beside)
  await rename(beside, at).catch(async (error: NodeJS.ErrnoException) => {
    // Another that shares it was quicker.
    if (!['ENOTEMPTY', 'EEXIST'].includes(error.code ?? '')) throw error
  })
}

export interface KeptMount {
  bytes: number
  /** When a command had it last. */
  used: Date
  /** false: a command has it, and it stays. */
  remove(): Promise<boolean>
}

const NAME = /^[0-9a-f]{64}(?:-\d+)?$/
const GONE = '.gone-'

/** All of them; what was left of one that was being removed goes now. */
export async function listCacheMounts(data: string): Promise<KeptMount[]> {
  const top = topIn(data)
  const names = await readdir(top).catch((error) => {
    if (isMissing(error)) return []
    throw error
  })
  const mounts: KeptMount[] = []
  for (const name of names) {
    const at = path.join(top, name)
    if (name.includes(GONE)) await removeTree(at)
    const status = NAME.test(name) ? await stat(at).catch(() => undefined) : undefined
    if (!status) continue
    mounts.push({ bytes: (await usageOf(at)).bytes, used: status.mtime, remove: () => removeMount(at) })
  }
  return mounts
}

async function removeMount(at: string): Promise<boolean> {
  const lock = await tryLock(`${at}.lock`, true)
  if (!lock) return false
  try {
    const gone = `${at}${GONE}${randomBytes(8).toString('hex')}`
    await rename(at, gone)
    await removeTree(gone)
  } catch (error) {
    lock.release()
    // Another was quicker.
    if (isMissing(error)) return false
    throw error
  }
  await lock.remove()
  return true
}

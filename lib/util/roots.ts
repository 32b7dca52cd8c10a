/** Where caisson keeps things on this machine. */
import { existsSync, statfsSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import { checkWriters } from './writers.js'

/** statfs(2). */
const PROC_SUPER_MAGIC = 0x9fa0

export interface Roots {
  /** What lasts: images, volumes, writable layers. */
  data: string
  /** What does not survive a restart of the machine: state of running containers. */
  run: string
}

/**
 * CAISSON_ROOT for both; else /var/lib and /run for root, the XDG directories for others. Throws
 * ERR_CAISSON_INVALID_ARGUMENT for a place where nothing can ever be kept, and ERR_CAISSON_PERMISSION for one where others
 * may write.
 */
export function roots(env: NodeJS.ProcessEnv = process.env, uid = process.getuid?.() ?? 0): Roots {
  const found = find(env, uid)
  for (const [what, directory] of Object.entries(found)) if (!possible.has(directory)) check(what, directory)
  return found
}

const possible = new Set<string>()

/**
 * Below /proc nothing can be made, and mkdir says that the directory above is missing: Node, which then makes that, would
 * go on for ever. What is above may be a link or a mount, so what counts is the file system of what is there.
 */
function check(what: string, directory: string): void {
  let above = directory
  while (!existsSync(above) && above !== path.dirname(above)) above = path.dirname(above)
  if (statfsSync(above).type === PROC_SUPER_MAGIC)
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `${directory}, for ${what}, is on a proc file system`, {
      stage: 'start',
      hint: 'Set CAISSON_ROOT to a directory on a disk.',
    })
  checkWriters(directory, what)
  // One that is not there yet may be made by somebody else.
  if (above === directory) possible.add(directory)
}

function find(env: NodeJS.ProcessEnv, uid: number): Roots {
  const forced = env.CAISSON_ROOT
  if (forced) return { data: path.resolve(forced), run: path.join(path.resolve(forced), 'run') }
  if (uid === 0) return { data: '/var/lib/caisson', run: '/run/caisson' }
  const data = env.XDG_DATA_HOME || path.join(homedir(), '.local/share')
  const run = env.XDG_RUNTIME_DIR || path.join(data, 'caisson')
  return { data: path.join(data, 'caisson'), run: path.join(run, env.XDG_RUNTIME_DIR ? 'caisson' : 'run') }
}

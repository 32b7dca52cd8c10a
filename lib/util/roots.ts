/** Where caisson keeps things on this machine. */
import { homedir } from 'node:os'
import path from 'node:path'

export interface Roots {
  /** What lasts: images, volumes, writable layers. */
  data: string
  /** What does not survive a restart of the machine: state of running containers. */
  run: string
}

/** CAISSON_ROOT for both; else /var/lib and /run for root, the XDG directories for others. */
export function roots(env: NodeJS.ProcessEnv = process.env, uid = process.getuid?.() ?? 0): Roots {
  const forced = env.CAISSON_ROOT
  if (forced) return { data: path.resolve(forced), run: path.join(path.resolve(forced), 'run') }
  if (uid === 0) return { data: '/var/lib/caisson', run: '/run/caisson' }
  const data = env.XDG_DATA_HOME || path.join(homedir(), '.local/share')
  const run = env.XDG_RUNTIME_DIR || path.join(data, 'caisson')
  return { data: path.join(data, 'caisson'), run: path.join(run, env.XDG_RUNTIME_DIR ? 'caisson' : 'run') }
}

/** The command `caisson`, as built. */
import { spawnSync } from 'node:child_process'
import path from 'node:path'

export const CLI = path.resolve('dist/cli.cjs')

export function caisson(args: readonly string[], options: { input?: string; env?: NodeJS.ProcessEnv } = {}) {
  const { input, env } = options
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    input,
    encoding: 'utf8',
    env: { ...process.env, NODE_DEBUG: '', ...env },
  })
  return { status, stdout, stderr }
}

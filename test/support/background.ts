/** Programs that stay in the background while a test looks at them. */
import { readlinkSync } from 'node:fs'
import { type Execution, type Image, type NamespaceType, type RunOptions, run } from '../../lib/index.js'

export const TYPES: readonly NamespaceType[] = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']

export interface Background extends AsyncDisposable {
  pid: number
  execution: Execution
}

/** Runs `script` in a container and resolves when it has printed something; disposed: killed. */
export async function background(image: Image, script: string, options: RunOptions = {}): Promise<Background> {
  const execution = run(image, ['sh', '-c', script], options)
  const ended = execution.catch(() => undefined)
  await Promise.race([
    new Promise((resolve) => execution.stdout.once('data', resolve)),
    execution.then((result) => Promise.reject(new Error(`ended early: ${result.stderr}`))),
  ])
  return {
    pid: await execution.pid,
    execution,
    async [Symbol.asyncDispose]() {
      execution.kill()
      await ended
    },
  }
}

/** Inode by kind, as the host sees the namespaces of a process. */
export function namespacesOf(pid: number | 'self'): Record<NamespaceType, number> {
  const entries = TYPES.map((type) => [type, Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/${type}`))?.[0])])
  return Object.fromEntries(entries) as Record<NamespaceType, number>
}

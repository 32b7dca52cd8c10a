/** Other runtimes, given the bundles that we write. */
import { execFileSync, spawnSync } from 'node:child_process'
import { isRoot } from './needs.js'

export type Peer = 'runc' | 'crun'

/** For testIf. */
export const noPeers = !isRoot && 'other runtimes would need a system manager to give them a cgroup'

/** Runs a bundle to its end. crun 1.8 refuses hybrid hosts with a controller left on v2; it sees those of v1 alone. */
export function runBundle(peer: Peer, bundle: string): { stdout: string; stderr: string; status: number | null } {
  const id = `caisson-test-${process.pid}-${Math.random().toString(36).slice(2)}`
  const hide = peer === 'crun' ? 'umount /sys/fs/cgroup/unified 2>/dev/null;' : ''
  const result = spawnSync('unshare', ['-m', 'sh', '-c', `${hide} exec ${peer} run -b "$0" ${id}`, bundle], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  if (result.error) execFileSync(peer, ['delete', '--force', id], { stdio: 'ignore' })
  const { stdout, stderr, status } = result
  return { stdout, stderr, status }
}

/** Whether we are in a container ourselves: much of what is missing is then the outer engine's choice. */
import { existsSync, readlinkSync } from 'node:fs'
import { type Finding, ok, type Subject } from './finding.js'
import { setting } from './trial.js'

const CONTAINER: Subject = {
  id: 'environment.container',
  what: 'where this process runs',
  why: 'Inside a container, its engine decides what is allowed; the fixes above then name its options.',
}

/** Inodes of the first namespaces of a machine (include/linux/proc_ns.h). */
const FIRST: Record<string, number> = {
  ipc: 0xefffffff,
  uts: 0xeffffffe,
  user: 0xeffffffd,
  pid: 0xeffffffc,
  cgroup: 0xeffffffb,
}

const MARKS: Array<[file: string, engine: string]> = [
  ['/.dockerenv', 'Docker'],
  ['/run/.containerenv', 'Podman'],
  ['/run/host/container-manager', 'systemd-nspawn'],
  ['/dev/lxd', 'LXD'],
  ['/var/run/secrets/kubernetes.io', 'Kubernetes'],
]

/** The names of namespaces that are not the machine's own. */
function innerNamespaces(): string[] {
  return Object.entries(FIRST)
    .filter(([type, inode]) => {
      try {
        return readlinkSync(`/proc/self/ns/${type}`) !== `${type}:[${inode}]`
      } catch {
        return false
      }
    })
    .map(([type]) => type)
}

export function examineEnvironment(): { finding: Finding; container: boolean } {
  const inner = innerNamespaces()
  const engine =
    MARKS.find(([file]) => existsSync(file))?.[1] ??
    (setting('/proc/sys/kernel/osrelease')?.includes('WSL') ? 'WSL' : process.env.container)
  const about = [engine, inner.length > 0 ? `own ${inner.join(', ')} namespace` : ''].filter(Boolean).join(', ')
  // A machine can be made from an image, and has its marks then.
  const container = inner.length > 0
  const detail = container
    ? `a container (${about})`
    : engine && engine !== 'WSL'
      ? `not a container (marks of ${engine}, but the machine's own namespaces)`
      : (engine ?? 'not a container')
  return { finding: ok(CONTAINER, detail), container }
}

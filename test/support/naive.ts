/**
 * What a runtime does that takes paths of an image for paths: a root, a procfs, and then commands in it. Attacks on such
 * a runtime show that what is refused elsewhere is an attack.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { isRoot } from './needs.js'
import { scratch } from './tree.js'

const APPLETS = ['cat', 'chroot', 'id', 'ls', 'mkdir', 'mount', 'mv', 'readlink', 'sh', 'sleep', 'stat', 'su', 'test']

export interface HostileRoot {
  root: string
  /** A directory of the host beside it. */
  outside: string
}

/** A root with a shell, and what `make` does to it. */
export function hostileRoot(
  make: (root: string, outside: string) => void = () => undefined,
  above = scratch(),
): HostileRoot {
  const [root, outside] = [path.join(above, 'root'), path.join(above, 'outside')]
  for (const directory of [path.join(root, 'bin'), path.join(root, 'etc'), outside])
    mkdirSync(directory, { recursive: true })
  cpSync('/bin/busybox', path.join(root, 'bin/busybox'))
  for (const applet of [...APPLETS, 'tty']) symlinkSync('busybox', path.join(root, 'bin', applet))
  make(root, outside)
  return { root, outside }
}

/**
 * Runs a shell in `root`, as root there, with its /proc mounted by name. Its mounts are in a namespace of their own and
 * end with it.
 */
export function naively(root: string, script: string): string {
  const owner = isRoot ? [] : ['--user', '--map-root-user']
  const inside = '[ -L "$0/proc" ] || mkdir -p "$0/proc"; exec chroot "$0" /bin/sh -c "mount -t proc proc /proc; $1"'
  const { stdout, stderr } = spawnSync(
    'unshare',
    [
      ...owner,
      '--mount',
      ...['--propagation', 'private', '--pid', '--fork', '--kill-child'],
      ...['/bin/sh', '-c', inside, root, script],
    ],
    { encoding: 'utf8', timeout: 20_000, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } },
  )
  return `${stdout}${stderr}`.trim()
}

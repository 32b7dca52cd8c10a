/**
 * The host's own programs as an image: an allow-list of its /usr, read-only, and an /etc that is made up.
 *
 * Nothing of /root, /home, /var, /run, no keys and no environment: what is not listed here does not exist inside.
 */
import { createHash } from 'node:crypto'
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import path from 'node:path'
import type { HostTree } from '../runtime/options/workload.js'
import { storeError } from '../store/failure.js'

/** Shown as they are. Distributions that have merged the others into /usr have links in their place. */
const SHOWN = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']

/** Parts of /usr that hold an administrator's own files. */
const HIDDEN = ['/usr/local/etc', '/usr/local/src', '/usr/src', '/usr/etc']

/** Of /etc, what programs need to run. Copied, and only what every user of the host may read. */
const ETC = [
  'alternatives',
  'ca-certificates',
  'debian_version',
  'alpine-release',
  'fonts',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'magic',
  'mime.types',
  'os-release',
  'perl',
  'pki/ca-trust/extracted',
  'pki/tls/certs',
  'protocols',
  'services',
  'ssl/certs',
  'ssl/openssl.cnf',
  'terminfo',
  'timezone',
]
const ETC_PATTERNS = [/^java-[\w.-]+$/, /^python[\d.]+$/]

const MADE_UP: Record<string, string> = {
  '/etc/passwd': `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
  '/etc/group': `root:x:0:
daemon:x:1:
bin:x:2:
tty:x:5:
nogroup:x:65534:
`,
  '/etc/nsswitch.conf': `passwd: files
group: files
hosts: files dns
services: files
protocols: files
`,
}

const DIRECTORIES = [
  '/dev',
  '/etc',
  '/home',
  '/mnt',
  '/opt',
  '/proc',
  '/run',
  '/srv',
  '/sys',
  '/var/cache',
  '/var/lib',
  '/var/log',
]

/** Every container mounts its own over these. */
const PLACES = ['/etc/hostname', '/etc/hosts', '/etc/resolv.conf']

const ENTRIES_MAX = 20_000
const FILE_MAX = 16 * 1024 * 1024

export interface HostRoot {
  /** A directory with all but the trees; never changed, named after what it was made of. */
  skeleton: string
  trees: HostTree[]
  hidden: string[]
  /** The paths of this machine that it shows, for programs that no root can be put together for. */
  shown: string[]
  digest: string
}

interface Entry {
  at: string
  kind: 'directory' | 'file' | 'link'
  target: string
  /** What tells a changed file from the same one. */
  version: string
}

/** Looks at the host and makes (or finds) the skeleton below `directory`. */
export async function hostRoot(directory: string): Promise<HostRoot> {
  const trees: HostTree[] = []
  const entries: Entry[] = []
  for (const at of SHOWN) {
    const status = await lstat(at).catch(() => undefined)
    if (status?.isSymbolicLink()) entries.push({ at, kind: 'link', target: await readlink(at), version: '' })
    else if (status?.isDirectory()) trees.push({ source: at, target: at })
  }
  const shown: string[] = []
  const matching = (await readdir('/etc')).filter((name) => ETC_PATTERNS.some((pattern) => pattern.test(name)))
  for (const name of [...ETC, ...matching]) {
    const at = `/etc/${name}`
    const before = entries.length
    const all = await collect(at, entries)
    if (entries[before]?.kind === 'link') continue
    if (all) shown.push(at)
    else shown.push(...entries.slice(before).flatMap(({ at, kind }) => (kind === 'file' ? [at] : [])))
  }

  const hidden: string[] = []
  for (const at of HIDDEN) if (await stat(at).catch(() => undefined)) hidden.push(at)
  for (const { source } of trees) shown.push(...(await without(source, hidden)))
  const digest = createHash('sha256')
    .update(JSON.stringify({ form: 2, trees, entries, MADE_UP }))
    .digest('hex')
  const skeleton = path.join(directory, digest)
  if (!(await stat(skeleton).catch(() => undefined)))
    await makeSkeleton(directory, skeleton, trees, entries).catch((error) => {
      throw storeError(error, 'the root of the host image cannot be made')
    })
  return { skeleton, trees, hidden, shown, digest: `sha256:${digest}` }
}

/** A directory, or what is in it, when something below it is not to be seen. */
async function without(directory: string, hidden: readonly string[]): Promise<string[]> {
  const below = hidden.filter((at) => at.startsWith(`${directory}/`))
  if (below.length === 0) return hidden.includes(directory) ? [] : [directory]
  const entries = await readdir(directory, { withFileTypes: true })
  const paths = entries.filter((entry) => !entry.isSymbolicLink()).map(({ name }) => path.join(directory, name))
  return (await Promise.all(paths.map((at) => without(at, hidden)))).flat()
}

/** What others may not read is left out, with all below it; then it is false. */
async function collect(at: string, entries: Entry[]): Promise<boolean> {
  const status = await lstat(at).catch(() => undefined)
  if (!status || entries.length >= ENTRIES_MAX) return false
  if (status.isSymbolicLink()) {
    entries.push({ at, kind: 'link', target: await readlink(at), version: '' })
    return true
  }
  const version = `${status.mtimeMs}:${status.size}:${status.ino}`
  if (status.isDirectory() && (status.mode & 0o005) === 0o005) {
    entries.push({ at, kind: 'directory', target: '', version: '' })
    let all = true
    for (const name of (await readdir(at)).sort()) all = (await collect(path.join(at, name), entries)) && all
    return all
  }
  if (!status.isFile() || !(status.mode & 0o004) || status.size > FILE_MAX) return false
  entries.push({ at, kind: 'file', target: '', version })
  return true
}

/** Beside its place first, then renamed: another process sees it whole or not at all. */
async function makeSkeleton(directory: string, skeleton: string, trees: HostTree[], entries: Entry[]): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o711 })
  const root = await mkdtemp(path.join(directory, '.new-'))
  const inside = (at: string) => path.join(root, at)
  await chmod(root, 0o755)
  for (const at of [...DIRECTORIES, ...trees.map((tree) => tree.target)]) await mkdir(inside(at), { recursive: true })
  await mkdir(inside('/root'), { mode: 0o700 })
  for (const at of ['/tmp', '/var/tmp']) {
    await mkdir(inside(at), { recursive: true })
    await chmod(inside(at), 0o1777)
  }
  await symlink('/run', inside('/var/run'))
  for (const { at, kind, target } of entries) {
    await mkdir(path.dirname(inside(at)), { recursive: true })
    if (kind === 'directory') await mkdir(inside(at), { recursive: true })
    else if (kind === 'link') await symlink(target, inside(at))
    else await copyFile(at, inside(at))
  }
  for (const at of PLACES) await writeFile(inside(at), '')
  for (const [at, content] of Object.entries(MADE_UP)) await writeFile(inside(at), content)
  await rename(root, skeleton).catch(async (error: NodeJS.ErrnoException) => {
    await rm(root, { recursive: true, force: true })
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

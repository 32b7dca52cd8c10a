/** Walks a directory of the host. What .dockerignore leaves out is not looked at, so it may be anything. */
import { constants, lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs'
import { IgnoreMatcher, type MatchState } from '../dockerfile/ignore.js'
import type { Entry } from './entry.js'
import { FaultAt, setFault } from './fault.js'
import { at, HostFiles, identityOf } from './host-files.js'

interface Level {
  path: string
  ignored?: MatchState
  /** Directories above that are left out, unless something in them is not. */
  waiting: Entry[]
}

const KINDS: Record<number, Entry['kind']> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'directory',
  [constants.S_IFLNK]: 'symlink',
  [constants.S_IFIFO]: 'fifo',
  [constants.S_IFCHR]: 'character',
  [constants.S_IFBLK]: 'block',
}

export function scan({ root, ignore: patterns }: { root: string; ignore: readonly string[] }): Entry[] {
  const files = setFault(root, () => new HostFiles(root))
  const ignore = patterns.length > 0 ? new IgnoreMatcher(patterns) : undefined
  const entries: Entry[] = []
  const levels: Level[] = [{ path: '', waiting: [] }]
  const listed = new Set<Entry>()
  try {
    for (let level = levels.pop(); level; level = levels.pop()) {
      const directory = openDirectory(files, level.path)
      if (directory === undefined) continue
      for (const name of setFault(level.path, () => readdirSync(`/proc/self/fd/${directory}`))) {
        const path = level.path === '' ? name : `${level.path}/${name}`
        const match = ignore?.walk(path, level.ignored)
        if (match?.matches && !ignore?.mayHoldException(path)) continue
        const entry = look(root, directory, name, path)
        if (!entry) continue
        let { waiting } = level
        if (match?.matches) waiting = [...waiting, entry]
        else
          for (const each of [...waiting, entry])
            if (!listed.has(each)) {
              listed.add(each)
              entries.push(each)
            }
        if (entry.kind === 'directory') levels.push({ path, ignored: match?.state, waiting })
      }
    }
    return entries
  } finally {
    files.close()
  }
}

/** undefined: it has vanished. */
function openDirectory(files: HostFiles, path: string): number | undefined {
  try {
    return files.directory(path)
  } catch (error) {
    if (path !== '' && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as FaultAt).fault?.code ?? '')) return undefined
    throw error
  }
}

/** undefined: it has vanished, or is a socket, which nothing can copy. */
function look(root: string, directory: number, name: string, path: string): Entry | undefined {
  if (name.includes('\ufffd'))
    throw new FaultAt({ message: `the name of ${JSON.stringify(path)} is not UTF-8: leave it out`, path })
  return setFault(path, () => {
    const status = lstatSync(at(directory, name), { throwIfNoEntry: false })
    const kind = status && KINDS[status.mode & constants.S_IFMT]
    if (!status || !kind) return undefined
    const entry: Entry = {
      path,
      kind,
      mode: status.mode & 0o7777,
      // A context belongs to nobody of the image's users.
      uid: 0,
      gid: 0,
      mtime: Math.floor(status.mtimeMs / 1000),
      size: kind === 'file' ? status.size : 0,
    }
    if (kind === 'file') entry.content = { kind: 'host', root, path, identity: identityOf(status) }
    if (kind === 'symlink') entry.target = readlinkSync(at(directory, name))
    if (kind === 'character' || kind === 'block') entry.device = deviceOf(status)
    return entry
  })
}

/** As makedev(3) of the kernel packs them. */
function deviceOf({ rdev }: Stats): [number, number] {
  return [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)]
}

/**
 * Namespaces that all processes of an ordinary user share (one CAISSON_ROOT): the user namespace of their containers, and
 * the network namespace that their networks are in. Descriptors of these processes are all that holds them. Each process
 * writes down which descriptors it has, and others open them by /proc: so whoever comes finds the namespaces as long as
 * anybody has them, and when the last one has ended, in whatever way, they are gone.
 */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { addon } from '../../native/addon.js'
import { makeDirectories } from '../../util/directories.js'
import { roots } from '../../util/roots.js'
import type { NamespaceHandle } from '../process/namespaces.js'
import { type IdMapPair, idMapText } from './id-maps.js'

type Shared = 'user' | 'net'

/** What a process has; `user` and `net` are its descriptors. */
interface Entry {
  pid: number
  /** The pid and user namespaces that it is in: from others its number means somebody else, or what it has cannot be entered. */
  within: string
  /** Of the user namespace, as text of the kernel's. */
  maps: string
  user: Held
  net?: Held
}

interface Held {
  fd: number
  inode: number
}

/** Milliseconds that others may keep us waiting; then we share nothing. */
const PATIENCE = 5000
const LOOK_EVERY = 5

const NAME = `${process.pid}-${randomBytes(4).toString('hex')}`
const directory = () => path.join(roots().run, 'spaces')

/** Ours, which whoever cleans up after us removes. */
export const spacesFile = () => path.join(directory(), NAME)

/** A lock of whoever connects the network namespace with the world. */
export const worldLock = () => path.join(directory(), 'world.lock')

let own: Entry | undefined

/** That of another process with the same maps, or the one that `make` gives. */
export async function shareUser(idMaps: IdMapPair, make: () => Promise<NamespaceHandle>): Promise<NamespaceHandle> {
  const maps = `${idMapText(idMaps.uidMap)}\n${idMapText(idMaps.gidMap)}`
  return share('user', make, {
    fits: (other) => other.maps === maps,
    publish: (user) => publish({ pid: process.pid, within: within(), maps, user }),
  })
}

/** The one that belongs to our user namespace. */
export async function shareNetwork(make: () => Promise<NamespaceHandle>): Promise<NamespaceHandle> {
  return share('net', make, {
    fits: ({ user }) => user.inode === own?.user.inode,
    publish(net) {
      if (own) publish({ ...own, net })
    },
  })
}

/** Processes of this user whose networks are elsewhere: their user namespace could not be shared, or not be found. */
export function apartFrom(): number[] {
  return readEntries()
    .filter(({ net, pid }) => net !== undefined && net.inode !== own?.net?.inode && pid !== process.pid)
    .map(({ pid }) => pid)
}

interface Sharing {
  fits(other: Entry): boolean
  publish(held: Held): void
}

/** Making takes longer than looking, so others look meanwhile; the one that is found first is everybody's. */
async function share(
  type: Shared,
  make: () => Promise<NamespaceHandle>,
  { fits, publish }: Sharing,
): Promise<NamespaceHandle> {
  let made: NamespaceHandle | undefined
  for (;;) {
    const shared = await alone(() => {
      const handle = find(type, fits) ?? made
      if (handle) publish({ fd: handle.fd, inode: handle.inode })
      return handle
    })
    if (shared) {
      if (made && made !== shared) addon().closeFd(made.fd)
      return shared
    }
    if (made) return made
    made = await make()
  }
}

/** undefined as well where nobody can write anything down. `work` must not wait: others do. */
async function alone<T>(work: () => T): Promise<T | undefined> {
  let lock = -1
  try {
    await makeDirectories(directory(), 0o711)
    const file = path.join(directory(), 'spaces.lock')
    for (const end = Date.now() + PATIENCE; lock < 0; ) {
      lock = await addon().lock(file, true, false)
      if (lock >= 0) break
      if (Date.now() > end) return undefined
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY))
    }
    return work()
  } catch {
    return undefined
  } finally {
    if (lock >= 0) addon().closeFd(lock)
  }
}

function publish(entry: Entry): void {
  const beside = path.join(directory(), `new-${NAME}`)
  writeFileSync(beside, JSON.stringify(entry), { mode: 0o600 })
  renameSync(beside, spacesFile())
  own = entry
}

function readEntries(): Entry[] {
  let names: string[] = []
  try {
    names = readdirSync(directory()).filter((name) => /^\d+-[0-9a-f]{8}$/.test(name))
  } catch {
    // Nobody has written anything down.
  }
  return names.flatMap((name) => {
    const file = path.join(directory(), name)
    try {
      const entry = JSON.parse(readFileSync(file, 'utf8')) as Entry
      if (entry.within !== within() || isThere(entry.pid)) return [entry]
      rmSync(file, { force: true })
    } catch {
      // Just removed.
    }
    return []
  })
}

const within = () => ['pid', 'user'].map((type) => readlinkSync(`/proc/self/ns/${type}`)).join(' ')

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function find(type: Shared, fits: (other: Entry) => boolean): NamespaceHandle | undefined {
  for (const entry of readEntries()) {
    const held = entry[type]
    const handle = held && entry.within === within() && fits(entry) ? open(type, entry.pid, held) : undefined
    if (handle) return handle
  }
  return undefined
}

/** Numbers of processes and descriptors are given again: it must be what was written down. */
function open(type: Shared, pid: number, { fd, inode }: Held): NamespaceHandle | undefined {
  const file = `/proc/${pid}/fd/${fd}`
  try {
    // Looked at before it is opened: by now it may be a FIFO.
    if (readlinkSync(file) !== `${type}:[${inode}]`) return undefined
    const opened = openSync(file, 'r')
    if (fstatSync(opened).ino === inode) return { type, inode, fd: opened }
    closeSync(opened)
  } catch {
    // It has ended, or hides what it has.
  }
  return undefined
}

/** What a stack of layers shows, without running anything in it: by the file agent of a container that is never started. */
import { constants, createWriteStream } from 'node:fs'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Container } from '../container.js'
import type { CaissonError, SystemCause } from '../errors.js'
import { Image } from '../image.js'
import { FileStatus } from '../runtime/container/file-status.js'
import type { Owner } from './dockerfile/plan-types.js'
import type { Entry, Member } from './files/entry.js'
import { type BuildLayer, lowersOf, type Stack, stackId } from './layers.js'
import { copyError, Tree } from './tree.js'
import type { Workspace } from './workspace.js'

/** As many links as the kernel follows. */
const MOST_LINKS = 40
const USERS = '/etc/passwd'
const GROUPS = '/etc/group'
/** Bytes of these. */
const USERS_MAX = 4 * 1024 * 1024

export interface Resolved {
  /** Absolute, without links on the way or at the end. */
  path: string
  /** undefined: nothing is there yet. */
  status?: FileStatus
}

export class StageView implements AsyncDisposable {
  readonly #space: Workspace
  #container: Container
  #stack: Stack
  readonly #told = new Map<string, Member>()
  /** Of some of these it was not told what is in them. */
  #toldWhole = false

  private constructor(space: Workspace, container: Container, stack: Stack) {
    this.#space = space
    this.#container = container
    this.#stack = stack
  }

  static async open(space: Workspace, stack: Stack): Promise<StageView> {
    return new StageView(space, await containerOf(space, stack), stack)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container.remove({ force: true })
  }

  /** It shows these as well, above what was there: all members of a layer, of which some may stand for all below them. */
  tell(layer: BuildLayer, members: readonly Member[]): void {
    this.#stack = [...this.#stack, layer]
    for (const member of members) this.#told.set(`/${member.path}`, member)
    this.#toldWhole ||= members.some(({ whole }) => whole)
  }

  /** From now on it looks at the layers that it was told of. */
  async #renew(): Promise<void> {
    const container = await containerOf(this.#space, this.#stack)
    const old = this.#container
    this.#container = container
    this.#told.clear()
    this.#toldWhole = false
    await old.remove({ force: true })
  }

  #isBelowWhole(at: string): boolean {
    for (let above = path.posix.dirname(at); above !== '/'; above = path.posix.dirname(above))
      if (this.#told.get(above)?.whole) return true
    return false
  }

  /** Whether it was told of any. */
  get told(): boolean {
    return this.#told.size > 0
  }

  /** Where a path leads to, by the links of the stage; what is missing begins where the status does. */
  async resolve(asked: string): Promise<Resolved> {
    const rest = asked.split('/').reverse()
    let at = '/'
    let status: FileStatus | undefined = await this.#look('/')
    for (let part = rest.pop(), links = 0; part !== undefined; part = rest.pop()) {
      if (part === '' || part === '.') continue
      if (part === '..') {
        at = path.posix.dirname(at)
        status = await this.#look(at)
        continue
      }
      const next = path.posix.join(at, part)
      const found: FileStatus | undefined = status?.isDirectory() ? await this.#look(next) : undefined
      if (!found?.isSymbolicLink()) {
        at = next
        status = found
        continue
      }
      if (++links > MOST_LINKS) throw copyError(`${asked}: too many symbolic links`, 'Copy to a directory.')
      const target = this.#told.get(next)?.target ?? (await this.#container.fs.readlink(next))
      if (target.startsWith('/')) at = '/'
      rest.push(...target.split('/').reverse())
      status = await this.#look(at)
    }
    return at === '/' ? { path: at, status: await this.#look('/') } : { path: at, status }
  }

  /** @param at in a directory that was looked at, without links on the way. */
  async #look(at: string): Promise<FileStatus | undefined> {
    if (this.#toldWhole && this.#isBelowWhole(at)) await this.#renew()
    const told = this.#told.get(at)
    if (told) return statusOf(told)
    try {
      return await this.#container.fs.lstat(at)
    } catch (error) {
      const { code } = ((error as CaissonError).cause ?? {}) as Partial<SystemCause>
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw error
    }
  }

  /** The ids of an owner whose names the stage knows; the group is the user's own when none is given. */
  async owner({ user, group }: Owner): Promise<{ uid: number; gid: number }> {
    const users = typeof user === 'number' && group !== undefined ? '' : await this.#text(USERS)
    const entry = users.split('\n').find((line) => line.split(':')[typeof user === 'number' ? 2 : 0] === String(user))
    const [, , uid, primary] = entry?.split(':') ?? []
    const number = typeof user === 'number' ? user : Number(uid)
    if (Number.isNaN(number)) throw copyError(`no user ${user} in /etc/passwd`, 'Give a number, or add the user first.')
    // As Docker: a group that is not given has the number of the user.
    if (group === undefined) return { uid: number, gid: typeof user === 'number' ? user : Number(primary ?? number) }
    if (typeof group === 'number') return { uid: number, gid: group }
    const groups = await this.#text(GROUPS)
    const found = groups.split('\n').find((line) => line.split(':')[0] === group)
    const gid = Number(found?.split(':')[2])
    if (Number.isNaN(gid)) throw copyError(`no group ${group} in /etc/group`, 'Give a number, or add the group first.')
    return { uid: number, gid }
  }

  /** Whether it was told of one of the files that have the names of users: it shows them, and cannot read them. */
  async toldNames(): Promise<boolean> {
    for (const file of [USERS, GROUPS]) if (this.#told.has((await this.resolve(file)).path)) return true
    return false
  }

  async #text(file: string): Promise<string> {
    const { path: real, status } = await this.resolve(file)
    return status ? this.#container.fs.readFile(real, { encoding: 'utf8', maxBytes: USERS_MAX }) : ''
  }

  /** All that is at these paths and below them, and where links in it lead to. */
  async tree(paths: readonly string[]): Promise<Tree> {
    const entries = new Map<string, Entry>()
    const taken: string[] = []
    const wanted = [...paths]
    for (let next = wanted.pop(); next !== undefined; next = wanted.pop()) {
      const links = await this.#linksTo(next, entries)
      const { path: real, status } = links
      if (!status || taken.some((each) => each === real || real.startsWith(each === '/' ? '/' : `${each}/`))) continue
      taken.push(real)
      for (const entry of await this.#archive(real)) entries.set(entry.path, entry)
    }
    return new Tree(entries.values())
  }

  /** Resolves a path, and lists the links that lead there. */
  async #linksTo(asked: string, entries: Map<string, Entry>): Promise<Resolved> {
    let at = '/'
    for (const part of asked.split('/').filter((each) => each !== '' && each !== '.')) {
      at = path.posix.join((await this.resolve(at)).path, part)
      const status = await this.#look(at)
      if (!status?.isSymbolicLink()) continue
      const target = await this.#container.fs.readlink(at)
      const { uid, gid, mtimeMs } = status
      const entry = { path: at.slice(1), mode: 0o777, uid, gid, mtime: Math.floor(mtimeMs / 1000), size: 0, target }
      // A circle of links ends here, and resolve() says so.
      if (entries.has(entry.path)) break
      entries.set(entry.path, { ...entry, kind: 'symlink' })
      await this.#linksTo(path.posix.join(path.posix.dirname(at), target.startsWith('/') ? '/' : '', target), entries)
    }
    return this.resolve(asked)
  }

  async #archive(at: string): Promise<Entry[]> {
    const file = await this.#space.path()
    const { signal } = this.#space
    const archive = this.#container.getArchive(at === '/' ? '/.' : at, { signal, fewHoles: true })
    await pipeline(archive, createWriteStream(file))
    const above = at === '/' ? '' : path.posix.dirname(at).slice(1)
    const found = await (await this.#space.files()).ask('index', { file })
    return found.map((entry) => ({ ...entry, path: above === '' ? entry.path : `${above}/${entry.path}` }))
  }
}

async function containerOf(space: Workspace, stack: Stack): Promise<Container> {
  const image = Image.ofLayers(stackId(stack), await lowersOf(space, stack), { Cmd: ['/'] })
  return Container.create(image, { storage: 'disk' })
}

const TYPES: Partial<Record<Member['kind'], number>> = {
  file: constants.S_IFREG,
  directory: constants.S_IFDIR,
  symlink: constants.S_IFLNK,
}

function statusOf({ kind, mode, size, uid, gid }: Member): FileStatus {
  return new FileStatus([(TYPES[kind] ?? 0) | mode, size, uid, gid])
}

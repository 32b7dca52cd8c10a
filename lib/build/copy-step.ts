/** COPY and ADD: members of a layer, written without a container. */
import { open } from 'node:fs/promises'
import path from 'node:path'
import { applyLayer } from '../layer/apply.js'
import { archiveFile, type CopyItem, isArchive, type SourceGroup } from './copy-sources.js'
import { applyMode } from './dockerfile/chmod.js'
import type { CopyStep, MkdirStep } from './dockerfile/plan-types.js'
import type { Entry, Member } from './files/entry.js'
import { writeMembers } from './files/members.js'
import type { KeptView } from './kept-view.js'
import { type BuildLayer, type Stack, storeMembers, storeTree } from './layers.js'
import { ownersOf } from './owners.js'
import type { Destination } from './select.js'
import { copyError } from './tree.js'
import type { StageView } from './view.js'
import type { Workspace } from './workspace.js'

type Ids = { uid: number; gid: number }

/** WORKDIR: makes what is missing of a path. */
export async function mkdirStep(
  space: Workspace,
  kept: KeptView,
  stack: Stack,
  step: MkdirStep,
  epoch: number | undefined,
): Promise<BuildLayer | undefined> {
  const view = stack.length === 0 ? undefined : await kept.of(stack, { names: isNamed(step) })
  const owner = step.owner === undefined ? undefined : await idsOf(view, step.owner)
  const plan = new LayerPlan(view, owner, epoch)
  const { path: at, status } = await plan.resolve(step.path)
  if (status !== undefined && !status.isDirectory())
    throw copyError(`${step.path} is not a directory`, 'Choose another path for WORKDIR.')
  await plan.addDirectories(at)
  const layer = await store(space, plan.members, epoch)
  if (layer) kept.tell(stack, layer, plan.members)
  return layer
}

export async function copyStep(
  space: Workspace,
  kept: KeptView,
  stack: Stack,
  step: CopyStep,
  groups: readonly SourceGroup[],
  epoch: number | undefined,
): Promise<BuildLayer | undefined> {
  const names = isNamed(step)
  const needsView = stack.length > 0 && (!step.link || names)
  const view = needsView ? await kept.of(stack, { names, owners: groups.some(({ unpack }) => unpack) }) : undefined
  const owner = step.owner === undefined ? undefined : await idsOf(view, step.owner)
  const plan = new LayerPlan(step.link ? undefined : view, owner, epoch)
  const archives: Array<{ entry: Entry; at: string }> = []
  let destination = await plan.destination(step.destination)
  for (const group of groups) {
    const items = group.select(destination)
    for (const item of items) {
      const isPacked = group.unpack && item.named && (await isArchive(space, item.entry))
      if (isPacked) archives.push({ entry: item.entry, at: await plan.archiveDirectory(destination) })
      else await plan.add(item, step.mode, !step.link)
    }
    // What was made for one group is there for the next.
    if (items.length > 0 && groups.length > 1 && destination.path.endsWith('/'))
      destination = { ...destination, existing: 'directory' }
  }
  if (archives.length > 0) return unpacked(space, plan.members, archives, epoch)
  const layer = await store(space, plan.members, epoch)
  // With --link, members may hide what is below them.
  if (layer && !step.link) kept.tell(stack, layer, plan.members)
  return layer
}

const isNamed = ({ owner }: Pick<CopyStep, 'owner'>) => [owner?.user, owner?.group].some((id) => typeof id === 'string')

async function idsOf(view: StageView | undefined, owner: NonNullable<CopyStep['owner']>): Promise<Ids> {
  const { user, group } = owner
  if (typeof user === 'number' && typeof group !== 'string') return { uid: user, gid: group ?? user }
  if (view) return view.owner(owner)
  throw copyError(`${user}: there is no /etc/passwd in this stage`, 'Give numbers.')
}

function store(
  space: Workspace,
  members: readonly Member[],
  epoch: number | undefined,
): Promise<BuildLayer | undefined> {
  if (members.length === 0) return Promise.resolve(undefined)
  return storeMembers(space, (fd) => writeMembers(space, members, epoch, fd))
}

/** Archives are unpacked over the other members, and the whole is packed. */
async function unpacked(
  space: Workspace,
  members: readonly Member[],
  archives: ReadonlyArray<{ entry: Entry; at: string }>,
  epoch: number | undefined,
): Promise<BuildLayer | undefined> {
  const directory = await space.directory()
  const { signal } = space
  const options = { directory, whiteouts: 'none', owners: await ownersOf(space), digests: false, signal } as const
  const file = await space.path()
  const handle = await open(file, 'wx', 0o600)
  try {
    await writeMembers(space, members, epoch, handle.fd)
  } finally {
    await handle.close()
  }
  await applyLayer({ ...options, source: file })
  for (const { entry, at } of archives)
    await applyLayer({ ...options, at, source: await archiveFile(space, entry), devices: 'skip', end: 'lenient' })
  const latest = epoch === undefined ? {} : { latest: new Date(epoch * 1000) }
  return storeTree(space, { directory, layer: true, ...latest })
}

/** Collects the members of a layer, parents first, and knows what of them the stage has already. */
class LayerPlan {
  readonly members: Member[] = []
  readonly #view: StageView | undefined
  readonly #owner: Ids | undefined
  readonly #epoch: number | undefined
  /** Directories that are there or were added. */
  readonly #directories = new Set(['/'])
  /** Directories of the source that are links in the stage, and where these lead to. */
  readonly #moved = new Map<string, string>()

  constructor(view: StageView | undefined, owner: Ids | undefined, epoch: number | undefined) {
    this.#view = view
    this.#owner = owner
    this.#epoch = epoch
  }

  async resolve(at: string) {
    return this.#view ? this.#view.resolve(at) : { path: path.posix.resolve('/', at), status: undefined }
  }

  /** By the links of the stage. */
  async destination(asked: string): Promise<Destination> {
    const { path: at, status } = await this.resolve(asked)
    const isDirectory = /\/\.?$/.test(asked)
    const text = isDirectory && at !== '/' ? `${at}/` : at
    if (at === '/') return { path: '/', existing: 'directory' }
    return status === undefined
      ? { path: text }
      : { path: text, existing: status.isDirectory() ? 'directory' : 'other' }
  }

  async add(item: CopyItem, mode: CopyStep['mode'], withParents: boolean): Promise<void> {
    const { entry, to, top, below } = item
    const at = this.#move(to)
    if (withParents) await this.addDirectories(path.posix.dirname(at))
    const isNew = entry.kind !== 'directory' || (await this.#isNewDirectory(at, to, top, withParents))
    // What a symbolic mode makes of each is another.
    const isWhole = isNew && below !== undefined && typeof mode !== 'string'
    if (isNew) this.#addEntry(entry, at, mode, isWhole)
    if (!isWhole && below) for (const each of below()) await this.add(each, mode, withParents)
  }

  async #isNewDirectory(at: string, to: string, top: boolean, withParents: boolean): Promise<boolean> {
    if (this.#directories.has(at)) return false
    if (this.#view) {
      const status = await this.#view.resolve(at)
      if (status.path !== at) this.#moved.set(to, status.path)
      if (status.status !== undefined && !status.status.isDirectory()) throw notDirectory(at)
      if (status.status !== undefined) {
        this.#directories.add(status.path)
        return false
      }
    }
    // With --link, what lies below may have it already.
    if (top && !withParents) return false
    this.#directories.add(at)
    return true
  }

  #addEntry(entry: Entry, at: string, mode: CopyStep['mode'], whole: boolean): void {
    const { uid, gid } = this.#owner ?? entry
    const otherMode = mode !== undefined && entry.kind !== 'symlink'
    const bits = otherMode ? applyMode(mode, entry.mode, entry.kind === 'directory') : entry.mode
    this.#push({ ...entry, path: at.slice(1), mode: bits, uid, gid, ...(whole ? { whole } : {}), otherMode })
  }

  /** Adds what is missing of a directory and those above it. */
  async addDirectories(at: string): Promise<void> {
    if (this.#directories.has(at)) return
    await this.addDirectories(path.posix.dirname(at))
    this.#directories.add(at)
    const status = (await this.#view?.resolve(at))?.status
    if (status?.isDirectory() === false) throw notDirectory(at)
    if (status) return
    this.#pushDirectory(at, this.#owner ?? { uid: 0, gid: 0 }, 0o755)
  }

  /** Where an archive is unpacked; with it and what is above it as they are in the stage. */
  async archiveDirectory({ path: asked }: Destination): Promise<string> {
    const at = path.posix.resolve('/', asked)
    await this.addDirectories(at)
    const named = new Set(this.members.map((member) => member.path))
    for (let each = at; each !== '/'; each = path.posix.dirname(each)) {
      if (named.has(each.slice(1))) continue
      const status = (await this.#view?.resolve(each))?.status
      this.#pushDirectory(each, status ?? { uid: 0, gid: 0 }, (status?.mode ?? 0o755) & 0o7777)
    }
    this.members.sort((a, b) => depth(a) - depth(b))
    return at
  }

  #pushDirectory(at: string, { uid, gid }: Ids, mode: number): void {
    const mtime = this.#epoch ?? Math.floor(Date.now() / 1000)
    this.#push({ path: at.slice(1), kind: 'directory', mode, uid, gid, mtime, size: 0 })
  }

  #push(member: Member): void {
    const mtime = this.#epoch === undefined ? member.mtime : Math.min(member.mtime, this.#epoch)
    this.members.push({ ...member, mtime })
  }

  #move(to: string): string {
    if (this.#moved.size === 0) return to
    for (let above = to; above !== '/'; above = path.posix.dirname(above)) {
      const moved = this.#moved.get(above)
      if (moved !== undefined) return moved + to.slice(above.length)
    }
    return to
  }
}

const notDirectory = (at: string) =>
  copyError(`cannot copy to non-directory: ${at}`, 'The stage has a file there: remove it first.')

const depth = ({ path: at, kind }: Member) => (kind === 'directory' ? at.split('/').length : Number.MAX_SAFE_INTEGER)

/** A copy of a part of a tree in a directory of the host, with the owners that it has: for mounts. */
export async function materialise(space: Workspace, items: readonly CopyItem[]): Promise<string> {
  const directory = await space.directory()
  const file = await space.path()
  const handle = await open(file, 'wx', 0o600)
  try {
    const members = items
      .filter(({ to }) => to !== '/')
      .map(({ entry, to, below }): Member => ({ ...entry, path: to.slice(1), ...(below ? { whole: true } : {}) }))
    await writeMembers(space, members, undefined, handle.fd)
  } finally {
    await handle.close()
  }
  const { signal } = space
  await applyLayer({
    directory,
    source: file,
    whiteouts: 'none',
    owners: await ownersOf(space),
    digests: false,
    signal,
  })
  return directory
}

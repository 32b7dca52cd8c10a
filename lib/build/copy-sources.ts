/** The sources of one COPY or ADD: what each of them selects, with digests for the cache and the bytes to copy. */
import { open } from 'node:fs/promises'
import path from 'node:path'
import { type ContentItem, contentDigest } from './cache-key.js'
import type { CopySource, CopyStep } from './dockerfile/plan-types.js'
import type { Entry } from './files/entry.js'
import { type Destination, selectSources } from './select.js'
import { Tree, typeOf } from './tree.js'
import type { Workspace } from './workspace.js'

/** Something to copy: a file of a tree, and where it comes to lie. */
export interface CopyItem {
  entry: Entry
  /** Absolute. */
  to: string
  /** The source itself is this directory: one that is there already stays as it is. */
  top: boolean
  /** A source names the file itself: ADD unpacks it when it is an archive. */
  named: boolean
  /** Of a directory that stands for all that is below it: what is in it. */
  below?: () => CopyItem[]
}

/** A group of sources that are selected together, for the same destination. */
export interface SourceGroup {
  select(destination: Destination): CopyItem[]
  /** ADD unpacks archives among these. */
  unpack: boolean
}

type PathSource = CopySource & { kind: 'path' }

/** What paths of one tree select. `whole`: directories of the host of which all is taken are one item. */
export function pathGroup(
  tree: Tree,
  sources: readonly PathSource[],
  { excludes }: CopyStep,
  { whole = false }: { whole?: boolean } = {},
): SourceGroup {
  const options = { whole: whole && tree.inventory !== undefined }
  return {
    unpack: sources.some(({ unpack }) => unpack),
    select: (destination) =>
      selectSources(tree.listing, sources, excludes, destination, options).map(
        ({ from, to, top, named, whole: all }) => ({
          entry: tree.entry(from),
          to,
          top,
          named: named === true,
          ...(all ? { below: () => itemsIn(tree, from, to) } : {}),
        }),
      ),
  }
}

function itemsIn(tree: Tree, from: string, to: string): CopyItem[] {
  return (tree.listing.at(from)?.entries ?? []).map(({ name, path: at, type }) => {
    const place = path.posix.join(to, name)
    const below = type === 'directory' ? { below: () => itemsIn(tree, at, place) } : {}
    return { entry: tree.entry(at), to: place, top: false, named: false, ...below }
  })
}

/** Files that were written in the Dockerfile. */
export function textGroup(step: CopyStep): SourceGroup {
  const tree = new Tree(
    step.files.map(
      ({ name, content: text }): Entry => ({
        path: name,
        kind: 'file',
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        size: Buffer.byteLength(text),
        content: { kind: 'text', text },
      }),
    ),
  )
  const sources = step.files.map(
    ({ name }): PathSource => ({ kind: 'path', path: `/${escaped(name)}`, required: true, unpack: false }),
  )
  return pathGroup(tree, sources, { ...step, excludes: [] })
}

/** No wildcard, whatever it is called. */
const escaped = (name: string) => name.replace(/[*?[\\]/g, '\\$&')

export interface FetchedSource {
  group: SourceGroup
  /** For the key of the cache. */
  digest: string
}

export async function fetchSource(
  space: Workspace,
  source: CopySource & { kind: 'http' | 'git' },
  step: CopyStep,
  ssh: ReadonlyMap<string, string>,
): Promise<FetchedSource> {
  if (source.kind === 'git') {
    const { checkOut } = await import('./git.js')
    const { directory, commit } = await checkOut(space, source, { agent: ssh.get('default') })
    const tree = await space.take(directory, [])
    const all: PathSource = { kind: 'path', path: '/', required: true, unpack: false }
    return { group: pathGroup(tree, [all], step, { whole: step.sources.length === 1 }), digest: commit }
  }
  const { download } = await import('./download.js')
  const { file, size, digest, mtime } = await download(space, source.url, {
    checksum: source.checksum,
    namedBy: 'dockerfile',
  })
  const entry: Entry = {
    path: source.fileName,
    kind: 'file',
    // Docker's: nobody has said who may read it.
    mode: 0o600,
    uid: 0,
    gid: 0,
    mtime,
    size,
    content: { kind: 'part', file, offset: 0 },
  }
  const only: PathSource = { kind: 'path', path: `/${escaped(entry.path)}`, required: true, unpack: source.unpack }
  return { group: pathGroup(new Tree([entry]), [only], step), digest }
}

/** One digest for each source, of everything that it selects. */
export async function digestsOfPaths(
  space: Workspace,
  tree: Tree,
  sources: readonly PathSource[],
  step: CopyStep,
): Promise<string[]> {
  const selected = sources.map((source) =>
    pathGroup(tree, [source], step, { whole: true }).select({ path: step.destination }),
  )
  const counted = (item: CopyItem) => item.entry.kind === 'file' || item.below !== undefined
  const entries = [...new Set(selected.flatMap((items) => items.filter(counted).map(({ entry }) => entry)))]
  const found = entries.length === 0 ? [] : await (tree.inventory?.digests(entries) ?? digestsOf(space, entries))
  const digests = new Map(entries.map((entry, i) => [entry, found[i] as string]))
  return selected.map((items) =>
    contentDigest(
      items.map((item): ContentItem => {
        const { mode, uid, gid, target, device, xattrs } = item.entry
        const digest = counted(item) ? digests.get(item.entry) : undefined
        return { to: item.to, type: typeOf(item.entry), mode, uid, gid, digest, target, device, xattrs }
      }),
    ),
  )
}

async function digestsOf(space: Workspace, entries: readonly Entry[]): Promise<string[]> {
  return (await space.files()).ask('digest', { files: entries.map(asked) })
}

const asked = ({ path: at, size, content }: Entry) => ({ path: at, size, content })

/** The names without wildcards that paths begin with: as much of a stage as a copy has to look at. */
export function rootsOf(sources: readonly PathSource[]): string[] {
  return sources.map((source) => {
    const parts = source.path.split('/')
    const first = parts.findIndex((part) => /[*?[]/.test(part))
    const plain = (first < 0 ? parts : parts.slice(0, first)).join('/').replace(/\\(.)/g, '$1')
    return path.posix.join('/', plain)
  })
}

/** Bytes in which a tar archive shows itself. */
export const BEGINNING = 262

/** As Docker: by its content, never by its name. */
export async function isArchive(space: Workspace, entry: Entry): Promise<boolean> {
  if (entry.kind !== 'file' || entry.size < 10) return false
  return beginsAsArchive(await beginningOf(space, entry))
}

/** @param begin the first bytes, as latin1. */
export function beginsAsArchive(begin: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these bytes are what is looked for
  return /^(?:\x1f\x8b\x08|\x28\xb5\x2f\xfd|BZh|\xfd7zXZ\0)/.test(begin) || begin.slice(257, 262) === 'ustar'
}

async function beginningOf(space: Workspace, entry: Entry): Promise<string> {
  if (entry.item) return entry.item.inventory.begin(entry, BEGINNING)
  const [begin = ''] = await (await space.files()).ask('begin', { files: [asked(entry)], bytes: BEGINNING })
  return begin
}

/** The archive as a file of its own. */
export async function archiveFile(space: Workspace, entry: Entry): Promise<string> {
  const file = await space.path()
  const handle = await open(file, 'wx', 0o600)
  try {
    if (entry.item) await entry.item.inventory.copy(entry, handle.fd)
    else await (await space.files()).ask('copy', { file: asked(entry), fd: handle.fd })
  } finally {
    await handle.close()
  }
  return file
}

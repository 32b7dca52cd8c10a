/** Digests of files of the host from builds before this one, by what the file system says of them: nothing is read again. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { roots } from '../util/roots.js'
import type { Entry } from './files/entry.js'
import type { Workspace } from './workspace.js'

/** Milliseconds: a file that was just written may be written again without its times telling. */
const SETTLED = 2_000

/** Files that are remembered of one context. */
const MOST = 200_000

type Known = Record<string, string>

/** In the order of `files`. */
export async function digestsOfFiles(space: Workspace, files: readonly Entry[]): Promise<string[]> {
  const [first] = files
  if (first?.content?.kind !== 'host') return ask(space, files)
  const place = path.join(roots().data, 'build-digests', createHash('sha256').update(first.content.root).digest('hex'))
  const known = await load(place)
  const unknown = files.filter((entry) => known[identityOf(entry)] === undefined)
  if (unknown.length > 0) {
    const found = await ask(space, unknown)
    unknown.forEach((entry, i) => {
      known[identityOf(entry)] = found[i] as string
    })
  }
  const digests = files.map((entry) => known[identityOf(entry)] as string)
  if (unknown.length > 0) await save(place, known)
  return digests
}

async function ask(space: Workspace, files: readonly Entry[]): Promise<string[]> {
  if (files.length === 0) return []
  return space.files.ask('digest', { files: files.map(({ path: at, size, content }) => ({ path: at, size, content })) })
}

const identityOf = ({ content }: Entry) => (content?.kind === 'host' ? content.identity : '')

async function load(place: string): Promise<Known> {
  try {
    return Object.assign(Object.create(null), JSON.parse(await readFile(place, 'utf8')))
  } catch {
    return Object.create(null)
  }
}

/** Losing the file costs time alone; so it begins anew when it has become large. */
async function save(place: string, known: Known): Promise<void> {
  const now = Date.now()
  const settled = Object.entries(known).filter(([identity]) => {
    const changed = Number(identity.slice(identity.lastIndexOf(':') + 1))
    return now - changed > SETTLED
  })
  if (settled.length === 0) return
  const beside = `${place}-${randomBytes(8).toString('hex')}`
  try {
    await mkdir(path.dirname(place), { recursive: true, mode: 0o700 })
    await writeFile(beside, JSON.stringify(Object.fromEntries(settled.slice(-MOST))), { mode: 0o600 })
    await rename(beside, place)
  } catch {
    await rm(beside, { force: true })
  }
}

/** Files of containers: archives into and out of them, and what they have changed. */
import { constants } from 'node:fs'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Container } from '../container.js'
import type { FileStatus } from '../runtime/container/file-status.js'
import type { Call } from './call.js'
import { badRequest, notImplemented } from './failure.js'
import type { Route } from './router.js'

export const containerFileRoutes: Route[] = [
  { method: 'HEAD', path: '/containers/{id}/archive', handler: head },
  { method: 'GET', path: '/containers/{id}/archive', handler: get },
  { method: 'PUT', path: '/containers/{id}/archive', handler: put },
  { method: 'GET', path: '/containers/{id}/changes', handler: changes },
]

/** As `docker diff` numbers them. */
const KINDS = { modified: 0, added: 1, deleted: 2 } as const

function pathOf(call: Call): string {
  const given = call.text('path')
  if (given === undefined) throw badRequest('path is missing')
  if (given.includes('\0')) throw badRequest('path has a NUL in it')
  // Docker takes relative ones, from the root.
  return given.startsWith('/') ? given : `/${given}`
}

async function head(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  call.response.writeHead(200, { 'X-Docker-Container-Path-Stat': await statHeader(container, pathOf(call)) })
  call.response.end()
}

async function get(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  const at = pathOf(call)
  const header = await statHeader(container, at)
  const archive = container.getArchive(at, { signal: call.gone })
  call.response.writeHead(200, { 'Content-Type': 'application/x-tar', 'X-Docker-Container-Path-Stat': header })
  // A failure in the middle can only be told by an end without the last chunk.
  await pipeline(archive, call.response)
}

async function put(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  if (call.flag('copyUIDGID')) throw notImplemented('copyUIDGID')
  const noOverwriteDirNonDir = call.flag('noOverwriteDirNonDir')
  await container.putArchive(pathOf(call), call.request, { noOverwriteDirNonDir, signal: call.gone })
  // What comes behind the end of the archive.
  call.request.resume()
  call.empty(200)
}

async function changes(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  const list = await container.diff()
  call.json(list.length === 0 ? null : list.map(({ path, kind }) => ({ Path: path, Kind: KINDS[kind] })))
}

async function statHeader(container: Container, at: string): Promise<string> {
  const cleaned = path.posix.normalize(at)
  const member = cleaned.length > 1 && cleaned.endsWith('/') ? cleaned.slice(0, -1) : cleaned
  // A slash behind it asks for what a link leads to.
  const status = cleaned === member ? await container.fs.lstat(member) : await container.fs.stat(member)
  const linkTarget = status.isSymbolicLink() ? await targetOf(container, member) : ''
  const told = {
    name: path.posix.basename(member) || '/',
    size: status.size,
    mode: goMode(status),
    mtime: status.mtime.toISOString(),
    linkTarget,
  }
  return Buffer.from(JSON.stringify(told)).toString('base64')
}

async function targetOf(container: Container, link: string): Promise<string> {
  const target = await container.fs.readlink(link)
  return path.posix.resolve(path.posix.dirname(link), target)
}

/** Types and special bits as Go's os.FileMode has them. */
const TYPES: Record<number, number> = {
  [constants.S_IFDIR]: 2 ** 31,
  [constants.S_IFLNK]: 2 ** 27,
  [constants.S_IFBLK]: 2 ** 26,
  [constants.S_IFIFO]: 2 ** 25,
  [constants.S_IFSOCK]: 2 ** 24,
  [constants.S_IFCHR]: 2 ** 26 + 2 ** 21,
}
const SET_UID = 0o4000
const SET_GID = 0o2000
const STICKY = 0o1000

export function goMode({ mode }: Pick<FileStatus, 'mode'>): number {
  const special = (mode & SET_UID ? 2 ** 23 : 0) + (mode & SET_GID ? 2 ** 22 : 0) + (mode & STICKY ? 2 ** 20 : 0)
  return (TYPES[mode & constants.S_IFMT] ?? 0) + special + (mode & 0o777)
}

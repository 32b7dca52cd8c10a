/** Files of a context that say how it is built. Whoever made the context may be a stranger. */
import { constants } from 'node:fs'
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../errors.js'
import { readIgnoreFile } from './dockerfile/ignore.js'

/** Larger is no Dockerfile. */
export const DOCKERFILE_MAX = 16 * 1024 * 1024
/** The same of .dockerignore, of which each character may become a part of a pattern. */
const IGNORE_MAX = 128 * 1024

/**
 * What a file says; undefined: there is none. One below `root` may be no link to another file of the host, since errors
 * show what it says. It is looked at when it is open: whatever it is exchanged for then is not read, and a named pipe keeps
 * nobody waiting.
 * @throws CaissonError ERR_CAISSON_FILE, ERR_CAISSON_INVALID_ARGUMENT
 */
export async function readContextFile(
  file: string,
  root: string | undefined,
  most = DOCKERFILE_MAX,
): Promise<string | undefined> {
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw unreadable(file, error as NodeJS.ErrnoException)
  }
  try {
    const [status] = await Promise.all([handle.stat(), root !== undefined && checkInside(root, file, handle)])
    if (!status.isFile() || status.size > most)
      throw invalidArgument('dockerfile', file, `a file of at most ${most / 1024} KiB`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

async function checkInside(root: string, file: string, { fd }: FileHandle): Promise<void> {
  if (!file.startsWith(`${root}/`)) return
  const [top, real] = await Promise.all([realpath(root), readlink(`/proc/self/fd/${fd}`)])
  if (real.startsWith(top === '/' ? top : `${top}/`)) return
  throw new CaissonError('ERR_CAISSON_FILE', `${file} is a link out of the context`, {
    stage: 'build',
    hint: 'Put the file itself into the context, or name the other one.',
  })
}

function unreadable(file: string, { code, errno, syscall }: NodeJS.ErrnoException): CaissonError {
  return new CaissonError('ERR_CAISSON_FILE', `${file} cannot be read`, {
    stage: 'build',
    hint: 'Make it readable for this user.',
    cause: { code: code as string, errno: errno as number, syscall: syscall as string, path: file },
  })
}

/** The patterns for a context. A file beside the Dockerfile with its name goes before the context's own. */
export async function readIgnored(root: string, dockerfile: string | undefined): Promise<string[]> {
  const [own, common] = [dockerfile && `${dockerfile}.dockerignore`, path.join(root, '.dockerignore')].map(
    async (file) => (file ? readContextFile(file, root, IGNORE_MAX) : undefined),
  )
  // Of no account when there is the other.
  common?.catch(() => undefined)
  const text = (await own) ?? (await common)
  return text === undefined ? [] : readIgnoreFile(text)
}

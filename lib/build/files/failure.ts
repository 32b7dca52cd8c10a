/** Files that could not be read, as errors with advice. */
import { CaissonError } from '../../errors.js'
import { isFull } from '../../store/files.js'
import type { FileFault } from './entry.js'

export const stopped = () => new CaissonError('ERR_CAISSON_ABORTED', 'build: stopped', { stage: 'build' })

const HINTS: Record<string, string> = {
  EACCES: 'Leave it out by .dockerignore, or make it readable for this user.',
  EPERM: 'Leave it out by .dockerignore, or make it readable for this user.',
  ENOENT: 'It vanished during the build: leave it out by .dockerignore, or build from a copy.',
  ENOTDIR: 'It was exchanged during the build: leave it out by .dockerignore, or build from a copy.',
  ELOOP: 'It became a symbolic link during the build: leave it out by .dockerignore, or build from a copy.',
  ENOSPC: 'The disk is full: free space, or set CAISSON_ROOT to another disk.',
  EDQUOT: 'The disk quota of this user is used up: free space, or set CAISSON_ROOT to another disk.',
}

export function fileError({ message, path: at, code, syscall, errno }: FileFault): CaissonError {
  const known = code !== undefined && syscall !== undefined && errno !== undefined
  const error = isFull({ code }) ? 'ERR_CAISSON_RESOURCE_EXHAUSTED' : 'ERR_CAISSON_FILE'
  // The path in Node's message is a descriptor's.
  const text = known ? `${at}: ${syscall}: ${code}` : message
  return new CaissonError(error, `build: ${text}`, {
    stage: 'build',
    hint: HINTS[code ?? ''] ?? 'Build from files that nobody changes meanwhile.',
    ...(known ? { cause: { code, syscall, errno, path: at } } : {}),
  })
}

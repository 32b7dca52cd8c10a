/** What went wrong with the store's own files, with advice. */
import { CaissonError, type ErrorCode, type SystemCause } from '../errors.js'

const ADVICE: Record<string, [ErrorCode, string]> = {
  ENOSPC: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'The disk is full: remove images that are not used, or make room.'],
  EDQUOT: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'The disk quota of this user is used up: remove images, or raise it.'],
  EFBIG: [
    'ERR_CAISSON_RESOURCE_EXHAUSTED',
    'The file system, or a limit (ulimit -f), does not allow files this large.',
  ],
  EMFILE: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'Raise the limit of open files (ulimit -n), or do less at a time.'],
  ENFILE: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'Too many files are open on this machine.'],
  ENOMEM: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'Free memory.'],
  EACCES: ['ERR_CAISSON_PERMISSION', 'Set CAISSON_ROOT to a directory that this user may write to.'],
  EPERM: ['ERR_CAISSON_PERMISSION', 'Set CAISSON_ROOT to a directory that this user may write to.'],
  EROFS: ['ERR_CAISSON_PERMISSION', 'The file system is mounted read-only: set CAISSON_ROOT to another place.'],
}

/** Any error as one of ours. Failures of system calls come from Node, and from the addon as records. */
export function storeError(error: unknown, doing: string): CaissonError {
  if (error instanceof CaissonError) return error
  const failed = error as NodeJS.ErrnoException
  const known = ADVICE[failed.code ?? '']
  const cause: SystemCause | Error =
    failed.code === undefined || failed.errno === undefined
      ? (error as Error)
      : { code: failed.code, errno: failed.errno, syscall: failed.syscall ?? '', path: failed.path }
  return new CaissonError(known?.[0] ?? 'ERR_CAISSON_STORE', `store: ${doing}: ${failed.message ?? String(error)}`, {
    stage: 'store',
    hint: known?.[1] ?? 'Look at the system call and the file that are named.',
    cause,
  })
}

/** Something on disk is not as it was written. */
export function damaged(message: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_STORE', `store: ${message}`, { stage: 'store', hint })
}

/** Content that is not what was promised. */
export function digestError(digest: string, message: string): CaissonError {
  return new CaissonError('ERR_CAISSON_DIGEST', `${digest}: ${message}`, {
    stage: 'digest',
    hint: 'The content is not what was promised: fetch it again, or from another place.',
  })
}

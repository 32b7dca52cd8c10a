/** What went wrong with the store's own files, with advice. */
import { getSystemErrorName } from 'node:util'
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
  EAGAIN: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'A limit of threads is reached (ulimit -u, pids.max).'],
  ENOMEM: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'Free memory.'],
  EACCES: ['ERR_CAISSON_PERMISSION', 'Set CAISSON_ROOT to a directory that this user may write to.'],
  EPERM: ['ERR_CAISSON_PERMISSION', 'Set CAISSON_ROOT to a directory that this user may write to.'],
  EROFS: ['ERR_CAISSON_PERMISSION', 'The file system is mounted read-only: set CAISSON_ROOT to another place.'],
}

/** Any error as one of ours. Failures of system calls come from Node, and from the addon as records. */
export function storeError(error: unknown, doing: string): CaissonError {
  if (error instanceof CaissonError) return error
  const cause = systemCause(error)
  const [code, hint] = ADVICE[cause?.code ?? ''] ?? [
    'ERR_CAISSON_STORE',
    'Look at the system call and the file that are named.',
  ]
  const what = cause
    ? `${cause.syscall} ${cause.path ?? ''}: ${cause.code}`
    : ((error as Error)?.message ?? String(error))
  return new CaissonError(code, `store: ${doing}: ${what}`, {
    stage: 'store',
    hint,
    cause: cause ?? (error instanceof Error ? error : undefined),
  })
}

function systemCause(error: unknown): SystemCause | undefined {
  const { code, errno, syscall = '', path } = (error ?? {}) as Partial<NodeJS.ErrnoException>
  if (typeof errno !== 'number' || errno === 0) return undefined
  const negative = -Math.abs(errno)
  return { code: code ?? getSystemErrorName(negative), errno: negative, syscall, ...(path ? { path } : {}) }
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

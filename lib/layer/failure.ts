/** Turns what the layer code of the addon reports into an Error with advice. */
import { isUtf8 } from 'node:buffer'
import { getSystemErrorName } from 'node:util'
import { CaissonError, type CaissonErrorOptions, type ErrorCode } from '../errors.js'
import type { NativeFault, NativeRunning } from '../native/layer.js'

const ADVICE: Record<Exclude<NativeFault['kind'], 'system'>, [ErrorCode, string]> = {
  malformed: ['ERR_CAISSON_LAYER', 'The archive is damaged, or made to be read differently by different programs.'],
  refused: ['ERR_CAISSON_LAYER', 'Do not use this archive unless you know why it holds such a member.'],
  limit: ['ERR_CAISSON_LAYER_LIMIT', 'If the content is trusted, give a higher limit.'],
  digest: ['ERR_CAISSON_DIGEST', 'The content is not what was promised: fetch it again, or from another place.'],
  cancelled: ['ERR_CAISSON_ABORTED', ''],
}

const SYSTEM: Record<string, [ErrorCode, string]> = {
  ENOSPC: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'The disk is full: free space (and inodes), or put the data elsewhere.'],
  EDQUOT: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'The disk quota of this user is used up: free space, or raise it.'],
  EFBIG: [
    'ERR_CAISSON_RESOURCE_EXHAUSTED',
    'The file system, or a limit (ulimit -f), does not allow files this large.',
  ],
  EMFILE: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'Raise the limit of open files (ulimit -n), or do less at a time.'],
  ENFILE: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'Too many files are open on this machine.'],
  ENOMEM: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'Free memory.'],
  EAGAIN: ['ERR_CAISSON_RESOURCE_EXHAUSTED', 'A limit of threads is reached (ulimit -u, pids.max).'],
  EPERM: [
    'ERR_CAISSON_PERMISSION',
    'An ordinary user cannot set owners or make devices: leave them out (owners: "ignore", devices: "skip"), or run as root.',
  ],
  EACCES: ['ERR_CAISSON_PERMISSION', 'Check who may write to the directory.'],
  EROFS: ['ERR_CAISSON_PERMISSION', 'The file system is mounted read-only.'],
  EOPNOTSUPP: ['ERR_CAISSON_UNSUPPORTED', 'The file system there has no extended attributes; use ext4, xfs or btrfs.'],
  ENOSYS: ['ERR_CAISSON_UNSUPPORTED', 'caisson needs Linux 5.12 or later, and openat2 must not be filtered.'],
}

export function layerError(fault: NativeFault, stage: string): CaissonError {
  const name = fault.entry === '' ? '' : `${printable(fault.entry)}: `
  if (fault.kind !== 'system') {
    const [code, hint] = ADVICE[fault.kind]
    return new CaissonError(code, `${stage}: ${name}${fault.what}`, { stage, hint })
  }
  const errno = systemName(fault.errno)
  const [code, hint] = SYSTEM[errno] ?? ['ERR_CAISSON_FILE', 'See the system call and the file that are named.']
  const options: CaissonErrorOptions = {
    stage,
    hint,
    cause: { code: errno, errno: -fault.errno, syscall: fault.syscall, path: printable(fault.entry) },
  }
  return new CaissonError(code, `${stage}: ${name}${fault.what}: ${fault.syscall}: ${errno}`, options)
}

/** What work that was given up says. */
export function cancelled(stage: string): CaissonError {
  return layerError({ kind: 'cancelled', what: 'cancelled', entry: '', syscall: '', errno: 0 }, stage)
}

function systemName(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `E${errno}`
  }
}

const SHOWN_MAX = 200

/** A name out of an archive, without what would change a terminal or a log. */
export function printable(bytes: string): string {
  const text = bytesToText(bytes)
  const short = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get through
  return short.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\ufffd]/g, (character) => {
    const code = character.codePointAt(0) as number
    return `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** UTF-8 where the bytes are that; otherwise each byte stays one character. */
export function bytesToText(bytes: string): string {
  const buffer = Buffer.from(bytes, 'latin1')
  return isUtf8(buffer) ? buffer.toString('utf8') : bytes
}

export function textToBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** Waits for work of the addon, which an abort cancels; its failure becomes an Error. */
export async function finished<T>(
  work: NativeRunning<T>,
  cancel: () => void,
  stage: string,
  signal?: AbortSignal,
): Promise<T> {
  const tooLate = signal?.aborted
  signal?.addEventListener('abort', cancel, { once: true })
  if (tooLate) cancel()
  try {
    const result = await work.done.catch((fault: NativeFault) => Promise.reject(layerError(fault, stage)))
    // A thread may have been done before it could be told.
    if (tooLate) throw cancelled(stage)
    return result
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

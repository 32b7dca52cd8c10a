/** Files of a container, in the shapes of node:fs/promises. Works while it runs and while it does not. */
import { constants, fstat, read, writeFile } from 'node:fs'
import { constants as system } from 'node:os'
import { promisify } from 'node:util'
import { CaissonError, invalidArgument } from '../../errors.js'
import { addon, type NativeAnswer, type NativeFailure } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import { type Abortable, aborted, checkAborted } from '../../util/abort.js'
import { resolvedPath } from '../../util/paths.js'
import { parseSize, type Size } from '../../util/units.js'
import { fileMode, userId } from '../options/file-owner.js'
import type { AgentOperation } from './agent.js'
import { DirectoryEntry, FileStatus } from './file-status.js'

const readDescriptor = promisify(read)
const statDescriptor = promisify(fstat)
const writeDescriptor = promisify(writeFile)

/** One request to the container's file agent. */
export type AgentCall = (
  op: AgentOperation,
  numbers?: number[],
  first?: string,
  second?: string,
) => Promise<NativeAnswer>

const FLAGS: Record<string, number> = {
  r: constants.O_RDONLY,
  'r+': constants.O_RDWR,
  w: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  wx: constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
  a: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
  ax: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_EXCL,
}

/** What opening says of anything but a directory: the last one of pipes, sockets and devices. */
const NO_DIRECTORY: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EOPNOTSUPP', 'ENOTSUP'])

/** Bytes of a file that is read into memory. A guest makes one of any size by one call, whatever its own limits. */
const READ_MAX = 64 * 1024 * 1024
/** Entries of a list. A guest makes them quickly, and more while they are read. */
const ENTRIES_MAX = 250_000
/** Characters of their paths, on average. */
const PATH_MEAN = 256
/** Bytes of memory for one that says nothing of its size. */
const LEAST_READ = 4095

interface ListOptions extends Abortable {
  recursive?: boolean
  maxEntries?: number
}

export class ContainerFs {
  readonly #call: AgentCall

  constructor(call: AgentCall) {
    this.#call = async (op, numbers = [], first = '', second = '') => {
      try {
        return await call(op, numbers, first, second)
      } catch (error) {
        if (error instanceof CaissonError) throw error
        throw fileError(error as NativeFailure, op, first)
      }
    }
  }

  /** `maxBytes`: a larger file is an error. Default 64 MiB; getArchive() gives one of any size as a stream. */
  readFile(path: string, options?: (Abortable & { encoding?: null; maxBytes?: Size }) | null): Promise<Buffer>
  readFile(
    path: string,
    options: BufferEncoding | (Abortable & { encoding: BufferEncoding; maxBytes?: Size }),
  ): Promise<string>
  async readFile(
    path: string,
    options?: BufferEncoding | (Abortable & { encoding?: BufferEncoding | null; maxBytes?: Size }) | null,
  ): Promise<Buffer | string> {
    const { encoding, maxBytes, signal } = typeof options === 'string' ? { encoding: options } : (options ?? {})
    checkAborted(signal, 'files')
    if (encoding && !Buffer.isEncoding(encoding))
      throw invalidArgument('encoding', encoding, 'an encoding such as utf8')
    const most = maxBytes === undefined ? READ_MAX : parseSize(maxBytes, 'maxBytes')
    const { fd } = await this.#call('OPEN', [FLAGS.r as number, 0], resolvedPath(path, 'path'))
    try {
      const content = await contentOf(fd, most)
      if (!content) throw tooLarge(path, most)
      return encoding ? content.toString(encoding) : content
    } catch (error) {
      throw error instanceof CaissonError ? error : dataError(error as NodeJS.ErrnoException, path)
    } finally {
      // In a worker_thread fs warns of what it closes and has not opened.
      addon().closeFd(fd)
    }
  }

  async writeFile(
    path: string,
    data: string | Uint8Array | AsyncIterable<string | Uint8Array>,
    options?:
      | BufferEncoding
      | (Abortable & { encoding?: BufferEncoding | null; mode?: number | string; flag?: string })
      | null,
  ): Promise<void> {
    const given = typeof options === 'string' ? { encoding: options } : (options ?? {})
    const { encoding, mode = 0o666, flag = 'w', signal } = given
    checkAborted(signal, 'files')
    const flags = FLAGS[flag]
    if (flags === undefined)
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `flag: ${JSON.stringify(flag)} is not known`, {
        stage: 'options',
        hint: `Use one of ${Object.keys(FLAGS).join(', ')}.`,
      })
    const bytes = await contentBytes(data, encoding ?? 'utf8')
    const { fd } = await this.#call('OPEN', [flags, fileMode(mode, 'mode') & ~0o022], resolvedPath(path, 'path'))
    try {
      await writeDescriptor(fd, bytes, { signal })
    } catch (error) {
      throw signal?.aborted ? aborted(signal, 'files') : dataError(error as NodeJS.ErrnoException, path)
    } finally {
      addon().closeFd(fd)
    }
  }

  appendFile(path: string, data: string | Uint8Array, { signal }: Abortable = {}): Promise<void> {
    return this.writeFile(path, data, { flag: 'a', signal })
  }

  async mkdir(path: string, options: Abortable & { recursive?: boolean; mode?: number | string } = {}): Promise<void> {
    const { recursive = false, mode = 0o755, signal } = options
    checkAborted(signal, 'files')
    await this.#call('MKDIR', [fileMode(mode, 'mode'), recursive ? 1 : 0], resolvedPath(path, 'path'))
  }

  /**
   * `recursive`: what is in directories below it, too; links are not followed. `maxEntries`: more are an error, and so are
   * paths of more than 256 characters on average. Default 250,000.
   */
  readdir(path: string, options?: ListOptions & { withFileTypes?: false }): Promise<string[]>
  readdir(path: string, options: ListOptions & { withFileTypes: true }): Promise<DirectoryEntry[]>
  async readdir(
    path: string,
    options: ListOptions & { withFileTypes?: boolean } = {},
  ): Promise<string[] | DirectoryEntry[]> {
    const { maxEntries: most = ENTRIES_MAX, signal } = options
    checkAborted(signal, 'files')
    if (!Number.isSafeInteger(most) || most < 0) throw invalidArgument('maxEntries', most, 'a whole number')
    const entries = await this.#entries(resolvedPath(path, 'path'), constants.O_DIRECTORY, most)
    const names = entries.map(({ name }) => name)
    let left = most * PATH_MEAN
    if (options.recursive)
      for (let i = 0; i < entries.length; i++) {
        checkAborted(signal, 'files')
        const { name, parentPath } = entries[i] as DirectoryEntry
        if (!entries[i]?.isDirectory()) continue
        for (const entry of await this.#below(`${parentPath.replace(/\/+$/, '')}/${name}`, most - entries.length)) {
          const relative = `${names[i]}/${entry.name}`
          left -= relative.length
          if (left < 0) throw tooMany(path)
          entries.push(entry)
          names.push(relative)
        }
      }
    return options.withFileTypes ? entries : names
  }

  /** A guest may have removed it meanwhile, or put something else in its place. */
  async #below(path: string, most: number): Promise<DirectoryEntry[]> {
    try {
      return await this.#entries(path, constants.O_DIRECTORY | constants.O_NOFOLLOW, most)
    } catch (error) {
      const { code } = ((error as CaissonError).cause ?? {}) as NodeJS.ErrnoException
      if (NO_DIRECTORY.has(code)) return []
      throw error
    }
  }

  async #entries(path: string, flags: number, most: number): Promise<DirectoryEntry[]> {
    const { fd } = await this.#call('OPEN', [constants.O_RDONLY | flags, 0], path)
    const list = await addon()
      .readDirectory(fd, most)
      .catch((failure: NativeFailure) => {
        throw failure.errno === system.errno.EFBIG ? tooMany(path) : fileError(failure, 'OPEN', path)
      })
    const entries: DirectoryEntry[] = []
    for (let i = 0; i < list.length; i += 2)
      entries.push(new DirectoryEntry(list[i] as string, path, list[i + 1] as number))
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async stat(path: string, { signal }: Abortable = {}): Promise<FileStatus> {
    checkAborted(signal, 'files')
    return new FileStatus((await this.#call('STAT', [0], resolvedPath(path, 'path'))).numbers)
  }

  async lstat(path: string, { signal }: Abortable = {}): Promise<FileStatus> {
    checkAborted(signal, 'files')
    return new FileStatus((await this.#call('STAT', [1], resolvedPath(path, 'path'))).numbers)
  }

  async rm(path: string, options: Abortable & { recursive?: boolean; force?: boolean } = {}): Promise<void> {
    checkAborted(options.signal, 'files')
    const how = (options.recursive ? 1 : 0) | (options.force ? 2 : 0)
    await this.#call('REMOVE', [how], resolvedPath(path, 'path'))
  }

  async rename(from: string, to: string, { signal }: Abortable = {}): Promise<void> {
    checkAborted(signal, 'files')
    await this.#call('RENAME', [], resolvedPath(from, 'from'), resolvedPath(to, 'to'))
  }

  /** The target is text; it is not looked at. */
  async symlink(target: string, path: string, { signal }: Abortable = {}): Promise<void> {
    checkAborted(signal, 'files')
    if (typeof target !== 'string' || target === '' || target.includes('\0'))
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'target: a link needs a target', { stage: 'options' })
    await this.#call('SYMLINK', [], target, resolvedPath(path, 'path'))
  }

  async readlink(path: string, { signal }: Abortable = {}): Promise<string> {
    checkAborted(signal, 'files')
    return (await this.#call('READLINK', [], resolvedPath(path, 'path'))).text
  }

  async chmod(path: string, mode: number | string, { signal }: Abortable = {}): Promise<void> {
    checkAborted(signal, 'files')
    await this.#call('CHMOD', [fileMode(mode, 'mode')], resolvedPath(path, 'path'))
  }

  async chown(path: string, uid: number, gid: number, { signal }: Abortable = {}): Promise<void> {
    checkAborted(signal, 'files')
    await this.#call('CHOWN', [userId(uid, 'uid'), userId(gid, 'gid'), 0], resolvedPath(path, 'path'))
  }

  async utimes(path: string, atime: Date | number, mtime: Date | number, { signal }: Abortable = {}): Promise<void> {
    checkAborted(signal, 'files')
    const nanoseconds = (time: Date | number) => (time instanceof Date ? time.getTime() * 1e6 : time * 1e9)
    await this.#call('UTIMES', [nanoseconds(atime), nanoseconds(mtime)], resolvedPath(path, 'path'))
  }
}

async function contentBytes(data: unknown, encoding: BufferEncoding): Promise<Uint8Array> {
  if (typeof data === 'string') return Buffer.from(data, encoding)
  if (data instanceof Uint8Array) return data
  const wanted = 'a string, bytes, or a stream of these'
  if (typeof data !== 'object' || data === null || !(Symbol.asyncIterator in data))
    throw invalidArgument('data', data, wanted)
  const parts: Uint8Array[] = []
  for await (const part of data as AsyncIterable<unknown>) {
    if (typeof part !== 'string' && !(part instanceof Uint8Array)) throw invalidArgument('data', part, wanted)
    parts.push(typeof part === 'string' ? Buffer.from(part, encoding) : part)
  }
  return Buffer.concat(parts)
}

/** undefined: it is longer. It may grow meanwhile, and files of the kernel say that they are empty. */
async function contentOf(fd: number, most: number): Promise<Buffer | undefined> {
  const { size } = await statDescriptor(fd)
  if (size > most) return undefined
  let bytes = Buffer.allocUnsafeSlow(Math.max(size, LEAST_READ) + 1)
  for (let length = 0; ; ) {
    const { bytesRead } = await readDescriptor(fd, bytes, length, bytes.length - length, null)
    if (bytesRead === 0) return bytes.subarray(0, length)
    length += bytesRead
    if (length > most) return undefined
    if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(2 * length, most + 1))
  }
}

function tooLarge(path: string, most: number): CaissonError {
  return new CaissonError('ERR_CAISSON_FILE', `files: ${path}: it has more than ${most} bytes`, {
    stage: `files: ${path}`,
    hint: 'Give maxBytes if the memory is there, or take it as a stream (getArchive).',
    cause: { code: 'EFBIG', errno: -system.errno.EFBIG, syscall: 'read', path },
  })
}

function tooMany(path: string): CaissonError {
  return new CaissonError('ERR_CAISSON_FILE', `files: ${path}: too many entries`, {
    stage: `files: ${path}`,
    hint: 'Give maxEntries if the memory is there, or take them as a stream (getArchive).',
    cause: { code: 'EFBIG', errno: -system.errno.EFBIG, syscall: 'getdents64', path },
  })
}

const CALLS: Partial<Record<AgentOperation, string>> = {
  OPEN: 'open',
  MKDIR: 'mkdir',
  REMOVE: 'rm',
  RENAME: 'rename',
  SYMLINK: 'symlink',
  CHMOD: 'chmod',
  CHOWN: 'chown',
  STAT: 'stat',
  READLINK: 'readlink',
  UTIMES: 'utimes',
}

export function fileError(failure: NativeFailure, op: AgentOperation, path: string): CaissonError {
  const syscall = failure.syscall || (CALLS[op] ?? '')
  const error = errorFromFailure({ ...failure, stage: `files: ${path}`, syscall, path })
  if (op !== 'CHOWN' || failure.errno !== system.errno.EINVAL) return error
  const { code, message, stage, cause } = error
  return new CaissonError(code, message, { stage, hint: NO_SUCH_ID, cause })
}

const NO_SUCH_ID =
  'The user namespace of the container has no such id: name another one, or raise what /etc/subuid and /etc/subgid give.'

function dataError(error: NodeJS.ErrnoException, path: string): CaissonError {
  return errorFromFailure({
    stage: `files: ${path}`,
    syscall: error.syscall ?? 'read',
    errno: -(error.errno ?? -5),
    path,
    record: -1,
  })
}

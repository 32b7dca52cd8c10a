/**
 * The outer archive of `docker save`, `skopeo copy ... oci-archive:` and the like, member by member as it comes. Names in
 * it are keys, and never become paths.
 */
import { once } from 'node:events'
import { Parser, type ReadEntry } from 'tar'
import { CaissonError } from '../errors.js'
import { type LayerLimits, nativeLimits } from '../layer/options.js'

export interface ArchiveMember {
  /** Without `./` in front. */
  name: string
  size: number
  /** Where a link leads, as a name in the archive; undefined: a file. */
  link?: string
  /** Can be read once. */
  content: AsyncIterable<Buffer>
}

/** Members of an archive; images have some per layer. */
export const MEMBERS_MAX = 20_000
const NAME_MAX = 1024
const META_MAX = 1024 * 1024

export interface ReadOptions {
  /** Of these, `bytes` is a bound of all members together. */
  limits?: LayerLimits
  signal?: AbortSignal
}

/** Calls `take` for every file and link, one after the other. What it leaves unread is skipped. */
export async function readArchive(
  source: AsyncIterable<Uint8Array>,
  take: (member: ArchiveMember) => Promise<void>,
  { limits, signal }: ReadOptions = {},
): Promise<void> {
  let room = nativeLimits(limits).maxBytes
  let failure: Error | undefined
  let taken: Promise<void> = Promise.resolve()
  const names = new Set<string>()
  const one = async (entry: ReadEntry) => {
    const member = checkedMember(entry, names)
    if (member && !failure) await take(member)
  }
  const parser = new Parser({
    strict: true,
    maxMetaEntrySize: META_MAX,
    onReadEntry: (entry) => {
      room -= entry.size
      if (room < 0) failure ??= tooLarge()
      taken = taken
        .then(() => one(entry))
        .catch((error) => {
          failure ??= error
          parser.emit('drain')
        })
        .finally(() => entry.resume())
    },
  })
  parser.on('error', (error) => {
    failure ??= archiveError(error.message)
    parser.emit('drain')
  })
  for await (const chunk of source) {
    if (signal?.aborted) throw aborted(signal)
    if (!parser.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)) && !failure)
      await once(parser, 'drain')
    if (failure) break
  }
  if (!failure) {
    const ended = once(parser, 'end')
    ended.catch(() => undefined)
    parser.end()
    if (!failure) await ended.catch((error) => (failure ??= error))
  }
  await taken
  if (failure) throw failure
}

function checkedMember(entry: ReadEntry, names: Set<string>): ArchiveMember | undefined {
  if (entry.type === 'Directory' || entry.type === 'GNUDumpDir') return undefined
  const name = memberName(entry.path)
  if (names.size >= MEMBERS_MAX) throw archiveError(`it has more than ${MEMBERS_MAX} members`)
  // What is there twice, two programs read differently.
  if (names.has(name)) throw archiveError(`${JSON.stringify(name)} is in it twice`)
  names.add(name)
  const content = entry as AsyncIterable<Buffer>
  const { size } = entry
  switch (entry.type) {
    case 'File':
    case 'OldFile':
    case 'ContiguousFile':
      return { name, size, content }
    case 'SymbolicLink': {
      const above = name.includes('/') ? name.slice(0, name.lastIndexOf('/') + 1) : ''
      return { name, size, content, link: memberName(`${above}${entry.linkpath ?? ''}`) }
    }
    case 'Link':
      return { name, size, content, link: memberName(entry.linkpath ?? '') }
    default:
      throw archiveError(`${JSON.stringify(name)} is a ${entry.type}, and images are made of files`)
  }
}

/** `./a/../b` and `b` are the same; what leads out of the archive is refused. */
export function memberName(text: string): string {
  const parts: string[] = []
  for (const part of text.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (parts.pop() === undefined) throw archiveError(`${JSON.stringify(text.slice(0, 200))} leads out of it`)
    } else parts.push(part)
  }
  const name = parts.join('/')
  if (name === '' || name.length > NAME_MAX || name.includes('\0') || text.startsWith('/'))
    throw archiveError(`${JSON.stringify(text.slice(0, 200))} is no name of a member`)
  return name
}

export function archiveError(message: string, hint = ''): CaissonError {
  return new CaissonError('ERR_CAISSON_IMAGE_ARCHIVE', `image archive: ${message}`, {
    stage: 'load',
    hint: hint || 'Archives of images are made by docker save, podman save, skopeo and Image.save().',
  })
}

function tooLarge(): CaissonError {
  return new CaissonError('ERR_CAISSON_LAYER_LIMIT', 'image archive: it has more bytes when decompressed than it may', {
    stage: 'load',
    hint: 'If the content is trusted, give a higher limits.bytes.',
  })
}

function aborted(signal: AbortSignal): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', 'load: aborted', {
    stage: 'load',
    ...(signal.reason instanceof Error ? { cause: signal.reason } : {}),
  })
}

/**
 * Archives of images that are compressed with zstd, which Node 20 cannot decompress: the addon unpacks them to a directory
 * that is removed afterwards, and their members are read there.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readdir, readlink } from 'node:fs/promises'
import path from 'node:path'
import { applyLayer } from '../layer/apply.js'
import { removeTree } from '../layer/tree.js'
import { type ArchiveMember, archiveError, MEMBERS_MAX, memberName, type ReadOptions } from './archive-reader.js'

const CHUNK = 1024 * 1024

/** As readArchive(), in an order of its own. `scratch` is for what goes with this process. */
export async function readUnpacked(
  scratch: string,
  source: AsyncIterable<Uint8Array>,
  take: (member: ArchiveMember) => Promise<void>,
  { limits, signal }: ReadOptions = {},
): Promise<void> {
  const directory = path.join(scratch, `load-${randomBytes(8).toString('hex')}`)
  await mkdir(scratch, { recursive: true, mode: 0o711 })
  await mkdir(directory, { mode: 0o700 })
  try {
    await applyLayer({
      directory,
      source,
      whiteouts: 'none',
      owners: 'ignore',
      devices: 'refuse',
      end: 'lenient',
      digests: false,
      limits: { bytes: limits?.bytes, entries: MEMBERS_MAX },
      signal,
    })
    await takeAll(directory, '', take, signal)
  } finally {
    await removeTree(directory)
  }
}

async function takeAll(
  directory: string,
  above: string,
  take: (member: ArchiveMember) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const entry of await readdir(path.join(directory, above), { withFileTypes: true })) {
    signal?.throwIfAborted()
    const name = memberName(`${above}${entry.name}`)
    const file = path.join(directory, name)
    if (entry.isDirectory()) await takeAll(directory, `${name}/`, take, signal)
    else if (entry.isSymbolicLink()) {
      const link = memberName(`${above}${await readlink(file)}`)
      await take({ name, size: 0, link, content: nothing() })
    } else if (entry.isFile()) await takeFile(file, name, take)
    else throw archiveError(`${JSON.stringify(name)} is neither a file nor a link, and images are made of files`)
  }
}

async function takeFile(file: string, name: string, take: (member: ArchiveMember) => Promise<void>): Promise<void> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { size } = await handle.stat()
    await take({ name, size, content: handle.createReadStream({ autoClose: false, highWaterMark: CHUNK }) })
  } finally {
    await handle.close()
  }
}

async function* nothing(): AsyncGenerator<Buffer> {}

/** Files that are there whole or not at all, whatever ends this process or the machine. */
import { randomBytes } from 'node:crypto'
import { constants as files } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { constants } from 'node:os'
import path from 'node:path'

/** Makes new names in a directory last. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, files.O_RDONLY | files.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Beside its place first, then renamed. What a crash leaves is in `temporary`, and swept there. */
export async function writeWhole(file: string, content: string | Uint8Array, temporary: string): Promise<void> {
  const beside = path.join(temporary, `${path.basename(file)}-${randomBytes(8).toString('hex')}`)
  let handle: FileHandle | undefined
  try {
    handle = await open(beside, 'wx', 0o600)
    await handle.writeFile(content)
    await handle.sync()
    await handle.close()
    handle = undefined
    await rename(beside, file)
  } catch (error) {
    await handle?.close().catch(() => undefined)
    await rm(beside, { force: true })
    throw error
  }
  await syncDirectory(path.dirname(file))
}

/** The error that means a missing file, and no other. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
}

/** Nothing more can be written: the disk is full, or what this user may have of it. */
export function isFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** The file system is mounted read-only: what Node says, or a record of the addon. */
export function isReadOnly(error: unknown): boolean {
  const { code, errno } = (error ?? {}) as Partial<NodeJS.ErrnoException>
  return code === 'EROFS' || errno === constants.errno.EROFS
}

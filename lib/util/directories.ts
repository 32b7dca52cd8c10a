/**
 * Directories with those above them. Node's own `recursive` says ENOENT where the file system is read-only, and goes on
 * for ever where nothing can be made.
 */
import { mkdir, stat } from 'node:fs/promises'
import path from 'node:path'

/** Whether all of them are there. To be asked first, as it is mostly so: each mkdir that fails takes longer than all of this. */
export async function areDirectories(directories: readonly string[]): Promise<boolean> {
  const found = await Promise.all(directories.map((directory) => stat(directory).catch(() => undefined)))
  return found.every((status) => status?.isDirectory())
}

/** What is there already stays as it is; `mode` is for all that are made. Errors are those of mkdir(2). */
export async function makeDirectories(directory: string, mode: number): Promise<void> {
  try {
    await mkdir(directory, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const above = path.dirname(directory)
    if (code === 'ENOENT' && above !== directory) {
      await makeDirectories(above, mode)
      // Once: another process may have made it, and nobody removes it.
      await mkdir(directory, { mode }).catch((again) => unlessDirectory(directory, again))
    } else await unlessDirectory(directory, error)
  }
}

/** It is there, whatever mkdir said: on a read-only file system that may be EROFS. */
async function unlessDirectory(directory: string, error: unknown): Promise<void> {
  const status = await stat(directory).catch(() => undefined)
  if (!status?.isDirectory()) throw error
}

/**
 * Names of containers on a network, for every resolver of it in whatever process: a directory for each name, with a link
 * for each address that leads to the directory of its owner, and counts as long as that is there.
 */
import { mkdir, rmdir, symlink, unlink } from 'node:fs/promises'
import path from 'node:path'
import { invalidArgument } from '../errors.js'
import { networkRun } from './leases.js'

export const namesDirectory = (id: string) => path.join(networkRun(id), 'names')

/** Names that can be asked for: letters, digits, `-` and `_`, in parts of at most 63. In small letters. */
export function checkHostName(name: unknown, option: string): string {
  const part = '[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?'
  if (typeof name !== 'string' || name.length > 253 || !new RegExp(`^${part}(\\.${part})*$`).test(name))
    throw invalidArgument(option, name, 'a host name')
  return name.toLowerCase()
}

export async function addNames(id: string, names: Iterable<string>, addresses: readonly string[], holder: string) {
  for (const name of names) {
    const directory = path.join(namesDirectory(id), name)
    for (const address of addresses)
      for (let attempt = 0; ; attempt++) {
        await mkdir(directory, { recursive: true, mode: 0o711 })
        try {
          await symlink(holder, path.join(directory, address))
          break
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException
          // A dead owner's, whose address is ours now; or the last one of that name has gone at this moment.
          if ((code !== 'EEXIST' && code !== 'ENOENT') || attempt > 8) throw error
          if (code === 'EEXIST') await unlink(path.join(directory, address)).catch(() => undefined)
        }
      }
  }
}

export async function removeNames(id: string, names: Iterable<string>, addresses: readonly string[]): Promise<void> {
  for (const name of names) {
    const directory = path.join(namesDirectory(id), name)
    for (const address of addresses) await unlink(path.join(directory, address)).catch(() => undefined)
    await rmdir(directory).catch(() => undefined)
  }
}

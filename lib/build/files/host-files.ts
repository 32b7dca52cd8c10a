/**
 * Opens files below a directory by descriptors, one name after the other, and never through a symbolic link: whatever is
 * exchanged meanwhile, nothing outside is reached. Node has no openat(2); a name below /proc/self/fd/N is the same.
 */
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs'
import { setFault } from './fault.js'

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** That it is the same file with the same bytes, as far as the file system tells. */
export function identityOf({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`
}

export class HostFiles {
  readonly #root: string
  /** Directories that are open, from the root down. */
  readonly #open: Array<{ name: string; fd: number }> = []

  constructor(root: string) {
    this.#root = root
    this.#open.push({ name: '', fd: openSync(root, O_RDONLY | O_DIRECTORY) })
  }

  /** The descriptor of a directory; it belongs to this object. */
  directory(path: string): number {
    const parts = path === '' ? [] : path.split('/')
    let depth = 0
    while (depth < parts.length && this.#open[depth + 1]?.name === parts[depth]) depth++
    while (this.#open.length > depth + 1) closeSync((this.#open.pop() as { fd: number }).fd)
    for (const name of parts.slice(depth)) {
      const above = this.#open.at(-1) as { fd: number }
      const fd = setFault(path, () => openSync(at(above.fd, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
      this.#open.push({ name, fd })
    }
    return (this.#open.at(-1) as { fd: number }).fd
  }

  /** The file, which must be the one that was looked at before. The caller closes it. */
  file(path: string, identity: string): number {
    const slash = path.lastIndexOf('/')
    const directory = this.directory(slash < 0 ? '' : path.slice(0, slash))
    return setFault(path, () => {
      const fd = openSync(at(directory, path.slice(slash + 1)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      if (identityOf(fstatSync(fd)) === identity) return fd
      closeSync(fd)
      throw new Error(`${path} was changed during the build (in ${this.#root})`)
    })
  }

  close(): void {
    for (const { fd } of this.#open.splice(0)) closeSync(fd)
  }
}

export const at = (directory: number, name: string) => `/proc/self/fd/${directory}/${name}`

/** A tree that files are copied from: a context, a stage, or an image. */
import { CaissonError } from '../errors.js'
import type { Entry } from './files/entry.js'
import { type ListedEntry, Listing } from './listing.js'

export class Tree {
  readonly listing: Listing
  readonly #entries = new Map<string, Entry>()

  constructor(entries: Iterable<Entry>) {
    const listed: ListedEntry[] = []
    for (const entry of entries) {
      this.#entries.set(entry.path, entry)
      const { path, kind, target } = entry
      const type = kind === 'file' || kind === 'directory' || kind === 'symlink' ? kind : 'other'
      listed.push({ path, type, ...(target === undefined ? {} : { target }) })
    }
    this.listing = new Listing(listed)
  }

  /** Directories that only others imply are root's. */
  entry(path: string): Entry {
    return this.#entries.get(path) ?? { path, kind: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0, size: 0 }
  }
}

export function copyError(message: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_DOCKERFILE', message, { stage: 'copy', hint })
}

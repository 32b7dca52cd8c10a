/** A tree that files are copied from: a context, a stage, or an image. */
import { CaissonError } from '../errors.js'
import type { Entry } from './files/entry.js'
import type { Inventory } from './files/inventory.js'
import { type ListedEntry, ListedNode, Listing } from './listing.js'

export class Tree {
  readonly listing: Listing
  /** Where it is a directory of the host. */
  readonly inventory: Inventory | undefined
  readonly #entries = new Map<string, Entry>()

  /** All entries; or an inventory, of which only those are looked at that somebody asks for. */
  constructor(from: Iterable<Entry> | { inventory: Inventory }) {
    if ('inventory' in from) {
      this.inventory = from.inventory
      this.listing = new Listing(this.#node(from.inventory.entry(0, '')))
      return
    }
    const listed: ListedEntry[] = []
    for (const entry of from) {
      this.#entries.set(entry.path, entry)
      const { path, target } = entry
      listed.push({ path, type: typeOf(entry), ...(target === undefined ? {} : { target }) })
    }
    this.listing = new Listing(listed)
  }

  #node(entry: Entry): ListedNode {
    this.#entries.set(entry.path, entry)
    const list = () => (this.inventory as Inventory).entriesIn(entry).map((each) => this.#node(each))
    const node = new ListedNode(entry.path, entry.kind === 'directory' ? list : undefined)
    node.type = typeOf(entry)
    node.target = entry.target ?? ''
    return node
  }

  /** Directories that only others imply are root's. */
  entry(path: string): Entry {
    return this.#entries.get(path) ?? { path, kind: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0, size: 0 }
  }
}

export function typeOf({ kind }: Entry): ListedEntry['type'] {
  return kind === 'file' || kind === 'directory' || kind === 'symlink' ? kind : 'other'
}

export function copyError(message: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_DOCKERFILE', message, { stage: 'copy', hint })
}

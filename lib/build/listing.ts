/** The names in a tree of files, as far as copying needs to know them. Pure: whoever walked the tree gives them. */
import { joinPath } from './dockerfile/text.js'

export interface ListedEntry {
  /** Relative to the root, with slashes. */
  path: string
  type: 'file' | 'directory' | 'symlink' | 'other'
  /** Where a symbolic link points. */
  target?: string
}

export class ListedNode {
  /** Relative to the root; empty for the root. */
  readonly path: string
  type: ListedEntry['type'] = 'directory'
  target = ''
  private readonly list: ((node: ListedNode) => Iterable<ListedNode>) | undefined
  private known?: Map<string, ListedNode>
  private sorted?: ListedNode[]

  /** `list`: gives those in the directory, when somebody asks first. Default: none but those that grow. */
  constructor(path: string, list?: (node: ListedNode) => Iterable<ListedNode>) {
    this.path = path
    this.list = list
  }

  get name(): string {
    return this.path.slice(this.path.lastIndexOf('/') + 1)
  }

  private get children(): Map<string, ListedNode> {
    if (!this.known) {
      this.known = new Map()
      for (const node of this.list?.(this) ?? []) this.known.set(node.name, node)
    }
    return this.known
  }

  child(name: string): ListedNode | undefined {
    return this.children.get(name)
  }

  /** By name. */
  get entries(): ListedNode[] {
    this.sorted ??= [...this.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    return this.sorted
  }

  grow(name: string): ListedNode {
    const known = this.children.get(name)
    if (known) return known
    const node = new ListedNode(this.path === '' ? name : `${this.path}/${name}`)
    this.children.set(name, node)
    this.sorted = undefined
    return node
  }
}

/** As many links as the kernel follows. */
const MOST_LINKS = 40

export class Listing {
  readonly root: ListedNode

  /** @param entries in any order; directories that only others imply need not be among them. Or the root, which lists. */
  constructor(entries: Iterable<ListedEntry> | ListedNode) {
    this.root = entries instanceof ListedNode ? entries : new ListedNode('')
    if (entries instanceof ListedNode) return
    for (const { path, type, target } of entries) {
      let node = this.root
      for (const part of path.split('/')) if (part !== '' && part !== '.') node = node.grow(part)
      if (node === this.root) continue
      node.type = type
      node.target = target ?? ''
    }
  }

  /** What is at exactly that path: no links are followed. */
  at(path: string): ListedNode | undefined {
    let node: ListedNode | undefined = this.root
    for (const part of path.split('/')) if (part !== '') node = node?.child(part)
    return node
  }

  /**
   * What is at a path. Links are followed inside the root, as if it were the file system's: none leads out.
   * @returns undefined when there is nothing, or links go round in a circle.
   */
  resolve(path: string): ListedNode | undefined {
    const rest = path.split('/').reverse()
    const trail = [this.root]
    let links = 0
    for (let part = rest.pop(); part !== undefined; part = rest.pop()) {
      if (part === '' || part === '.') continue
      if (part === '..') {
        if (trail.length > 1) trail.pop()
        continue
      }
      const node = (trail.at(-1) as ListedNode).child(part)
      if (!node) return undefined
      if (node.type !== 'symlink') {
        trail.push(node)
        continue
      }
      if (++links > MOST_LINKS) return undefined
      if (node.target.startsWith('/')) trail.length = 1
      rest.push(...node.target.split('/').reverse())
    }
    return trail.at(-1)
  }
}

/** A path in a tree from one relative to its root. */
export const rooted = (path: string) => joinPath('/', path)

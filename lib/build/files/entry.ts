/** Files on their way into a layer: what is known of each, and where its bytes are. */
import type { Inventory } from './inventory.js'

/** Where the bytes of a file are. */
export type Content =
  /** A part of a file of ours. */
  { kind: 'part'; file: string; offset: number } | { kind: 'text'; text: string }

export interface Entry {
  /** Relative to the root of its tree. */
  path: string
  kind: 'file' | 'directory' | 'symlink' | 'fifo' | 'character' | 'block'
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  /** Seconds since 1970. */
  mtime: number
  /** Bytes of a file. */
  size: number
  /** Of a symbolic link. */
  target?: string
  device?: [major: number, minor: number]
  /** Values as latin1. */
  xattrs?: Record<string, string>
  content?: Content
  /** In a directory of the host, which it is read from. */
  item?: ItemOf
}

export interface ItemOf {
  inventory: Inventory
  index: number
}

/** A member of a layer; `path` is where it comes to lie, without a slash in front. */
export interface Member extends Entry {
  /** With all that is below it in its inventory, of the same owner. */
  whole?: boolean
  /** `mode` is not the item's own, and for all that is below it too. */
  otherMode?: boolean
}

/** What went wrong in the thread that reads files, as data. */
export interface FileFault {
  message: string
  path: string
  code?: string
  syscall?: string
  errno?: number
}

export interface WrittenArchive {
  digest: string
  size: number
  entries: number
}

/** What the thread does, and gives back. */
export interface FileTasks {
  /** What is in an archive that our own packer wrote. */
  index: { ask: { file: string }; answer: Entry[] }
  digest: { ask: { files: Array<Pick<Entry, 'path' | 'size' | 'content'>> }; answer: string[] }
  /** The first bytes of files, as latin1. */
  begin: { ask: { files: Array<Pick<Entry, 'path' | 'size' | 'content'>>; bytes: number }; answer: string[] }
  /** Writes the bytes of a file to a descriptor of this process. */
  copy: { ask: { file: Pick<Entry, 'path' | 'size' | 'content'>; fd: number }; answer: null }
  /** Writes members as a plain archive to a descriptor of this process. */
  pack: { ask: { members: Member[]; fd: number }; answer: WrittenArchive }
}

/** What a container's files are, in the shapes of node:fs. */
import { constants } from 'node:fs'

/** What stat() gives: the numbers and questions of fs.Stats. */
export class FileStatus {
  readonly mode: number
  readonly size: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly ino: number
  readonly blocks: number
  readonly blksize: number
  readonly atimeMs: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly birthtimeMs: number

  constructor(numbers: readonly number[]) {
    const at = (index: number) => numbers[index] ?? 0
    this.mode = at(0)
    this.size = at(1)
    this.uid = at(2)
    this.gid = at(3)
    this.nlink = at(4)
    this.ino = at(5)
    this.blocks = at(8)
    this.blksize = at(9)
    this.atimeMs = at(10) / 1e6
    this.mtimeMs = at(11) / 1e6
    this.ctimeMs = at(12) / 1e6
    this.birthtimeMs = at(13) / 1e6
  }

  get atime(): Date {
    return new Date(this.atimeMs)
  }
  get mtime(): Date {
    return new Date(this.mtimeMs)
  }
  get ctime(): Date {
    return new Date(this.ctimeMs)
  }
  get birthtime(): Date {
    return new Date(this.birthtimeMs)
  }

  #is(type: number): boolean {
    return (this.mode & constants.S_IFMT) === type
  }
  isFile(): boolean {
    return this.#is(constants.S_IFREG)
  }
  isDirectory(): boolean {
    return this.#is(constants.S_IFDIR)
  }
  isSymbolicLink(): boolean {
    return this.#is(constants.S_IFLNK)
  }
  isFIFO(): boolean {
    return this.#is(constants.S_IFIFO)
  }
  isSocket(): boolean {
    return this.#is(constants.S_IFSOCK)
  }
  isCharacterDevice(): boolean {
    return this.#is(constants.S_IFCHR)
  }
  isBlockDevice(): boolean {
    return this.#is(constants.S_IFBLK)
  }
}

/** What readdir({ withFileTypes: true }) gives. */
export class DirectoryEntry {
  readonly name: string
  readonly parentPath: string
  readonly #type: number

  constructor(name: string, parentPath: string, type: number) {
    this.name = name
    this.parentPath = parentPath
    this.#type = type
  }

  // DT_* of readdir(3) are S_IF* shifted.
  isFile(): boolean {
    return this.#type === 8
  }
  isDirectory(): boolean {
    return this.#type === 4
  }
  isSymbolicLink(): boolean {
    return this.#type === 10
  }
  isFIFO(): boolean {
    return this.#type === 1
  }
  isSocket(): boolean {
    return this.#type === 12
  }
  isCharacterDevice(): boolean {
    return this.#type === 2
  }
  isBlockDevice(): boolean {
    return this.#type === 6
  }
}

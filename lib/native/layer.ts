/** What the addon exports about layers. Names of files are strings with one character for each byte (latin1). */

declare const handle: unique symbol
export interface NativeWork {
  readonly [handle]: true
}

/** `done` rejects with a NativeFault. Work can be cancelled at any time; it has stopped when `done` is settled. */
export interface NativeRunning<T> {
  handle: NativeWork
  done: Promise<T>
}

export interface NativeFault {
  kind: 'malformed' | 'refused' | 'limit' | 'digest' | 'cancelled' | 'system'
  what: string
  entry: string
  syscall: string
  errno: number
}

/** A path, or a descriptor, which is duplicated. */
export type NativeLocation = string | number

/** Triples: id inside, id outside, count. */
export type NativeIdRanges = number[]

export interface NativeApply {
  directory: NativeLocation
  /** Absent: the bytes come through write(). */
  source?: NativeLocation
  compression?: 'auto' | 'none' | 'gzip' | 'zstd'
  whiteouts?: 'overlay' | 'apply' | 'none'
  overlayXattrs?: 'trusted' | 'user'
  base?: string
  owners?: boolean
  uids?: NativeIdRanges
  gids?: NativeIdRanges
  devices?: 'make' | 'skip' | 'refuse'
  replaceKind?: boolean
  lenientEnd?: boolean
  maxBytes?: number
  maxEntries?: number
  maxFileSize?: number
  maxRatio?: number
  /** Those of which nothing is expected as well. Default true. */
  digests?: boolean
  digest?: string
  diffId?: string
  size?: number
  sync?: boolean
}

export interface NativeApplied {
  compression: 'none' | 'gzip' | 'zstd'
  /** Of the bytes as they came, `sha256:...`; empty when not asked for. */
  digest: string
  /** Of the plain archive; empty when not asked for. */
  diffId: string
  /** Bytes as they came, and when decompressed. */
  size: number
  plainSize: number
  /** Members, and directories made for them. */
  entries: number
  /** Bytes of all files. */
  unpackedBytes: number
  /** Attributes that were left out: not allowed in layers, or unknown to the file system. */
  xattrsDropped: number
  devicesSkipped: number
  /** The layer hides all layers below it. Overlay has no mark for this on a root: leave those out of the mount. */
  opaqueRoot: boolean
  /** What only the layers below can settle: paths and targets in turn. */
  unsettled: string[]
}

export interface NativePack {
  directory: NativeLocation
  overlay?: boolean
  overlayXattrs?: 'trusted' | 'user'
  layer?: boolean
  base?: string
  name?: string
  /** Paths, and whether they are deleted, in turn. */
  changes?: Array<string | boolean>
  uids?: NativeIdRanges
  gids?: NativeIdRanges
  uid?: number
  gid?: number
  live?: boolean
  subseconds?: boolean
  latest?: number
  maxBytes?: number
  fewHoles?: boolean
}

export interface NativePacked {
  diffId: string
  size: number
  entries: number
  socketsSkipped: number
}

export interface NativeLayer {
  apply(options: NativeApply, progress?: (bytes: number, entries: number) => void): NativeRunning<NativeApplied>
  /** Whether it was read. Until the promise is settled the chunk's memory must stay as it is. */
  write(work: NativeWork, chunk: Uint8Array): Promise<boolean>
  /** No more chunks come. */
  end(work: NativeWork): void
  cancel(work: NativeWork): void
  /** The descriptor is duplicated; the duplicate is closed at the end. */
  pack(options: NativePack, fd: number): NativeRunning<NativePacked>
  /** Paths and kinds in turn: A added, C modified, D deleted. */
  diff(options: {
    upper: NativeLocation
    lowers: NativeLocation[]
    overlayXattrs?: 'trusted' | 'user'
    merged?: boolean
    own?: string[]
    uids?: NativeIdRanges
    gids?: NativeIdRanges
  }): NativeRunning<string[]>
  settle(options: {
    directory: NativeLocation
    lowers: NativeLocation[]
    unsettled: string[]
    overlayXattrs?: 'trusted' | 'user'
  }): NativeRunning<void>
  /** Removes a member of a directory with all below it. */
  remove(directory: NativeLocation, name: string): NativeRunning<void>
}

/** What the addon exports about directories that builds copy from. Work is cancelled as that on layers is. */
import type { NativeRunning } from './layer.js'

declare const inventory: unique symbol
export interface NativeInventory {
  readonly [inventory]: true
}

/** A pattern of .dockerignore, as lib/build/dockerfile/ignore.ts reads it. */
export interface NativeIgnorePattern {
  exception: boolean
  stem: string
  kind: 'exact' | 'suffix' | 'prefix' | 'glob'
  /** Of all kinds but `glob`. */
  text: string
  /** Of `glob`: a number for each part, and what belongs to it (GlobPart::Kind in addon/core/inventory/patterns.h). */
  parts: number[]
}

export interface NativeItem {
  item: number
  name: string
  kind: 'file' | 'directory' | 'symlink' | 'fifo' | 'character' | 'block'
  /** Permission bits. */
  mode: number
  /** Bytes of a file. */
  size: number
  /** Seconds since 1970. */
  mtime: number
  target?: string
  major?: number
  minor?: number
}

/** Something of the inventory, or a directory that is not in it. */
export interface NativeMember {
  /** Where it comes to lie, without a slash in front. */
  path: string
  uid: number
  gid: number
  /** Instead of the item's own. */
  mode?: number
  item?: number
  /** With all that is below it. */
  whole?: boolean
  /** Of one that is not in the inventory. */
  mtime?: number
}

export interface NativeInventories {
  /** `book`: where digests are kept from one build to the next; "" for nowhere. */
  take(root: string, patterns: NativeIgnorePattern[], book: string): NativeRunning<NativeInventory>
  /** 0 is the directory itself. */
  item(inventory: NativeInventory, item: number): NativeItem
  /** What is in a directory, by name. */
  children(inventory: NativeInventory, item: number): NativeItem[]
  /** Of files their bytes, of directories all that is in them. */
  digest(inventory: NativeInventory, items: number[]): NativeRunning<string[]>
  /** Later times than `latest`, in seconds, become it. The descriptor is duplicated. */
  archive(
    inventory: NativeInventory,
    members: NativeMember[],
    latest: number | undefined,
    fd: number,
  ): NativeRunning<{ digest: string; size: number; entries: number }>
  /** The bytes of a file. The descriptor is duplicated. */
  copy(inventory: NativeInventory, item: number, fd: number): NativeRunning<void>
  /** At most so many of the first bytes, as latin1. */
  begin(inventory: NativeInventory, item: number, most: number): NativeRunning<string>
  /** What was kept of files in memory is not needed any more. */
  forget(inventory: NativeInventory): NativeRunning<void>
}

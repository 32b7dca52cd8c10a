/** What the functions about layers have in common: limits, id maps, and checks of both. */
import { invalidArgument } from '../errors.js'
import type { NativeIdRanges } from '../native/layer.js'
import type { IdMapping } from '../spec/runtime.js'
import { checkNames, type Names } from '../util/option-names.js'
import { parseSize, type Size } from '../util/units.js'

/** What an archive may use. `Infinity` is no limit. */
export interface LayerLimits {
  /** Bytes of the archive when it is decompressed. */
  bytes?: Size
  /** Members, and directories that are made for them. */
  entries?: number
  /** Bytes of one file, with its holes. */
  fileSize?: Size
  /** Decompressed to compressed bytes, from 1 MiB on. 0: any. DEFLATE cannot do more than 1032. */
  ratio?: number
}

/** Generous: the largest images in use have layers of some ten GiB and half a million files. */
export const DEFAULT_LIMITS = { bytes: 128 * 1024 ** 3, entries: 4_000_000, fileSize: 1024 ** 4, ratio: 0 }

export interface IdMap {
  uidMap: readonly IdMapping[]
  gidMap: readonly IdMapping[]
}

/** Which attributes overlay uses: `user` for mounts by ordinary users (option userxattr). */
export type OverlayXattrs = 'trusted' | 'user'

function size(value: Size | undefined, otherwise: number, option: string): number {
  if (value === undefined) return otherwise
  return value === Number.POSITIVE_INFINITY ? value : parseSize(value, option)
}

function count(value: number | undefined, otherwise: number, option: string): number {
  if (value === undefined) return otherwise
  if (value !== Number.POSITIVE_INFINITY && (!Number.isSafeInteger(value) || value < 0))
    throw invalidArgument(option, value, 'a whole number that is not negative')
  return value
}

const NAMES: Names<LayerLimits> = { bytes: true, entries: true, fileSize: true, ratio: true }

/** Before anything is fetched. Throws ERR_CAISSON_INVALID_ARGUMENT; one that is misspelt would be no bound. */
export function checkLimits(limits: LayerLimits | undefined): void {
  checkNames(limits, NAMES, 'limits.')
  nativeLimits(limits)
}

export function nativeLimits(limits: LayerLimits = {}) {
  const ratio = count(limits.ratio, DEFAULT_LIMITS.ratio, 'limits.ratio')
  return {
    maxBytes: size(limits.bytes, DEFAULT_LIMITS.bytes, 'limits.bytes'),
    maxEntries: count(limits.entries, DEFAULT_LIMITS.entries, 'limits.entries'),
    maxFileSize: size(limits.fileSize, DEFAULT_LIMITS.fileSize, 'limits.fileSize'),
    maxRatio: ratio === Number.POSITIVE_INFINITY ? 0 : ratio,
  }
}

const ID_END = 2 ** 32 - 1

function ranges(mappings: readonly IdMapping[], option: string): NativeIdRanges {
  if (mappings.length === 0) throw invalidArgument(option, mappings, 'a list of at least one range')
  return mappings.flatMap((mapping) => {
    const { containerID, hostID, size } = mapping
    const good = [containerID, hostID, size].every((id) => Number.isSafeInteger(id) && id >= 0)
    if (!good || size === 0 || containerID + size > ID_END || hostID + size > ID_END)
      throw invalidArgument(option, mapping, 'a range { containerID, hostID, size } of 32-bit ids')
    return [containerID, hostID, size]
  })
}

export function nativeIdMap(idMap: IdMap | undefined): { uids?: NativeIdRanges; gids?: NativeIdRanges } {
  if (!idMap) return {}
  return { uids: ranges(idMap.uidMap, 'idMap.uidMap'), gids: ranges(idMap.gidMap, 'idMap.gidMap') }
}

/** A path, or a descriptor. */
export function checkedLocation(value: string | number, option: string): string | number {
  const good = typeof value === 'number' ? Number.isInteger(value) && value >= 0 : value !== '' && !value.includes('\0')
  if (!good) throw invalidArgument(option, value, 'a path or a file descriptor')
  return value
}

/** The form that the addon wants: no `.`, no `..`, no slash at either end; `..` stops at the root. */
export function cleanPath(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts.join('/')
}

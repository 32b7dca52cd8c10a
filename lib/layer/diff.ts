/** What a writable layer of overlay changes in the layers below it. */
import { isUtf8 } from 'node:buffer'
import { finished, textToBytes } from './failure.js'
import { checkedLocation, cleanPath, type IdMap, nativeIdMap, type OverlayXattrs } from './options.js'
import { layers } from './performer.js'

export interface Change {
  /** From the root, with a slash in front. */
  path: string
  /** The path as it is on disk, where that is no UTF-8; `path` has a character for each byte then. */
  bytes?: Buffer
  kind: 'added' | 'modified' | 'deleted'
}

export interface DiffOptions {
  /** Path or descriptor of the directory that overlay writes to, or with `merged` of what overlay shows. */
  upper: string | number
  /** `upper` is the mounted overlay: for writable layers that cannot be reached. Default false. */
  merged?: boolean
  /** Those below it, the uppermost first. */
  lowers: ReadonlyArray<string | number>
  overlayXattrs?: OverlayXattrs
  /** Paths that are not the container's doing where the layers lack them: places to mount something at. */
  own?: readonly string[]
  /** Of a merged view: the ids of the layers to those that it shows. */
  idMap?: IdMap
  signal?: AbortSignal
}

const KINDS: Record<string, Change['kind']> = { A: 'added', C: 'modified', D: 'deleted' }

/** As `docker diff`: sorted by path; a directory is modified when it differs, or when something in it is changed. */
export async function diffLayer(options: DiffOptions): Promise<Change[]> {
  const work = layers().diff({
    upper: checkedLocation(options.upper, 'upper'),
    lowers: options.lowers.map((lower, index) => checkedLocation(lower, `lowers[${index}]`)),
    overlayXattrs: options.overlayXattrs,
    merged: options.merged,
    own: options.own?.map((path) => textToBytes(cleanPath(path))),
    ...nativeIdMap(options.idMap),
  })
  const flat = await finished(work, () => layers().cancel(work.handle), 'diff', options.signal)
  const changes: Change[] = []
  for (let at = 0; at < flat.length; at += 2) {
    const bytes = Buffer.from(flat[at] as string, 'latin1')
    const kind = KINDS[flat[at + 1] as string] as Change['kind']
    changes.push(isUtf8(bytes) ? { path: bytes.toString('utf8'), kind } : { path: flat[at] as string, bytes, kind })
  }
  return changes
}

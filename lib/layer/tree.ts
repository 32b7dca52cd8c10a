/** Unpacked layers on disk: settling them with those below, and removing them. */
import path from 'node:path'
import type { CaissonError, SystemCause } from '../errors.js'
import type { Unsettled } from './apply.js'
import { finished, textToBytes } from './failure.js'
import { checkedLocation, type OverlayXattrs } from './options.js'
import { layers } from './performer.js'

/**
 * Gives a layer that was unpacked alone (`whiteouts: 'overlay'`) what it needs from the layers below it: directories
 * that no member of it named take owner, mode, time and attributes from there, and hard links to files of other layers
 * become copies.
 */
export async function settleLayer(options: {
  directory: string | number
  /** The uppermost first. */
  lowers: ReadonlyArray<string | number>
  unsettled: Unsettled
  overlayXattrs?: OverlayXattrs
}): Promise<void> {
  if (options.unsettled.length === 0) return
  const work = layers().settle({
    directory: checkedLocation(options.directory, 'directory'),
    lowers: options.lowers.map((lower, index) => checkedLocation(lower, `lowers[${index}]`)),
    unsettled: [...options.unsettled],
    overlayXattrs: options.overlayXattrs,
  })
  await finished(work, () => layers().cancel(work.handle), 'layer')
}

/** Removes a directory (or file) with all below it, on a thread of the addon. It, or what it would be in, may be missing. */
export async function removeTree(at: string): Promise<void> {
  const absolute = path.resolve(String(checkedLocation(at, 'path')))
  const work = layers().remove(path.dirname(absolute), textToBytes(path.basename(absolute)))
  try {
    await finished(work, () => layers().cancel(work.handle), 'remove')
  } catch (error) {
    if (((error as CaissonError).cause as SystemCause | undefined)?.code !== 'ENOENT') throw error
  }
}

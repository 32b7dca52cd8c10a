/** New images: of one that is there and another layer, or of a root alone. */
import type { Descriptor } from '../spec/descriptor.js'
import type { HistoryEntry, ImageConfig, ImageDocument } from '../spec/image.js'
import { MEDIA_TYPES, ociType } from '../spec/media-types.js'
import { defaultPlatform } from '../spec/platform.js'
import type { Lease } from '../store/lease.js'
import type { Store } from '../store/store.js'
import type { NewLayer } from './new-layer.js'
import type { StoredImage } from './stored.js'
import { writeDocument, writeManifest } from './write-manifest.js'

export interface MakeOptions {
  config: ImageConfig
  /** undefined: only the configuration is new. */
  layer?: NewLayer
  history: HistoryEntry
  author?: string
  /** Default: now. Of the image; `history.created` is the step's. */
  created?: Date
}

/** Stores the image; it has no name yet. */
export async function makeImage(
  store: Store,
  lease: Lease,
  base: StoredImage | undefined,
  { config, layer, history, author, created = new Date() }: MakeOptions,
): Promise<Descriptor> {
  const { architecture, os, variant } = base?.document ?? defaultPlatform()
  const time = created.toISOString()
  const entry: HistoryEntry = { created: time, ...history, ...(layer ? {} : { empty_layer: true }) }
  const document: ImageDocument = {
    created: time,
    ...(author ? { author } : {}),
    architecture,
    os,
    ...(variant ? { variant } : {}),
    config,
    rootfs: {
      type: 'layers',
      diff_ids: [...(base?.document.rootfs.diff_ids ?? []), ...(layer ? [layer.diffId] : [])],
    },
    history: [...(base?.document.history ?? []), entry],
  }
  const descriptor = await writeDocument(store, lease, MEDIA_TYPES.ociConfig, document)
  const below = (base?.manifest.layers ?? []).map((part) => ({ ...part, mediaType: ociType(part.mediaType) }))
  return writeManifest(store, lease, descriptor, [...below, ...(layer ? [layer.descriptor] : [])])
}

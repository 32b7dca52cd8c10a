/** What is told of an image. */
import { familiarReference } from '../reference/format.js'
import { parseReference } from '../reference/parse.js'
import type { ImageConfig } from '../spec/image.js'
import { formatPlatform } from '../spec/platform.js'
import type { StoredImage } from './stored.js'

/** One layer, the lowest first. */
export interface ImageLayer {
  /** Of the archive as registries have it. */
  digest: string
  /** Of the plain archive. */
  diffId: string
  mediaType: string
  /** Bytes, compressed. */
  size: number
}

/** A step of how an image came about, as `docker history` shows it. */
export interface ImageHistory {
  /** undefined: the builder did not say. */
  created?: Date
  createdBy: string
  author?: string
  comment: string
  /** It changed the configuration alone. */
  emptyLayer: boolean
  /** Of its layer. */
  digest?: string
  /** Bytes of its layer, compressed; 0 without one. */
  size: number
}

export interface ImageInspection {
  id: string
  digest: string | null
  tags: readonly string[]
  created: Date | null
  author: string
  /** As `linux/amd64`. */
  platform: string | null
  config: ImageConfig
  /** Bytes in the store: configuration and layers, compressed. null: it is not in the store. */
  size: number | null
  layers: readonly ImageLayer[]
  history: ImageHistory[]
}

export function layersOf({ manifest, document }: StoredImage): ImageLayer[] {
  return manifest.layers.map(({ digest, mediaType, size }, index) => ({
    digest,
    diffId: document.rootfs.diff_ids[index] as string,
    mediaType,
    size,
  }))
}

export function sizeOf({ manifest }: StoredImage): number {
  return [manifest.config, ...manifest.layers].reduce((sum, { size }) => sum + size, 0)
}

/** The latest step first. Entries that claim a layer too many have none. */
export function historyOf({ manifest, document }: StoredImage): ImageHistory[] {
  let next = 0
  return document.history
    .map((entry) => {
      const layer = entry.empty_layer ? undefined : manifest.layers[next++]
      return {
        ...(entry.created ? { created: new Date(entry.created) } : {}),
        createdBy: entry.created_by ?? '',
        ...(entry.author ? { author: entry.author } : {}),
        comment: entry.comment ?? '',
        emptyLayer: entry.empty_layer ?? false,
        ...(layer ? { digest: layer.digest } : {}),
        size: layer?.size ?? 0,
      }
    })
    .reverse()
}

export function platformOf({ document }: StoredImage): string {
  const { architecture, os, variant } = document
  return formatPlatform({ architecture, os, ...(variant ? { variant } : {}) })
}

export function familiar(names: readonly string[]): string[] {
  return names.map((name) => familiarReference(parseReference(name)))
}

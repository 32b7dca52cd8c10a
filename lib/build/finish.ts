/** The image that a build comes to: configuration and manifest over layers that are there. */
import { compressLayer } from '../image/compress.js'
import { writeImage } from '../image/write-manifest.js'
import type { Descriptor } from '../spec/descriptor.js'
import type { HistoryEntry, ImageDocument } from '../spec/image.js'
import { MEDIA_TYPES, ociType } from '../spec/media-types.js'
import type { CacheRecord } from './cache.js'
import { INLINE_CACHE } from './cache-records.js'
import type { BuildPlan } from './dockerfile/plan-types.js'
import type { BuiltStage } from './executor.js'
import type { Stack } from './layers.js'
import type { Workspace } from './workspace.js'

/** Stores the image; it has no name yet. */
export async function finishImage(
  space: Workspace,
  { target, epoch }: BuildPlan,
  built: BuiltStage,
  { compression = 'none', inline }: { compression?: 'none' | 'gzip'; inline: boolean },
): Promise<Descriptor> {
  const { stack, made } = built
  const { image } = target
  const created = timeOf(made, epoch)
  const history = image.history.map((entry, index): HistoryEntry => {
    const result = made.get(index)
    const { empty_layer: _, ...rest } = entry
    if (!result) return entry.created === undefined && entry.comment !== undefined ? { created, ...entry } : entry
    return { created: result.created, ...rest, ...(result.layer ? {} : { empty_layer: true }) }
  })
  const { os, architecture, variant, osVersion, author, config } = image
  const document: ImageDocument & { [INLINE_CACHE]?: object } = {
    created,
    ...(author ? { author } : {}),
    architecture,
    os,
    ...(variant ? { variant } : {}),
    ...(osVersion ? { 'os.version': osVersion } : {}),
    config,
    rootfs: { type: 'layers', diff_ids: stack.map(({ diffId }) => diffId) },
    history,
    ...(inline
      ? { [INLINE_CACHE]: { records: [...recordsOf(space, built)].map(([key, record]) => ({ key, record })) } }
      : {}),
  }
  const layers = compression === 'gzip' ? await compressed(space, stack) : stack.map((layer) => layer.descriptor)
  return writeImage(
    space.roots.store,
    space.lease,
    document,
    layers.map((layer) => ({ ...layer, mediaType: ociType(layer.mediaType) })),
  )
}

/**
 * What of the cache the stage itself has used or made, in the order of its steps: the same build has that again, though
 * stages are made at the same time.
 */
export function recordsOf({ used }: Workspace, { keys }: BuiltStage): Map<string, CacheRecord> {
  const own = new Map<string, CacheRecord>()
  for (const key of keys) {
    const record = used.get(key)
    if (record) own.set(key, record)
  }
  return own
}

/** When the latest of its steps was made, so that what comes from the cache alone is the same image again. */
function timeOf(made: BuiltStage['made'], epoch: number | undefined): string {
  if (epoch !== undefined) return new Date(epoch * 1000).toISOString()
  const times = [...made.values()].map(({ created }) => created).sort()
  return times.at(-1) ?? new Date().toISOString()
}

async function compressed({ roots, lease, signal }: Workspace, stack: Stack): Promise<Descriptor[]> {
  const compressing = { store: roots.store, lease, signal }
  const layers: Descriptor[] = []
  for (const { descriptor } of stack)
    layers.push(
      descriptor.mediaType === MEDIA_TYPES.ociLayer ? await compressLayer(compressing, descriptor) : descriptor,
    )
  return layers
}

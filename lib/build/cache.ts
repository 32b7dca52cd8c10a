/** Results of steps from builds before this one, by key (cache-key.ts). */
import { createHash } from 'node:crypto'
import { chainIds } from '../spec/chain-id.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { Store } from '../store/store.js'
import { type Abortable, checkAborted } from '../util/abort.js'
import { checkNames, type Names } from '../util/option-names.js'
import { type Duration, parseDuration, parseSize, type Size } from '../util/units.js'
import { listBooks } from './books.js'
import type { BuildLayer, Stack } from './layers.js'
import type { Workspace } from './workspace.js'

/** What a step made. */
export interface StepResult {
  /** undefined: it changed nothing. */
  layer?: BuildLayer
  /** When. */
  created: string
}

export type CacheRecord = LayerRecord | ContentRecord

interface LayerRecord {
  kind: 'step'
  layer: { digest: string; size: number } | null
  created: string
}

/** Digests of what a copy selects of a stage or an image: those do not change. */
interface ContentRecord {
  kind: 'content'
  digests: string[]
}

/** undefined: it is not there, or not all of it. `below`: what the step comes on top of. */
export async function findStep(space: Workspace, key: string, below: Stack): Promise<StepResult | undefined> {
  return (await findHere(space, key)) ?? (await findElsewhere(space, key, below))
}

/** The same in the store alone. */
export async function findHere(space: Workspace, key: string): Promise<StepResult | undefined> {
  const { store } = space.roots
  const record = (await store.records.get(key)) as LayerRecord | undefined
  if (record?.kind !== 'step') return undefined
  const [found] = await Promise.all([resultOf(space, record), store.records.touch(key)])
  if (found) space.used.set(key, record)
  return found
}

async function resultOf({ roots, lease }: Workspace, { layer, created }: LayerRecord): Promise<StepResult | undefined> {
  if (!layer) return { created }
  await lease.add({ digest: layer.digest })
  if (!(await roots.store.has(layer.digest))) return undefined
  return { layer: { descriptor: { mediaType: MEDIA_TYPES.ociLayer, ...layer }, diffId: layer.digest }, created }
}

/** In a registry or a directory. */
async function findElsewhere(space: Workspace, key: string, below: Stack): Promise<StepResult | undefined> {
  for (const cache of space.caches) {
    const record = cache.record(key)
    if (record?.kind !== 'step' || (record.layer && !(await cache.fetch(key)))) continue
    const found = await resultOf(space, record)
    if (!found) continue
    await keepStep(space, key, below, found)
    return found
  }
  return undefined
}

export async function keepStep(
  { roots, used }: Workspace,
  key: string,
  below: Stack,
  result: StepResult,
): Promise<void> {
  const { layer, created } = result
  const record: LayerRecord = {
    kind: 'step',
    layer: layer ? { digest: layer.descriptor.digest, size: layer.descriptor.size } : null,
    created,
  }
  used.set(key, record)
  const chain = layer ? chainIds([...below, layer].map(({ diffId }) => diffId)).at(-1) : undefined
  await roots.store.records.put(key, record, {
    digests: layer ? [layer.descriptor.digest] : [],
    snapshots: layer ? [layer.diffId, chain as string] : [],
  })
}

/**
 * Digests of unchanging content, `count` of them, computed once. What a registry says of content counts for this build and
 * is not kept: whoever wrote it should decide nothing when its cache is not asked any more.
 */
export async function remembered(
  { roots, caches, used }: Workspace,
  about: unknown,
  count: number,
  compute: () => Promise<string[]>,
): Promise<string[]> {
  const key = `sha256:${createHash('sha256')
    .update(JSON.stringify(['caisson-content-1', about]))
    .digest('hex')}`
  const digestsIn = (record: unknown) => {
    const { kind, digests } = (record ?? {}) as Partial<ContentRecord>
    return kind === 'content' && digests?.length === count ? digests : undefined
  }
  const { records } = roots.store
  const known = digestsIn(await records.get(key))
  const elsewhere = known ? undefined : caches.map((cache) => digestsIn(cache.record(key))).find((found) => found)
  const digests = known ?? elsewhere ?? (await compute())
  const value: ContentRecord = { kind: 'content', digests }
  used.set(key, value)
  if (known) await records.touch(key)
  else if (!elsewhere) await records.put(key, value, { digests: [], snapshots: [] })
  return digests
}

export interface PruneCacheOptions extends Abortable {
  /** What was used last goes last, until the cache is not larger than this. Default 0: all goes. */
  maxBytes?: Size
  /** Only what was not used for so long. */
  unusedFor?: Duration
}

const NAMES: Names<PruneCacheOptions> = { maxBytes: true, unusedFor: true, signal: true }

/**
 * Gives how many records, books of digests and cache mounts went; the content of records goes with the next collection,
 * unless an image has it too. `bytes`: of books and mounts.
 */
export async function pruneCache(
  store: Store,
  options: PruneCacheOptions,
): Promise<{ removed: number; bytes: number }> {
  // A bound that is misspelt would leave nothing.
  checkNames(options, NAMES, '')
  const { signal } = options
  checkAborted(signal, 'prune')
  const limit = parseSize(options.maxBytes ?? 0, 'maxBytes')
  const unusedFor = parseDuration(options.unusedFor ?? 0, 'unusedFor')
  const { listCacheMounts } = await import('./cache-mounts.js')
  const records = (await store.records.list()).map(({ key, used, value }) => ({
    used,
    bytes: (value as Partial<LayerRecord>).layer?.size ?? 0,
    isFile: false,
    remove: () => store.records.remove(key),
  }))
  const files = [...(await listBooks(store.directory)), ...(await listCacheMounts(store.directory))]
  const parts = [...records, ...files.map((file) => ({ ...file, isFile: true }))].sort(
    (a, b) => a.used.getTime() - b.used.getTime(),
  )
  let bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
  const gone = { removed: 0, bytes: 0 }
  for (const part of parts) {
    checkAborted(signal, 'prune')
    const isOld = Date.now() - part.used.getTime() >= unusedFor
    // Without a bound everything goes, also what takes no room.
    if (!isOld || (limit > 0 && bytes <= limit)) continue
    // A mount that a command has stays.
    if ((await part.remove()) === false) continue
    bytes -= part.bytes
    gone.removed++
    if (part.isFile) gone.bytes += part.bytes
  }
  return gone
}

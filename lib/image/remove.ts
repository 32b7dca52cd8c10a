/** Images that go: their names, and with the last one their content. */
import { CaissonError } from '../errors.js'
import { snapshotSweeper } from '../snapshot/snapshots.js'
import type { Collected } from '../store/collect.js'
import type { Store } from '../store/store.js'
import { checkNames, type Names } from '../util/option-names.js'
import { familiar } from './describe.js'
import { type ImageFilter, imageFilter } from './filter.js'
import { namedImage, namedImages, readNamed } from './list.js'
import type { NamedImage } from './names.js'

export interface PruneFilter extends Pick<ImageFilter, 'label' | 'until' | 'signal'> {
  /** Images with names, too, unless a container uses them. Default false: only those without a name. */
  all?: boolean
  /** Docker's spelling of the same: false is `all`. */
  dangling?: boolean
}

const PRUNE: Names<PruneFilter> = { all: true, dangling: true, label: true, until: true, signal: true }

export interface Pruned {
  /** Names, or the digest of an image without one. */
  images: string[]
  /** Content of the store that was removed, by its digests. */
  blobs: string[]
  /** Bytes of it. */
  bytes: number
}

/** Removes what no image, lease or container needs any more. */
function collectStore(store: Store): Promise<Collected> {
  return store.collect({ sweepers: [snapshotSweeper(store.directory)] })
}

/**
 * As `docker rmi`: of an image with several names only the one that it was found by goes; one that was found by its id
 * keeps all, unless `force`.
 */
export async function removeImage(
  store: Store,
  digest: string,
  foundBy: string | undefined,
  force: boolean,
  users: (image: NamedImage) => Promise<string[]>,
): Promise<void> {
  const image = await namedImage(store, digest)
  if (!image) return
  const { names } = image
  if (foundBy !== undefined && names.length > 1 && names.includes(foundBy)) {
    await store.refs.delete(foundBy)
    return
  }
  if (names.length > 1 && !force)
    throw inUse(`it has ${names.length} names: ${familiar(names).join(', ')}`, 'Remove it by each name, or with force.')
  const containers = force ? [] : await users(image)
  if (containers.length > 0)
    throw inUse(`containers use it: ${containers.join(', ')}`, 'Remove them first; with force they keep what they use.')
  await store.refs.deleteImage(digest)
  await collectStore(store)
}

export async function pruneImages(
  store: Store,
  filter: PruneFilter,
  users: (image: NamedImage) => Promise<string[]>,
): Promise<Pruned> {
  checkNames(filter, PRUNE, '')
  const { dangling, all = dangling === false, until, label, signal } = filter
  const byDocument = label !== undefined || until !== undefined
  const fits = await imageFilter(store, { label, until, signal })
  const gone: string[] = []
  for (const image of await namedImages(store)) {
    const { descriptor, names } = image
    if (names.length > 0 && !all) continue
    const stored = byDocument ? await readNamed(store, descriptor) : undefined
    if (byDocument && !(stored && fits.document(stored.document))) continue
    if ((await users(image)).length > 0) continue
    await store.refs.deleteImage(descriptor.digest)
    gone.push(...(names.length > 0 ? familiar(names) : [descriptor.digest]))
  }
  const { blobs, bytes } = await collectStore(store)
  return { images: gone, blobs, bytes }
}

function inUse(message: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_IMAGE_IN_USE', `image: ${message}`, { stage: 'image', hint })
}

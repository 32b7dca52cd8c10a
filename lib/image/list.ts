/** Which images there are. */
import type { Descriptor } from '../spec/descriptor.js'
import type { Platform } from '../spec/platform.js'
import type { Store } from '../store/store.js'
import type { NamedImage } from './names.js'
import { readStored, type StoredImage } from './stored.js'

/** Each image once, with all its names, in the order in which they came. */
export async function namedImages(store: Store): Promise<NamedImage[]> {
  const images = new Map<string, NamedImage>()
  for (const { name, descriptor } of await store.refs.list()) {
    const image = images.get(descriptor.digest) ?? { descriptor, names: [] }
    if (name !== undefined) image.names.push(name)
    images.set(descriptor.digest, image)
  }
  return [...images.values()]
}

/** That of a manifest or an index; undefined: it has no name here, and is not kept without one. */
export async function namedImage(store: Store, digest: string): Promise<NamedImage | undefined> {
  return (await namedImages(store)).find(({ descriptor }) => descriptor.digest === digest)
}

/** What is known of one that was found; undefined: another process has removed it in the meantime. */
export async function readNamed(
  store: Store,
  descriptor: Descriptor,
  platform?: Platform,
): Promise<StoredImage | undefined> {
  try {
    return await readStored(store, descriptor, platform)
  } catch (error) {
    const there = (await store.refs.list()).some((ref) => ref.descriptor.digest === descriptor.digest)
    if (there) throw error
    return undefined
  }
}

/** Which images there are. */
import type { Store } from '../store/store.js'
import type { NamedImage } from './names.js'

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

/** A directory that images were made of in place becomes one in the store: a copy of it is packed. */
import type { ImageConfig } from '../spec/image.js'
import type { Store } from '../store/store.js'
import { makeImage } from './make.js'
import { storeLayer } from './new-layer.js'
import { readStored, type StoredImage } from './stored.js'

export async function storeDirectory(store: Store, directory: string, config: ImageConfig): Promise<StoredImage> {
  const lease = await store.lease()
  try {
    const layer = await storeLayer(store, lease, { directory })
    const history = { created_by: 'caisson Image.fromRootfs' }
    const descriptor = await makeImage(store, lease, undefined, { config, layer, history })
    await store.refs.keep(descriptor)
    return await readStored(store, descriptor)
  } finally {
    await lease.release()
  }
}

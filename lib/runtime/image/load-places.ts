/** What loading an archive needs of this process: the store, how layers are unpacked, and a place that goes with it. */
import path from 'node:path'
import type { LoadPlaces } from '../../image/load.js'
import { owner } from '../process/owner.js'
import { imageRoots } from './roots.js'

export async function loadPlaces(): Promise<LoadPlaces> {
  const roots = await imageRoots()
  return {
    store: roots.store,
    unpack: ({ manifest, document }, bounds) => roots.unpack(manifest.layers, document.rootfs.diff_ids, bounds),
    scratch: async () => path.join((await owner()).data, 'images'),
  }
}

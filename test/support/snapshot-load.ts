// Unpacks and collects the same few layers without end, for tests that kill it.
//   snapshot-load DIRECTORY SEED
import { Snapshots, snapshotSweeper } from '../../lib/snapshot/snapshots.js'
import { unpackLayers } from '../../lib/snapshot/unpack.js'
import { Store } from '../../lib/store/store.js'
import { FORM, layerOf, loadedArchives } from './snapshot-layers.js'

const [directory, seed] = process.argv.slice(2) as [string, string]
const store = await Store.open(directory)
const snapshots = await Snapshots.open(store.directory, FORM)
console.log('ready')
for (let round = Number(seed); ; round++) {
  const lease = await store.lease()
  const archives = loadedArchives()
  // Each round another order of the upper layers, so that chains differ.
  const turned = archives.slice(1).map((_, at, upper) => upper[(at + round) % upper.length] as Buffer)
  await unpackLayers(
    snapshots,
    [archives[0] as Buffer, ...turned].map((bytes) => layerOf(bytes)),
    { lease },
  )
  await lease.release()
  if (round % 2 === 0) await store.collect({ sweepers: [snapshotSweeper(store.directory)] })
}

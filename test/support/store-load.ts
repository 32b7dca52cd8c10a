// Uses a store without end, for tests that kill it: stores, names, unnames and collects images made up from a seed.
//   store-load DIRECTORY SEED
import { Store } from '../../lib/store/store.js'
import { makeImage, storeImage } from './store-images.js'

const [directory, seed] = process.argv.slice(2) as [string, string]
const store = await Store.open(directory)
console.log('ready')
for (let round = 0; ; round++) {
  // Layers are shared by images of other rounds and of other processes.
  const number = (Number(seed) + round) % 7
  const layers = [number, number + 1, number + 2].map((fill) =>
    Buffer.alloc(40_000 * (1 + (fill % 3)), `layer ${fill}`),
  )
  const name = `docker.io/library/image-${number}:latest`
  await storeImage(store, makeImage(layers, { Labels: { round: String(round) } }), name)
  // It was named, so all of it is there, whatever others collect.
  if (round % 3 === 1) await store.refs.delete(name)
  if (round % 2 === 1) await store.collect({ partialAge: 0 })
}

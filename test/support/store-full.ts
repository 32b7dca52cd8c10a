// Stores an image on a disk that may be too small, and prints what became of it.
//   store-full DIRECTORY
import type { CaissonError } from '../../lib/errors.js'
import { Store } from '../../lib/store/store.js'
import { makeImage, storeImage } from './store-images.js'

const [directory] = process.argv.slice(2) as [string]
let code = 'stored'
let hint = ''
try {
  const store = await Store.open(directory)
  const layers = [1, 2, 3].map((fill) => Buffer.from(Array.from({ length: 60_000 }, (_, at) => (at * at * fill) % 251)))
  await storeImage(store, makeImage(layers), 'docker.io/library/large:latest')
} catch (error) {
  code = (error as CaissonError).code ?? String(error)
  hint = (error as CaissonError).hint ?? ''
}
// What is visible is whole, and when the room is wanted for something else it can be had.
let verified: unknown = 'no store'
try {
  const store = await Store.open(directory)
  const { ok, images, blobs, problems } = await store.verify()
  const { blobs: collected } = await store.collect({ partialAge: 0 })
  const left = await store.usage()
  verified = { ok, images, blobs, problems, collected: collected.length, left: left.blobs.count }
} catch (error) {
  verified = (error as CaissonError).code ?? String(error)
}
console.log(JSON.stringify({ code, hint, verified }))

// Unpacks an image on a disk that may be too small, and prints what became of it.
//   snapshot-full DIRECTORY
import { readdirSync } from 'node:fs'
import path from 'node:path'
import type { CaissonError } from '../../lib/errors.js'
import { Snapshots } from '../../lib/snapshot/snapshots.js'
import { unpackLayers } from '../../lib/snapshot/unpack.js'
import { verifySnapshots } from '../../lib/snapshot/verify.js'
import { Store } from '../../lib/store/store.js'
import { FORM, layerOf, loadedArchives } from './snapshot-layers.js'

const [directory] = process.argv.slice(2) as [string]
const report = { code: 'unpacked', hint: '', layers: 0, left: [] as string[], problems: [] as unknown[] }
try {
  const store = await Store.open(directory)
  const snapshots = await Snapshots.open(store.directory, FORM)
  const lease = await store.lease()
  const top = path.join(store.directory, 'snapshots', FORM.name)
  try {
    await unpackLayers(
      snapshots,
      loadedArchives().map((bytes) => layerOf(bytes)),
      { lease },
    )
  } finally {
    report.layers = readdirSync(top).filter((name) => name.includes('sha256')).length
    report.left = readdirSync(path.join(top, 'new'))
    report.problems = await verifySnapshots(store.directory)
  }
} catch (error) {
  report.code = (error as CaissonError).code ?? String(error)
  report.hint = (error as CaissonError).hint ?? ''
}
console.log(JSON.stringify(report))

/** Layers with many small files, links to each other and whiteouts. */
import type { SnapshotForm } from '../../lib/snapshot/snapshots.js'
import type { LayerToUnpack } from '../../lib/snapshot/unpack.js'
import { type Member, member } from './archive.js'
import { isRoot } from './needs.js'
import { digestOf } from './store-images.js'

export const FORM: SnapshotForm = isRoot
  ? { name: 'root', owners: 'set', overlayXattrs: 'trusted' }
  : { name: 'user', owners: 'ignore', overlayXattrs: 'user' }

const archive = (...members: Member[]) => Buffer.concat([...members.map((one) => member(one)), Buffer.alloc(1024)])

/** The lowest first. The last two take something from it. */
export function loadedArchives(): Buffer[] {
  const directory: Member = { name: 'data/', type: '5', mode: 0o755 }
  const files = (from: number) =>
    Array.from({ length: 40 }, (_, at): Member => ({ name: `data/${from + at}`, data: `${from + at}`.repeat(500) }))
  return [
    archive(directory, ...files(0)),
    archive(directory, ...files(100), { name: 'data/.wh.3' }),
    archive(...files(200), { name: 'data/link-1', type: '1', link: 'data/1' }),
    archive(...files(300), { name: 'data/link-2', type: '1', link: 'data/2' }),
  ]
}

async function* chunks(bytes: Buffer): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 8192) yield bytes.subarray(at, at + 8192)
}

export function layerOf(bytes: Buffer): LayerToUnpack {
  return { diffId: digestOf(bytes), source: () => chunks(bytes) }
}

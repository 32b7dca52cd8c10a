/** The images of this process: the store below CAISSON_ROOT, and how its layers are unpacked for this user. */
import { ImageRoots } from '../../image/rootfs.js'
import { Store } from '../../store/store.js'
import { roots } from '../../util/roots.js'
import { ordinary } from '../user/ordinary.js'
import { snapshotForm } from './snapshot-form.js'

const opened = new Map<string, Promise<ImageRoots>>()

export function imageRoots(): Promise<ImageRoots> {
  const { data } = roots()
  let made = opened.get(data)
  if (!made) {
    made = open(data)
    opened.set(data, made)
    made.catch(() => opened.delete(data))
  }
  return made
}

async function open(directory: string): Promise<ImageRoots> {
  const form = snapshotForm({ ordinary: await ordinary() })
  return ImageRoots.open(await Store.open(directory), form)
}

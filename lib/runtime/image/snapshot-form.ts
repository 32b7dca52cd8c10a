/** How layers of images are unpacked for an owner: as root, or inside the user namespace of an ordinary user. */
import { createHash } from 'node:crypto'
import type { SnapshotForm } from '../../snapshot/snapshots.js'
import type { Owner } from '../process/owner.js'
import { hasOthers } from '../user/id-maps.js'

export function snapshotForm({ ordinary }: Pick<Owner, 'ordinary'>): SnapshotForm {
  if (!ordinary) return { name: 'root', owners: 'set', overlayXattrs: 'trusted' }
  const others = hasOthers(ordinary.idMaps)
  // The owners that files have on disk are those of the maps: with other maps they would be wrong.
  const maps = createHash('sha256').update(JSON.stringify(ordinary.idMaps)).digest('hex').slice(0, 16)
  return { name: `user-${maps}`, owners: others ? 'set' : 'ignore', overlayXattrs: 'user' }
}

/** Who files belong to that a build unpacks. */
import { hasOthers } from '../runtime/user/id-maps.js'
import type { Workspace } from './workspace.js'

/** Whether files keep the owners that archives name: who has one id only cannot set others. */
export async function ownersOf(space: Workspace): Promise<'set' | 'ignore'> {
  const { ordinary } = await space.owner()
  return ordinary && !hasOthers(ordinary.idMaps) ? 'ignore' : 'set'
}

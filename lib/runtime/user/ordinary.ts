/**
 * Ordinary users: whoever has no privileges gets them in a user namespace (user_namespaces(7)). All containers of one
 * owner share it, as making its maps takes two set-id programs; what else they have is private to each.
 */
import { performElsewhere } from '../../layer/performer.js'
import { privileged } from '../../util/privileged.js'
import { createNamespace, type NamespaceHandle } from '../process/namespaces.js'
import { defaultIdMaps, type IdMapPair } from './id-maps.js'
import { layersInside } from './layers-inside.js'

export interface Ordinary {
  user: NamespaceHandle
  idMaps: IdMapPair
}

let current: Promise<Ordinary> | undefined

/** undefined: this process has privileges of its own. Otherwise its user namespace, made at first use and then kept. */
export function ordinary(): Promise<Ordinary> | undefined {
  if (privileged()) return undefined
  current ??= make().catch((error) => {
    current = undefined
    throw error
  })
  return current
}

async function make(): Promise<Ordinary> {
  const idMaps = defaultIdMaps()
  const user = await createNamespace('user', { idMaps })
  performElsewhere(layersInside(user, idMaps))
  return { user, idMaps }
}

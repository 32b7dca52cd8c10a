/**
 * Ordinary users: whoever has no privileges gets them in a user namespace (user_namespaces(7)). All containers of one
 * user share it, of whatever process: so they can be on one network, and making its maps takes two set-id programs. What
 * else they have is private to each.
 */
import { privileged } from '../../util/privileged.js'
import type { NamespaceHandle } from '../process/namespaces.js'
import type { IdMapPair } from './id-maps.js'

export interface Ordinary {
  user: NamespaceHandle
  idMaps: IdMapPair
}

let current: Promise<Ordinary> | undefined

/** undefined: this process has privileges of its own. Otherwise its user namespace, made or found at first use and then kept. */
export function ordinary(): Promise<Ordinary> | undefined {
  if (privileged()) return undefined
  current ??= make().catch((error) => {
    current = undefined
    throw error
  })
  return current
}

/** Root needs nothing of this, so it is loaded here. */
async function make(): Promise<Ordinary> {
  const { performElsewhere } = await import('../../layer/performer.js')
  const { createNamespace } = await import('../process/namespaces.js')
  const { defaultIdMaps } = await import('./id-maps.js')
  const { layersInside } = await import('./layers-inside.js')
  const { shareUser } = await import('./spaces.js')
  const idMaps = defaultIdMaps()
  const user = await shareUser(idMaps, () => createNamespace('user', { idMaps }))
  performElsewhere(layersInside(user, idMaps))
  return { user, idMaps }
}

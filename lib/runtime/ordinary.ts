/**
 * Ordinary users: whoever has no privileges gets them in a user namespace (user_namespaces(7)). All containers of one
 * owner share it, as making its maps takes two set-id programs; what else they have is private to each.
 */
import { privileged } from '../util/privileged.js'
import { defaultIdMaps, type IdMapPair } from './id-maps.js'
import { MAYBE_NO_GROUPS } from './lower-namespaces.js'
import { createNamespace, duplicate, type OpenedNamespace } from './namespaces.js'
import type { Plan } from './plan.js'
import { NAMESPACES } from './workload.js'

export interface Ordinary {
  user: OpenedNamespace
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
  return { user: await createNamespace('user', { idMaps }), idMaps }
}

/** Begins a plan that needs privileges over our own files and mounts; nothing for who has them. */
export function becomePrivileged(plan: Plan, stage: string, own: Ordinary | undefined): void {
  if (!own) return
  plan.add('SETNS', stage, { numbers: [plan.inherit(duplicate(own.user.fd)), NAMESPACES.user.flag] })
  plan.add('BECOME_ROOT', stage, { numbers: [MAYBE_NO_GROUPS] })
}

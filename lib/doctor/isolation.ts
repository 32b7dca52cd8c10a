/** The strongest isolation that works as a whole, found out as containers find it out. */
import { addon } from '../native/addon.js'
import { findIsolation, type Isolation } from '../runtime/isolation/isolation.js'
import { createNamespace } from '../runtime/process/namespaces.js'
import { defaultIdMaps } from '../runtime/user/id-maps.js'
import { bad, type Finding, ok, type Subject } from './finding.js'
import { isRoot, scratchDirectory } from './trial.js'

const ISOLATION: Subject = {
  id: 'isolation',
  what: 'isolation',
  why: 'It is as strong as the outer container, filter or kernel lets it be; run() takes nothing weaker than the caller does.',
}

/** `data`: the nearest directory to CAISSON_ROOT that exists. */
export async function examineIsolation(data: string): Promise<{ finding: Finding; tier: Isolation['tier'] }> {
  const idMaps = isRoot() ? undefined : defaultIdMaps()
  const made = idMaps && createNamespace('user', { idMaps }).then((user) => ({ user, idMaps }))
  try {
    const isolation = await findIsolation(made, scratchDirectory(), data)
    return { finding: findingOf(isolation), tier: isolation.tier }
  } finally {
    const user = (await made?.catch(() => undefined))?.user
    if (user) addon().closeFd(user.fd)
  }
}

function findingOf({ tier, proc, hostname, layers, refusal }: Isolation): Finding {
  const fix = 'See the findings about namespaces and mounts: one of them names what forbids it, and how to allow it.'
  if (tier === 'none') return bad(ISOLATION, 'missing', `none; ${refusal?.message}`, fix)
  if (tier === 'landlock')
    return bad(
      ISOLATION,
      'missing',
      `Landlock and a filter alone, for security: { require: 'landlock' }; ${refusal?.message}`,
      fix,
    )
  const less = [
    ...(proc === 'outer' ? ['/proc is the outer container’s, read-only'] : []),
    ...(hostname === 'outer' ? ['the host name is the outer container’s'] : []),
    ...(layers === 'copy' ? ['layers are copied'] : []),
  ]
  if (less.length === 0) return ok(ISOLATION, 'namespaces')
  return bad(ISOLATION, 'warning', `namespaces; ${less.join('; ')}: ${refusal?.message}`, fix)
}

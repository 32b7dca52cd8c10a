/** The network `bridge`, which stays as long as its root does: a test takes away what it has left of it. */
import { Network } from '../../lib/index.js'
import { deactivate } from '../../lib/network/active.js'
import { removeDefinition } from '../../lib/network/definition.js'
import { owner } from '../../lib/runtime/process/owner.js'

export async function endDefaultNetwork(): Promise<void> {
  const { definition } = await Network.get('bridge')
  await deactivate(definition, await owner())
  await removeDefinition(definition.name)
}

/** Another name for a container. */
import type { Parts } from './parts.js'
import { checkContainerName, releaseName, takeName } from './registry.js'

/** On this machine, and on its networks; or the one that it had, when it cannot have the new one. */
export async function renameParts(parts: Parts, name: string): Promise<void> {
  const { id, owner, network, name: before } = parts
  checkContainerName(name)
  await takeName(name, owner, id)
  try {
    await network?.rename(name)
  } catch (error) {
    await releaseName(name, id)
    throw error
  }
  parts.name = name
  await releaseName(before, id)
}

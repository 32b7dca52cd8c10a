/** Who uses an image: containers of all living processes. */
import type { NamedImage } from '../../image/names.js'
import { usersAmong } from '../../image/users.js'
import { imageRoots } from './roots.js'

/** Their names. */
export async function usersOf(image: NamedImage): Promise<string[]> {
  const { readStates } = await import('../container/registry.js')
  return usersAmong(await readStates(), (await imageRoots()).store, image)
}

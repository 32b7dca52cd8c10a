/** Which containers are made of an image, and what is said of one that cannot be read. */
import { CaissonError } from '../errors.js'
import type { Store } from '../store/store.js'
import { familiar } from './describe.js'
import type { NamedImage } from './names.js'
import { readStored } from './stored.js'

/** Whoever wants to see the images is not kept from the others. */
export function warnOfDamage({ descriptor, names: [name = descriptor.digest] }: NamedImage, error: unknown): undefined {
  if (!(error instanceof CaissonError)) throw error
  process.emitWarning(`The image ${name} is damaged: ${error.message}`, {
    code: 'CAISSON_DAMAGED_IMAGE',
    detail: 'Pull it again, or remove it with Image.remove() or caisson rmi. verifyStore() tells what is wrong.',
  })
}

/** Names of those of `containers` that were made of it. */
export async function usersAmong(
  containers: ReadonlyArray<{ name: string; image: string; imageId?: string }>,
  store: Store,
  { descriptor, names }: NamedImage,
): Promise<string[]> {
  if (containers.length === 0) return []
  const id = await readStored(store, descriptor).then(
    ({ manifest }) => manifest.config.digest,
    () => undefined,
  )
  const known = new Set([...names, ...familiar(names), descriptor.digest, id])
  return containers.filter(({ image, imageId }) => known.has(imageId ?? image)).map(({ name }) => name)
}

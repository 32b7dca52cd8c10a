/** Builds for several platforms: an image of each, and an index that leads to them. */
import { CaissonError, invalidArgument } from '../errors.js'
import { writeDocument } from '../image/write-manifest.js'
import type { Descriptor } from '../spec/descriptor.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { BuildPlan } from './dockerfile/plan-types.js'
import type { BuildOptions } from './options.js'
import type { Workspace } from './workspace.js'

/** Each once, in the order in which they were given; undefined: this machine's. */
export function platformsOf(given: BuildOptions['platform']): Array<string | undefined> {
  if (given === undefined) return [undefined]
  const platforms = [given]
    .flat()
    .flatMap((text) => text.split(','))
    .map((text) => text.trim())
  if (platforms.length === 0 || platforms.includes('')) throw invalidArgument('platform', given, 'a list without gaps')
  return [...new Set(platforms)]
}

/** What can be made of one image alone. */
export function checkOneImage({ output }: BuildOptions): void {
  for (const { type } of [output ?? []].flat())
    if (type !== 'oci')
      throw new CaissonError('ERR_CAISSON_UNSUPPORTED', `output: ${type} takes the image of one platform`, {
        stage: 'build',
        hint: 'Build for one platform at a time, or write an archive of the type oci.',
      })
}

/** An image that was built, and what for. */
export interface ForPlatform {
  plan: BuildPlan
  descriptor: Descriptor
}

/** Stores the index; it has no name yet. */
export function writeIndex({ roots, lease }: Workspace, images: readonly ForPlatform[]): Promise<Descriptor> {
  const manifests = images.map(({ plan, descriptor: { mediaType, digest, size } }) => {
    const { os, architecture, variant, osVersion } = plan.target.image
    const platform = {
      architecture,
      os,
      ...(variant ? { variant } : {}),
      ...(osVersion ? { 'os.version': osVersion } : {}),
    }
    return { mediaType, digest, size, platform }
  })
  const same = manifests.find(({ platform }, index) =>
    manifests.slice(0, index).some((other) => JSON.stringify(other.platform) === JSON.stringify(platform)),
  )
  if (same)
    throw new CaissonError('ERR_CAISSON_DOCKERFILE', 'two of the platforms give images of the same one', {
      stage: 'build',
      hint: 'Name each platform once, and write FROM without a --platform that is always the same.',
    })
  return writeDocument(roots.store, lease, MEDIA_TYPES.ociIndex, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests,
  })
}

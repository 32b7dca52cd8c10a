/** From what a name means to the manifest for one platform, through indexes and those that lie in them. */
import type { Reference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import { parseIndex } from '../spec/index-document.js'
import { isIndex } from '../spec/media-types.js'
import { defaultPlatform, formatPlatform, type Platform, rankManifests } from '../spec/platform.js'
import { RegistryError } from './failure.js'
import { type FetchedManifest, nameOf } from './manifests.js'

export interface Chosen {
  /** The manifest of the image for the platform. */
  manifest: FetchedManifest
  /** The indexes that it was chosen from: what the name means first, then those that lie in it. */
  indexes: FetchedManifest[]
}

/** An index may name another; images have one level, two are seen in the wild. */
const DEPTH_MAX = 3
/** Indexes that say nothing of their platforms, and are looked into. */
const TRIED_MAX = 16

/** `platform`: default is this machine's. Throws ERR_CAISSON_IMAGE_NOT_FOUND when there is nothing for it. */
export async function chooseManifest(
  root: FetchedManifest,
  reference: Reference,
  platform: Platform | undefined,
  fetched: (child: Descriptor) => Promise<FetchedManifest>,
): Promise<Chosen> {
  const wanted = platform ?? defaultPlatform()
  const strict = platform?.variant !== undefined
  const there = new Set<string>()
  let tried = 0
  const search = async (from: FetchedManifest, above: FetchedManifest[]): Promise<Chosen | undefined> => {
    if (!isIndex(from.descriptor.mediaType)) return { manifest: from, indexes: above }
    if (above.length === DEPTH_MAX)
      throw new RegistryError('ERR_CAISSON_MANIFEST', `${nameOf(reference)}: indexes lie too deep in each other`)
    const { manifests } = parseIndex(from.bytes, from.descriptor.mediaType)
    for (const { platform: of } of manifests) if (of) there.add(formatPlatform(of))
    // Attestations of build tools are entries for a platform that no machine has.
    for (const entry of rankManifests(manifests, wanted, strict)) {
      if (isIndex(entry.mediaType) && ++tried > TRIED_MAX) break
      const found = await search(await fetched(entry), [...above, from])
      if (found) return found
    }
    return undefined
  }
  const chosen = await search(root, [])
  if (chosen) return chosen
  throw new RegistryError(
    'ERR_CAISSON_IMAGE_NOT_FOUND',
    `${nameOf(reference)}: nothing for ${formatPlatform(wanted)}`,
    {
      hint: `It is there for ${[...there].slice(0, 20).join(', ') || 'no platform that is named'}: choose one with platform.`,
    },
  )
}

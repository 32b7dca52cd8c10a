/**
 * What `docker save` writes: manifest.json lists images, each with the names of its configuration and its layers. There is
 * no manifest in it; the one that is made here is the same for the same image.
 */
import { parseReference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import { Fields } from '../spec/fields.js'
import type { ImageDocument } from '../spec/image.js'
import { parseImageConfig } from '../spec/image-config.js'
import { DOCUMENT_BOUNDS, parseDocument } from '../spec/json.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { Lease } from '../store/lease.js'
import type { Stored } from '../store/spool.js'
import type { Store } from '../store/store.js'
import { archiveError, memberName } from './archive-reader.js'
import { layerType } from './layer-type.js'
import { type Members, memberOf, storeUnknown } from './load-members.js'
import { fullNames, type NamedImage } from './names.js'
import { writeManifest } from './write-manifest.js'

export interface DockerEntry {
  config: string
  names: string[]
  layers: string[]
}

/** manifest.json is a list, which the parser of documents reads as a part of one. */
export function parseDockerManifest(bytes: Buffer): DockerEntry[] {
  const what = 'manifest.json'
  const document = parseDocument(Buffer.concat([Buffer.from('{"images":'), bytes, Buffer.from('}')]), what)
  const images = new Fields(document, what).objects('images') ?? []
  return images.map((image, index) => {
    const fields = new Fields(image, what, `[${index}].`)
    return {
      config: memberName(fields.requiredText('Config')),
      names: fields.texts('RepoTags') ?? [],
      layers: (fields.texts('Layers') ?? []).map(memberName),
    }
  })
}

export async function dockerImages(store: Store, lease: Lease, members: Members): Promise<NamedImage[]> {
  const images: NamedImage[] = []
  for (const entry of parseDockerManifest(members.documents.get('manifest.json') as Buffer))
    images.push({
      descriptor: await dockerImage(store, lease, members, entry),
      names: fullNames(entry.names, parseReference),
    })
  return images
}

async function dockerImage(store: Store, lease: Lease, members: Members, entry: DockerEntry): Promise<Descriptor> {
  const { config, document } = await readConfig(store, lease, members, entry)
  const layers: Descriptor[] = []
  for (const [index, name] of entry.layers.entries()) {
    const stored = memberOf(members, name)
    if (!stored) throw archiveError(`the layer ${JSON.stringify(name)} is missing`)
    const mediaType = await layerType(store, stored.digest)
    // Of a compressed one, this shows when it is unpacked.
    if (mediaType === MEDIA_TYPES.ociLayer && stored.digest !== document.rootfs.diff_ids[index])
      throw archiveError(
        `the layer ${JSON.stringify(name)} is ${stored.digest}, not ${document.rootfs.diff_ids[index]}`,
      )
    layers.push({ mediaType, ...stored })
  }
  return writeManifest(store, lease, { ...config, mediaType: MEDIA_TYPES.ociConfig }, layers)
}

/** A document at the top, or in archives of Docker 25 and later a blob. */
async function readConfig(
  store: Store,
  lease: Lease,
  members: Members,
  { config: name, layers }: DockerEntry,
): Promise<{ config: Stored; document: ImageDocument }> {
  const bytes = members.documents.get(name)
  const config = bytes ? await storeUnknown(store, lease, one(bytes)) : memberOf(members, name)
  if (!config) throw archiveError(`the configuration ${JSON.stringify(name)} is missing`)
  const content = bytes ?? (await store.read(config.digest, DOCUMENT_BOUNDS.bytes))
  return { config, document: parseImageConfig(content, layers.length) }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

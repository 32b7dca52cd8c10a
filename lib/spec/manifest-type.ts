/**
 * Which kind of document bytes are. Who reads a document as something else than who signed it can be made to run what
 * nobody vouched for (CVE-2021-41190), so the content has to agree with the type that it is given under.
 */
import { isMediaType } from './descriptor-parse.js'
import { Fields } from './fields.js'
import { checkNames, documentError, type Json } from './json.js'
import { isIndex, isManifest, MEDIA_TYPES } from './media-types.js'

/** Of documents of both kinds. */
const NAMES = [
  'schemaVersion',
  'mediaType',
  'artifactType',
  'manifests',
  'layers',
  'config',
  'fsLayers',
  'subject',
  'annotations',
] as const

/** What only the other kind has, and documents of schema 1. */
const FOREIGN_KEYS = {
  manifest: ['manifests', 'fsLayers', 'signatures'],
  index: ['layers', 'config', 'fsLayers', 'signatures'],
}

/**
 * The media type of a document, which is that of `kind`; throws ERR_CAISSON_MANIFEST.
 *
 * @param expected of the descriptor or the Content-Type that led here; without, the document's own.
 */
export function documentType(document: Json, kind: 'manifest' | 'index', what: string, expected?: string): string {
  checkNames(document, NAMES, what)
  const fields = new Fields(document, what)
  if (fields.count('schemaVersion') !== 2) {
    const old = document.schemaVersion === 1 || 'fsLayers' in document
    throw documentError(
      what,
      old ? 'it is a manifest of schema 1' : 'schemaVersion is not 2',
      old ? 'Nothing vouches for what such images hold; push the image again with a newer Docker.' : '',
    )
  }
  for (const key of FOREIGN_KEYS[kind])
    if (key in document)
      throw documentError(what, `it has ${key}: ${kind === 'manifest' ? 'a manifest' : 'an index'} has none`)
  const own = fields.text('mediaType')
  if (own && expected && own !== expected)
    throw documentError(what, `it says that it is ${quoted(own)}, not ${expected}`)
  const type = own || expected || (kind === 'manifest' ? MEDIA_TYPES.ociManifest : MEDIA_TYPES.ociIndex)
  if (!isMediaType(type) || !(kind === 'manifest' ? isManifest(type) : isIndex(type)))
    throw documentError(what, `${quoted(type)} is not the type of ${kind === 'manifest' ? 'a manifest' : 'an index'}`)
  return type
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 200))
}

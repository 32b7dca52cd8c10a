/** Indexes: the manifests of an image for several platforms (image-spec image-index.md, Docker's manifest lists). */
import type { Descriptor } from './descriptor.js'
import { readDescriptor } from './descriptor-parse.js'
import { Fields } from './fields.js'
import { DOCUMENT_BOUNDS, documentError, type JsonBounds, parseDocument } from './json.js'
import { documentType } from './manifest-type.js'

export interface IndexDocument {
  schemaVersion: 2
  mediaType: string
  artifactType?: string
  manifests: Descriptor[]
  subject?: Descriptor
  annotations?: Record<string, string>
}

/** Entries of one index. */
const MANIFESTS_MAX = 4096

/**
 * Throws ERR_CAISSON_MANIFEST.
 *
 * @param expected the media type of the descriptor or the Content-Type.
 */
export function parseIndex(
  bytes: Uint8Array,
  expected?: string,
  { bounds = DOCUMENT_BOUNDS, entries = MANIFESTS_MAX }: { bounds?: JsonBounds; entries?: number } = {},
): IndexDocument {
  const what = 'index'
  const document = parseDocument(bytes, what, bounds)
  const mediaType = documentType(document, 'index', what, expected)
  const fields = new Fields(document, what)
  const manifests = fields.objects('manifests') ?? fields.fail('manifests', 'a list of descriptors')
  if (manifests.length > entries)
    throw documentError(what, `${manifests.length} manifests are more than the ${entries} that are allowed`)
  const subject = fields.object('subject')
  const annotations = fields.map('annotations')
  const artifactType = fields.text('artifactType')
  return {
    schemaVersion: 2,
    mediaType,
    ...(artifactType ? { artifactType } : {}),
    manifests: manifests.map((manifest, index) => readDescriptor(manifest, what, `manifests[${index}].`)),
    ...(subject ? { subject: readDescriptor(subject, what, 'subject.') } : {}),
    ...(annotations ? { annotations } : {}),
  }
}

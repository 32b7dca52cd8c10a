/** The manifest of one image: its configuration and its layers (image-spec manifest.md, Docker's schema 2). */
import { CaissonError } from '../errors.js'
import type { Descriptor } from './descriptor.js'
import { readDescriptor } from './descriptor-parse.js'
import { Fields } from './fields.js'
import { documentError, parseDocument } from './json.js'
import { documentType } from './manifest-type.js'
import { isConfig, isForeignLayer, isLayer } from './media-types.js'

export interface Manifest {
  schemaVersion: 2
  /** The document's own, or the one that it was found under. */
  mediaType: string
  artifactType?: string
  config: Descriptor
  /** The lowest first. */
  layers: Descriptor[]
  subject?: Descriptor
  annotations?: Record<string, string>
}

/** As many as overlay can put on each other (OVL_MAX_STACK of the kernel). */
export const LAYERS_MAX = 500

/**
 * Throws ERR_CAISSON_MANIFEST.
 *
 * @param expected the media type of the descriptor or the Content-Type.
 */
export function parseManifest(bytes: Uint8Array, expected?: string): Manifest {
  const what = 'manifest'
  const document = parseDocument(bytes, what)
  const mediaType = documentType(document, 'manifest', what, expected)
  const fields = new Fields(document, what)
  const config = fields.object('config') ?? fields.fail('config', 'a descriptor')
  const layers = fields.objects('layers') ?? fields.fail('layers', 'a list of descriptors')
  if (layers.length > LAYERS_MAX)
    throw documentError(what, `${layers.length} layers are more than the ${LAYERS_MAX} that can be put on each other`)
  const subject = fields.object('subject')
  const annotations = fields.map('annotations')
  const artifactType = fields.text('artifactType')
  return {
    schemaVersion: 2,
    mediaType,
    ...(artifactType ? { artifactType } : {}),
    config: readDescriptor(config, what, 'config.'),
    layers: layers.map((layer, index) => readDescriptor(layer, what, `layers[${index}].`)),
    ...(subject ? { subject: readDescriptor(subject, what, 'subject.') } : {}),
    ...(annotations ? { annotations } : {}),
  }
}

/** Throws unless it is of a container image whose layers can all be had: no artifact, no foreign layers. */
export function checkImageManifest({ config, layers, artifactType }: Manifest): void {
  // Docker once wrote octet-stream here, and some tools still do.
  if (!isConfig(config.mediaType) && config.mediaType !== 'application/octet-stream')
    throw unsupported(`it is no container image but ${artifactType || config.mediaType}`, 'Give the name of an image.')
  for (const [index, { mediaType }] of layers.entries()) {
    if (isForeignLayer(mediaType))
      throw unsupported(
        `layer ${index} is foreign (${mediaType}): it may not be had from a registry`,
        'Such layers are those of Windows. Use an image for Linux.',
      )
    if (!isLayer(mediaType))
      throw unsupported(`layer ${index} is of an unknown type, ${mediaType}`, 'Layers are tar, gzip or zstd archives.')
  }
}

function unsupported(message: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_UNSUPPORTED', `manifest: ${message}`, { stage: 'manifest', hint })
}

/** Checks descriptors and platforms of documents. */
import type { Descriptor } from './descriptor.js'
import { hasDigestForm } from './digest.js'
import { Fields } from './fields.js'
import { checkNames, type Json } from './json.js'
import type { Platform } from './platform.js'

const NAMES = ['mediaType', 'digest', 'size', 'urls', 'annotations', 'platform', 'artifactType', 'data'] as const
const PLATFORM_NAMES = ['architecture', 'os', 'os.version', 'os.features', 'variant'] as const
/** RFC 6838, section 4.2. */
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/
const URL_FORM = /^[A-Za-z][A-Za-z0-9+.-]*:\S+$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

export function isMediaType(text: string): boolean {
  return MEDIA_TYPE.test(text)
}

/** `at` names it inside the document `what`, as `layers[0].`. */
export function readDescriptor(object: Json, what: string, at: string): Descriptor {
  checkNames(object, NAMES, what)
  const fields = new Fields(object, what, at)
  const mediaType = fields.requiredText('mediaType')
  if (!isMediaType(mediaType)) fields.fail('mediaType', 'a media type')
  const digest = fields.requiredText('digest')
  if (!hasDigestForm(digest)) fields.fail('digest', 'a digest')
  const size = fields.count('size') ?? fields.fail('size', 'a whole number that is not negative')
  const descriptor: Descriptor = { mediaType, digest, size }
  const urls = fields.texts('urls')
  if (urls?.some((url) => !URL_FORM.test(url))) fields.fail('urls', 'a list of URLs')
  const artifactType = fields.text('artifactType')
  if (artifactType && !isMediaType(artifactType)) fields.fail('artifactType', 'a media type')
  const data = fields.text('data')
  if (data !== undefined && !(BASE64.test(data) && Buffer.byteLength(data, 'base64') === size))
    fields.fail('data', `${size} bytes in base64`)
  const platform = fields.object('platform')
  const annotations = fields.map('annotations')
  if (urls) descriptor.urls = urls
  if (annotations) descriptor.annotations = annotations
  if (platform) descriptor.platform = readPlatform(platform, what, `${at}platform.`)
  if (artifactType) descriptor.artifactType = artifactType
  if (data !== undefined) descriptor.data = data
  return descriptor
}

/** Of a descriptor, or the head of an image configuration. */
export function readPlatform(object: Json, what: string, at: string): Platform {
  checkNames(object, PLATFORM_NAMES, what)
  const fields = new Fields(object, what, at)
  const platform: Platform = { architecture: fields.requiredText('architecture'), os: fields.requiredText('os') }
  const version = fields.text('os.version')
  const features = fields.texts('os.features')
  const variant = fields.text('variant')
  if (version) platform['os.version'] = version
  if (features) platform['os.features'] = features
  if (variant) platform.variant = variant
  return platform
}

/** Manifests: fetched by tag or digest, verified, written. */
import type { Reference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import { isDigest, parseDigest } from '../spec/digest.js'
import { parseIndex } from '../spec/index-document.js'
import { parseDocument } from '../spec/json.js'
import { parseManifest } from '../spec/manifest.js'
import { isIndex, isManifest, MEDIA_TYPES, SCHEMA1_TYPES } from '../spec/media-types.js'
import { digestOf } from './content.js'
import type { Endpoint } from './endpoint.js'
import { digestError, protocolError, RegistryError } from './failure.js'
import { repositoryScope } from './scopes.js'
import type { HttpResponse } from './transport.js'

/** A manifest or an index, as its bytes are; they have passed the parser. */
export interface FetchedManifest {
  descriptor: Descriptor
  bytes: Buffer
}

export const MANIFEST_MAX = 4 * 1024 * 1024

const ACCEPT = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerManifestList,
  MEDIA_TYPES.dockerManifest,
].join(', ')

/** What servers say that do not know what it is; then the document's own word counts. */
const UNSPECIFIC = new Set(['', 'application/json', 'application/octet-stream', 'text/plain'])

function pathOf(repository: string, reference: string): string {
  return `/v2/${repository}/manifests/${reference}`
}

function targetOf({ tag, digest }: Reference): string {
  return digest ?? tag ?? 'latest'
}

/**
 * What a name means now, without its content: a HEAD costs nothing of the rate limits of registries. Undefined when the
 * registry does not say.
 */
export async function headManifest(
  endpoint: Endpoint,
  reference: Reference,
  signal?: AbortSignal,
): Promise<Descriptor | undefined> {
  const request = {
    method: 'HEAD' as const,
    to: pathOf(reference.repository, targetOf(reference)),
    scopes: [repositoryScope(reference.repository, 'pull')],
    headers: { Accept: ACCEPT },
    signal,
  }
  const response = await endpoint.expect(request, [200], nameOf(reference))
  await response.body.discard()
  const digest = response.headers['docker-content-digest']
  const size = Number(response.headers['content-length'] ?? Number.NaN)
  const mediaType = contentType(response)
  if (!isDigest(digest) || !Number.isSafeInteger(size) || !(isIndex(mediaType) || isManifest(mediaType)))
    return undefined
  if (reference.digest !== undefined && reference.digest !== digest) return undefined
  return { mediaType, digest, size }
}

/**
 * @param expected what an index said of it; its digest decides over the reference.
 */
export async function getManifest(
  endpoint: Endpoint,
  reference: Reference,
  expected: Descriptor | undefined,
  signal?: AbortSignal,
): Promise<FetchedManifest> {
  const { repository } = reference
  const digest = expected?.digest ?? reference.digest
  const what = nameOf(reference)
  if (expected && expected.size > MANIFEST_MAX) throw tooLarge(what, expected.size)
  const request = {
    method: 'GET' as const,
    to: pathOf(repository, digest ?? targetOf(reference)),
    scopes: [repositoryScope(repository, 'pull')],
    headers: { Accept: ACCEPT },
    signal,
  }
  const response = await endpoint.expect(request, [200], what)
  const length = Number(response.headers['content-length'] ?? 0)
  if (length > MANIFEST_MAX) {
    response.body.destroy()
    throw tooLarge(what, length)
  }
  const bytes = await response.body.bytes(expected?.size ?? MANIFEST_MAX, `the manifest of ${what}`)
  if (expected && bytes.length !== expected.size)
    throw digestError(what, `the manifest has ${bytes.length} bytes; the index says ${expected.size}`)
  const verified = verifiedDigest(what, bytes, digest, response.headers['docker-content-digest'])
  const mediaType = checkedType(response, bytes, expected?.mediaType)
  // Read here, so that what cannot be understood is never kept.
  if (isIndex(mediaType)) parseIndex(bytes, mediaType)
  else parseManifest(bytes, mediaType)
  return { descriptor: { mediaType, digest: verified, size: bytes.length }, bytes }
}

/** The digest that was asked for, or else the one that the registry says, or else SHA-256; of these very bytes. */
function verifiedDigest(what: string, bytes: Buffer, wanted: string | undefined, said: unknown): string {
  for (const digest of [wanted, typeof said === 'string' ? said : undefined]) {
    if (digest === undefined) continue
    if (!isDigest(digest)) throw digestError(what, 'the registry names a digest that is none')
    const computed = digestOf(bytes, parseDigest(digest).algorithm)
    if (computed !== digest) throw digestError(what, `the digest of the manifest is ${computed}, not ${digest}`)
  }
  return wanted ?? (typeof said === 'string' ? said : digestOf(bytes))
}

/**
 * The server's word, the document's word and that of the index must agree: bytes that are an index for one program and a
 * manifest for another are two images under one digest (CVE-2021-41190). What is in the document, its parser looks at.
 */
function checkedType(response: HttpResponse, bytes: Buffer, expected: string | undefined): string {
  const said = contentType(response)
  if (SCHEMA1_TYPES.includes(said))
    throw new RegistryError('ERR_CAISSON_UNSUPPORTED', `${response.url.pathname}: a manifest of schema 1`, {
      hint: 'The image is of a time before digests could be verified: push it again with a program of today.',
    })
  let mediaType = said
  if (UNSPECIFIC.has(said)) {
    const own = expected ?? parseDocument(bytes, 'manifest').mediaType
    mediaType = typeof own === 'string' ? own : ''
  }
  if (!isIndex(mediaType) && !isManifest(mediaType))
    throw protocolError(response.url, `it sends ${mediaType || 'something of no type'} where a manifest was asked for`)
  if (expected !== undefined && expected !== mediaType)
    throw protocolError(response.url, `it sends ${mediaType}; the index promised ${expected}`)
  return mediaType
}

function contentType({ headers }: HttpResponse): string {
  return (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
}

function tooLarge(what: string, size: number): RegistryError {
  return new RegistryError(
    'ERR_CAISSON_MANIFEST',
    `${what}: a manifest of ${size} bytes; ${MANIFEST_MAX} are allowed`,
    {
      hint: 'No image needs one that large: do not use it.',
    },
  )
}

export function nameOf({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

/** Under a tag, or its digest. */
export async function putManifest(
  endpoint: Endpoint,
  reference: Reference,
  { descriptor, bytes }: FetchedManifest,
  under: 'tag' | 'digest',
  signal?: AbortSignal,
): Promise<void> {
  const { repository } = reference
  const name = under === 'digest' ? descriptor.digest : (reference.tag ?? descriptor.digest)
  const request = {
    method: 'PUT' as const,
    to: pathOf(repository, name),
    scopes: [repositoryScope(repository, 'pull', 'push')],
    headers: { 'Content-Type': descriptor.mediaType },
    body: () => bytes,
    signal,
  }
  const response = await endpoint.expect(request, [201, 200, 202], `${nameOf(reference)}: writing the manifest`)
  await response.body.discard()
  const said = response.headers['docker-content-digest']
  if (
    said !== undefined &&
    said !== descriptor.digest &&
    String(said).startsWith(descriptor.digest.split(':')[0] as string)
  )
    throw digestError(nameOf(reference), `the registry took the manifest for ${said}, not ${descriptor.digest}`)
}

/** Small images, made of bytes, and a server that has them. */
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Reference } from '../../lib/reference/parse.js'
import type { Descriptor } from '../../lib/spec/descriptor.js'
import { MEDIA_TYPES } from '../../lib/spec/media-types.js'

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export function describeBytes(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: sha256(bytes), size: bytes.length }
}

export interface TestImage {
  descriptor: Descriptor
  manifest: Buffer
  blobs: Map<string, Buffer>
  config: Descriptor
  layers: Descriptor[]
}

/** Layers are bytes that nobody unpacks, unless they are given. */
export function makeImage(
  layers: Buffer[] = [randomBytes(1000), randomBytes(100_000)],
  changes: object = {},
): TestImage {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
    }),
  )
  const blobs = new Map([config, ...layers].map((bytes) => [sha256(bytes), bytes]))
  const described = layers.map((bytes) => describeBytes(MEDIA_TYPES.ociLayer, bytes))
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: describeBytes(MEDIA_TYPES.ociConfig, config),
      layers: described,
      ...changes,
    }),
  )
  return {
    descriptor: describeBytes(MEDIA_TYPES.ociManifest, manifest),
    manifest,
    blobs,
    config: describeBytes(MEDIA_TYPES.ociConfig, config),
    layers: described,
  }
}

export function referenceTo(host: string, more: Partial<Reference> = {}): Reference {
  return { registry: host, repository: 'team/app', tag: 'latest', ...more }
}

/** Answers as a registry that has one image, with ranges. */
export function answerWith(image: TestImage, request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? ''
  if (url === '/v2/') return void response.end('{}')
  const [, kind, name = ''] = /^\/v2\/.+\/(manifests|blobs)\/([^/?]+)$/.exec(url) ?? []
  if (kind === 'manifests') {
    response.writeHead(200, {
      'Content-Type': image.descriptor.mediaType,
      'Content-Length': image.manifest.length,
      'Docker-Content-Digest': image.descriptor.digest,
    })
    return void response.end(request.method === 'HEAD' ? undefined : image.manifest)
  }
  const blob = image.blobs.get(name)
  if (!blob) return void response.writeHead(404).end('{"errors":[{"code":"BLOB_UNKNOWN","message":"none"}]}')
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const range = { 'Content-Range': `bytes ${start}-${blob.length - 1}/${blob.length}` }
  response.writeHead(start > 0 ? 206 : 200, { 'Content-Length': blob.length - start, ...(start > 0 ? range : {}) })
  response.end(blob.subarray(start))
}

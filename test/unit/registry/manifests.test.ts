/** Manifests from servers that misbehave. Those that behave are in integration/registry. */
import { createHash } from 'node:crypto'
import type { RegistryClientOptions } from '../../../lib/registry/options.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { describeBytes, makeImage, referenceTo, sha256 } from '../../support/images.js'
import { client, codeOf } from '../../support/quick-client.js'
import { type Handler, serve } from '../../support/servers.js'

/** What resolving the tag comes to, at a server that answers so. */
async function resolving(handler: Handler, options: RegistryClientOptions = {}): Promise<string> {
  await using server = await serve((request, response, seen) => {
    if (request.url === '/v2/') return void response.end('{}')
    return handler(request, response, seen)
  })
  using registry = client(options)
  return await codeOf(registry.resolve(referenceTo(server.host)))
}

const manifestOf = (body: string | Buffer, headers: Record<string, string> = {}): Handler => {
  return (_, response) => {
    response.writeHead(200, { 'Content-Type': MEDIA_TYPES.ociManifest, ...headers })
    response.end(body)
  }
}

describe('manifests', () => {
  const image = makeImage()
  const text = image.manifest.toString()

  test('what is right is taken', async () => {
    expect(await resolving(manifestOf(text))).toBe('no error')
    expect(await resolving(manifestOf(text, { 'Docker-Content-Digest': image.descriptor.digest }))).toBe('no error')
    const sha512 = `sha512:${createHash('sha512').update(text).digest('hex')}`
    expect(await resolving(manifestOf(text, { 'Docker-Content-Digest': sha512 }))).toBe('no error')
    expect(await resolving(manifestOf(text, { 'Content-Type': 'application/json' }))).toBe('no error')
  })

  test('every byte flipped in turn is refused, by digest', async () => {
    const flipped = Buffer.from(image.manifest)
    let at = 0
    await using server = await serve((request, response) => {
      if (request.url === '/v2/') return void response.end('{}')
      const bytes = Buffer.from(flipped)
      bytes[at] = (bytes[at] as number) ^ 1
      response.writeHead(200, { 'Content-Type': MEDIA_TYPES.ociManifest }).end(bytes)
    })
    using registry = client()
    const reference = referenceTo(server.host, { digest: image.descriptor.digest })
    for (; at < flipped.length; at++)
      expect([at, await codeOf(registry.resolve(reference))]).toEqual([at, 'ERR_CAISSON_DIGEST'])
  })

  test.each<[string, Handler, string]>([
    [
      'another digest in the header',
      manifestOf(text, { 'Docker-Content-Digest': sha256(Buffer.from('x')) }),
      'ERR_CAISSON_DIGEST',
    ],
    ['no digest in the header', manifestOf(text, { 'Docker-Content-Digest': 'sha256:../../x' }), 'ERR_CAISSON_DIGEST'],
    ['a web page', manifestOf('<html>', { 'Content-Type': 'text/html' }), 'ERR_CAISSON_REGISTRY'],
    [
      'an index under the type of a manifest',
      manifestOf(text.replace(/image\.manifest/, 'image.index')),
      'ERR_CAISSON_MANIFEST',
    ],
    [
      'a manifest under the type of an index',
      manifestOf(text, { 'Content-Type': MEDIA_TYPES.ociIndex }),
      'ERR_CAISSON_MANIFEST',
    ],
    ['layers and manifests', manifestOf(text.replace('"layers"', '"manifests":[],"layers"')), 'ERR_CAISSON_MANIFEST'],
    ['a key twice', manifestOf(text.replace('"layers"', '"layers":[],"layers"')), 'ERR_CAISSON_MANIFEST'],
    ['a key in another case', manifestOf(text.replace('"layers"', '"Layers":[],"layers"')), 'ERR_CAISSON_MANIFEST'],
    ['not JSON', manifestOf('{'), 'ERR_CAISSON_MANIFEST'],
    ['an array', manifestOf('[]'), 'ERR_CAISSON_MANIFEST'],
    ['deep JSON', manifestOf(`{"a":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`), 'ERR_CAISSON_MANIFEST'],
    [
      'schema 1',
      manifestOf('{}', { 'Content-Type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' }),
      'ERR_CAISSON_UNSUPPORTED',
    ],
    [
      'a bad digest of a layer',
      manifestOf(text.replaceAll(/sha256:[0-9a-f]{64}/g, `sha256:${'../'.repeat(21)}x`)),
      'ERR_CAISSON_MANIFEST',
    ],
    [
      'a digest in upper case',
      manifestOf(text.replaceAll(/sha256:([0-9a-f]{64})/g, (_, hex) => `sha256:${hex.toUpperCase()}`)),
      'ERR_CAISSON_MANIFEST',
    ],
  ])('%s is refused', async (_, handler, code) => {
    expect(await resolving(handler)).toBe(code)
  })

  test('10,000 layers are refused', async () => {
    const one = describeBytes(MEDIA_TYPES.ociLayer, Buffer.from('x'))
    const many = makeImage([], { layers: new Array(10_000).fill(one) })
    expect(await resolving(manifestOf(many.manifest))).toBe('ERR_CAISSON_MANIFEST')
  })

  test('100 MB are refused, said or not, after no more than 4 MiB', async () => {
    expect(await resolving(manifestOf('', { 'Content-Length': '104857600' }))).toBe('ERR_CAISSON_MANIFEST')
    let sent = 0
    const endless: Handler = (_, response) => {
      response.writeHead(200, { 'Content-Type': MEDIA_TYPES.ociManifest })
      const more = () => {
        while (sent < 100 * 1024 * 1024 && !response.destroyed) {
          sent += 65536
          if (!response.write(Buffer.alloc(65536, 32))) return void response.once('drain', more)
        }
        response.end()
      }
      more()
    }
    expect(await resolving(endless)).toBe('ERR_CAISSON_REGISTRY')
    expect(sent).toBeLessThan(20 * 1024 * 1024)
  })

  test('slow heads and slow bodies are errors', async () => {
    const timeouts = { response: 100, idle: 100, rateWindow: 300 }
    const options = { timeouts, retry: { attempts: 1 } }
    expect(await resolving(() => undefined, options)).toBe('ERR_CAISSON_TIMEOUT')
    const silent: Handler = (_, response) =>
      void response.writeHead(200, { 'Content-Type': MEDIA_TYPES.ociManifest }).write('{')
    expect(await resolving(silent, options)).toBe('ERR_CAISSON_TIMEOUT')
    const dripping: Handler = (_, response) => {
      response.writeHead(200, { 'Content-Type': MEDIA_TYPES.ociManifest })
      const timer = setInterval(() => response.write(' '), 20)
      response.once('close', () => clearInterval(timer))
    }
    expect(await resolving(dripping, options)).toBe('ERR_CAISSON_TIMEOUT')
  })

  test('an index leads to its entry, which must be what it says', async () => {
    const index = (changes: object) =>
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MEDIA_TYPES.ociIndex,
          manifests: [{ ...image.descriptor, platform: { os: 'linux', architecture: 'amd64' }, ...changes }],
        }),
      )
    const handler =
      (changes: object, type: string = MEDIA_TYPES.ociManifest): Handler =>
      (request, response) => {
        const child = request.url?.includes('sha256:')
        const bytes = child ? image.manifest : index(changes)
        response.writeHead(200, { 'Content-Type': child ? type : MEDIA_TYPES.ociIndex }).end(bytes)
      }
    const platform = { os: 'linux', architecture: 'amd64' }
    const outcome = async (made: Handler) => {
      await using server = await serve((request, response, seen) =>
        request.url === '/v2/' ? void response.end() : made(request, response, seen),
      )
      using registry = client()
      return await codeOf(registry.resolve(referenceTo(server.host), { platform }))
    }
    expect(await outcome(handler({}))).toBe('no error')
    expect(await outcome(handler({ size: image.manifest.length + 1 }))).toBe('ERR_CAISSON_DIGEST')
    expect(await outcome(handler({ size: image.manifest.length - 1 }))).toBe('ERR_CAISSON_REGISTRY')
    expect(await outcome(handler({ size: 2 ** 40 }))).toBe('ERR_CAISSON_MANIFEST')
    expect(await outcome(handler({ digest: sha256(Buffer.from('x')) }))).toBe('ERR_CAISSON_DIGEST')
    expect(await outcome(handler({ mediaType: MEDIA_TYPES.dockerManifest }))).toBe('ERR_CAISSON_REGISTRY')
    expect(await outcome(handler({ platform: { os: 'linux', architecture: 's390x' } }))).toBe(
      'ERR_CAISSON_IMAGE_NOT_FOUND',
    )
  })

  test('statuses have codes of their own', async () => {
    const status =
      (code: number): Handler =>
      (_, response) =>
        void response.writeHead(code).end()
    expect(await resolving(status(404))).toBe('ERR_CAISSON_IMAGE_NOT_FOUND')
    expect(await resolving(status(403))).toBe('ERR_CAISSON_REGISTRY_DENIED')
    expect(await resolving(status(429))).toBe('ERR_CAISSON_REGISTRY_LIMIT')
    expect(await resolving(status(500))).toBe('ERR_CAISSON_REGISTRY')
    const basic: Handler = (_, response) =>
      void response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end()
    expect(await resolving(basic)).toBe('ERR_CAISSON_REGISTRY_AUTH')
    expect(await resolving(basic, { auth: { username: 'a', password: 'b' } })).toBe('ERR_CAISSON_REGISTRY_AUTH')
  })
})

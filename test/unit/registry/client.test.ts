/** The client against servers that misbehave. Those that behave are in integration/registry. */
import { createHash, randomBytes } from 'node:crypto'
import { RegistryClient } from '../../../lib/registry/client.js'
import { MemoryTarget } from '../../../lib/registry/content.js'
import type { RegistryClientOptions } from '../../../lib/registry/options.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { answerWith, describeBytes, makeImage, referenceTo, sha256 } from '../../support/images.js'
import { type Handler, serve } from '../../support/servers.js'

const QUICK = { retry: { attempts: 3, delay: 1, longest: 5 } }

/** One that knows nothing of this machine. */
function client(options: RegistryClientOptions = {}): RegistryClient {
  return new RegistryClient({
    env: { HOME: '/nonexistent', REGISTRY_AUTH_FILE: '/nonexistent/auth.json' },
    ...QUICK,
    ...options,
  })
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error) => error.code ?? String(error),
  )
}

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

describe('blobs', () => {
  const blob = randomBytes(300_000)
  const descriptor = describeBytes(MEDIA_TYPES.ociLayer, blob)

  async function fetching(
    handler: Handler,
    {
      options = {},
      target = new MemoryTarget(descriptor),
    }: { options?: RegistryClientOptions; target?: MemoryTarget } = {},
  ) {
    await using server = await serve((request, response, seen) => {
      if (request.url === '/v2/') return void response.end('{}')
      return handler(request, response, seen)
    })
    using registry = client(options)
    const code = await codeOf(registry.fetchBlob(referenceTo(server.host), descriptor, target))
    return { code, requests: server.requests.filter(({ url }) => url !== '/v2/') }
  }

  const right: Handler = (request, response) =>
    answerWith({ ...makeImage(), blobs: new Map([[descriptor.digest, blob]]) }, request, response)

  test('what is right is taken', async () => {
    expect((await fetching(right)).code).toBe('no error')
  })

  test('every byte flipped in turn is refused, by digest', async () => {
    const small = randomBytes(400)
    const wanted = describeBytes(MEDIA_TYPES.ociLayer, small)
    let at = 0
    await using server = await serve((request, response) => {
      if (request.url === '/v2/') return void response.end('{}')
      const bytes = Buffer.from(small)
      bytes[at] = (bytes[at] as number) ^ 0x80
      response.end(bytes)
    })
    using registry = client()
    for (; at < small.length; at++) {
      const work = registry.fetchBlob(referenceTo(server.host), wanted, new MemoryTarget(wanted))
      expect([at, await codeOf(work)]).toEqual([at, 'ERR_CAISSON_DIGEST'])
    }
  })

  test.each<[string, Handler, string]>([
    ['a longer length', (_, response) => void response.end(Buffer.concat([blob, blob])), 'ERR_CAISSON_DIGEST'],
    ['a shorter length', (_, response) => void response.end(blob.subarray(1)), 'ERR_CAISSON_DIGEST'],
    [
      'an end too early',
      (_, response) => {
        response.write(blob.subarray(0, 1000))
        response.end()
      },
      'ERR_CAISSON_DIGEST',
    ],
    [
      'an encoding',
      (_, response) => void response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(blob),
      'ERR_CAISSON_REGISTRY',
    ],
    ['a part unasked', (_, response) => void response.writeHead(206).end(blob), 'ERR_CAISSON_REGISTRY'],
  ])('%s is refused at once', async (_, handler, code) => {
    const { code: seen, requests } = await fetching(handler)
    expect([seen, requests.length]).toEqual([code, 1])
  })

  test('an endless body is cut off', async () => {
    let sent = 0
    const { code } = await fetching((_, response) => {
      const more = () => {
        while (!response.destroyed) {
          sent += 65536
          if (!response.write(Buffer.alloc(65536))) return void response.once('drain', more)
        }
      }
      more()
    })
    expect(code).toBe('ERR_CAISSON_DIGEST')
    expect(sent).toBeLessThan(20 * 1024 * 1024)
  })

  test('a silent or dripping one too', async () => {
    const options = { timeouts: { idle: 100, rateWindow: 200 }, retry: { attempts: 2, delay: 1 } }
    expect((await fetching((_, response) => void response.write(blob.subarray(0, 10)), { options })).code).toBe(
      'ERR_CAISSON_TIMEOUT',
    )
    const dripping: Handler = (_, response) => {
      const timer = setInterval(() => response.write('x'), 20)
      response.once('close', () => clearInterval(timer))
    }
    // Each time a little comes: this ends all the same.
    expect((await fetching(dripping, { options })).code).toBe('ERR_CAISSON_TIMEOUT')
  }, 30_000)

  test('a transfer that breaks goes on where it was', async () => {
    let count = 0
    const { code, requests } = await fetching((request, response, seen) => {
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      if (++count > 3) return right(request, response, seen)
      response.writeHead(start ? 206 : 200, {
        'Content-Length': blob.length - start,
        ...(start ? { 'Content-Range': `bytes ${start}-${blob.length - 1}/${blob.length}` } : {}),
      })
      response.write(blob.subarray(start, start + 50_000), () => setTimeout(() => response.destroy(), 20))
    })
    expect(code).toBe('no error')
    expect(requests.length).toBe(4)
    const starts = requests.map(({ headers }) => Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0))
    expect(starts[1]).toBeGreaterThan(0)
    expect(starts[3]).toBeGreaterThan(starts[1] as number)
  })

  test('a server that does not know ranges sends all again, and the rest is used', async () => {
    let count = 0
    const { code } = await fetching((_, response) => {
      if (++count > 1) return void response.end(blob)
      response.writeHead(200, { 'Content-Length': blob.length })
      response.write(blob.subarray(0, 50_000), () => setTimeout(() => response.destroy(), 20))
    })
    expect([code, count]).toEqual(['no error', 2])
  })

  test.each(['bytes 0-299999/300000', 'bytes 60000-299999/300000', 'bytes 50000-299999/1', 'x', ''])(
    'a wrong range: %p',
    async (range) => {
      const target = new MemoryTarget(descriptor)
      await target.write(blob.subarray(0, 50_000))
      const { code } = await fetching(
        (_, response) => void response.writeHead(206, { 'Content-Range': range }).end(blob.subarray(50_000)),
        { target },
      )
      // One that starts at 0 is honest about it; its body is not that.
      expect(['ERR_CAISSON_REGISTRY', 'ERR_CAISSON_DIGEST']).toContain(code)
    },
  )

  test('trouble is tried again, a bounded number of times', async () => {
    for (const status of [429, 500, 502, 503, 504]) {
      let count = 0
      const { code } = await fetching((request, response, seen) =>
        ++count < 3 ? void response.writeHead(status).end() : right(request, response, seen),
      )
      expect([status, code, count]).toEqual([status, 'no error', 3])
      const always = await fetching((_, response) => void response.writeHead(status).end())
      expect(always.requests.length).toBe(3)
    }
    const never = await fetching((_, response) => void response.writeHead(404).end())
    expect([never.code, never.requests.length]).toEqual(['ERR_CAISSON_IMAGE_NOT_FOUND', 1])
  })

  test('Retry-After is waited for, unless it is too long', async () => {
    let count = 0
    const began = performance.now()
    const soon = await fetching((request, response, seen) =>
      ++count < 2 ? void response.writeHead(429, { 'Retry-After': '1' }).end() : right(request, response, seen),
    )
    expect(soon.code).toBe('no error')
    expect(performance.now() - began).toBeGreaterThan(950)
    const late = await fetching((_, response) => void response.writeHead(429, { 'Retry-After': '86400' }).end())
    expect([late.code, late.requests.length]).toEqual(['ERR_CAISSON_REGISTRY_LIMIT', 1])
  })

  test('an abort ends it at any instant, and no connection is left', async () => {
    await using server = await serve((request, response) => {
      if (request.url === '/v2/') return void response.end('{}')
      const timer = setInterval(() => response.write(blob.subarray(0, 1000)), 1)
      response.once('close', () => clearInterval(timer))
    })
    const reference = referenceTo(server.host)
    for (const delay of [0, 1, 2, 5, 10, 20, 40]) {
      using registry = client()
      const work = registry.fetchBlob(reference, descriptor, new MemoryTarget(descriptor), {
        signal: AbortSignal.timeout(delay),
      })
      expect(await codeOf(work)).toBe('ERR_CAISSON_ABORTED')
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(server.connections()).toBe(0)
  })

  test('foreign layers are not fetched, from nowhere', async () => {
    await using elsewhere = await serve((_, response) => void response.end(blob))
    await using server = await serve((_, response) => void response.end(blob))
    using registry = client()
    const foreign = {
      ...descriptor,
      mediaType: MEDIA_TYPES.dockerForeignLayerGzip,
      urls: [`http://${elsewhere.host}/x`],
    }
    const work = registry.fetchBlob(referenceTo(server.host), foreign, new MemoryTarget(descriptor))
    await expect(work).rejects.toMatchObject({
      code: 'ERR_CAISSON_UNSUPPORTED',
      message: expect.stringContaining('foreign'),
    })
    expect(elsewhere.requests).toEqual([])
    // Addresses of any other layer are not looked at.
    const named = { ...descriptor, urls: [`http://${elsewhere.host}/x`] }
    await registry.fetchBlob(referenceTo(server.host), named, new MemoryTarget(descriptor))
    expect(elsewhere.requests).toEqual([])
  })
})

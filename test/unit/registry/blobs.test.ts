/** Blobs from servers that misbehave. Those that behave are in integration/registry. */
import { randomBytes } from 'node:crypto'
import type { RegistryClientOptions } from '../../../lib/registry/options.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { answerWith, describeBytes, makeImage, referenceTo } from '../../support/images.js'
import { MemoryTarget } from '../../support/memory-target.js'
import { client, codeOf } from '../../support/quick-client.js'
import { type Handler, serve } from '../../support/servers.js'

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

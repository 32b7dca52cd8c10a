/** Servers that want what is not theirs: our credentials, or our place in the network. */

import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { RegistryClient } from '../../../lib/registry/client.js'
import { connect } from '../../../lib/registry/connect.js'
import type { RegistryClientOptions } from '../../../lib/registry/options.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { makeAuthority, makeCertificate } from '../../support/certificates.js'
import { answerWith, describeBytes, makeImage, referenceTo } from '../../support/images.js'
import { MemoryTarget } from '../../support/memory-target.js'
import { findProgram, testIf } from '../../support/needs.js'
import { type Handler, serve, type TestServer } from '../../support/servers.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

const SECRET = 's3cret-of-the-user'
const AUTH = { username: 'me', password: SECRET }

function client(options: RegistryClientOptions = {}): RegistryClient {
  return new RegistryClient({
    env: { HOME: '/nonexistent', REGISTRY_AUTH_FILE: '/nonexistent/auth.json' },
    certificateDirectories: [],
    retry: { attempts: 2, delay: 1, longest: 2 },
    auth: AUTH,
    ...options,
  })
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error) => {
      const { message, hint, cause } = error
      expect(`${message} ${hint} ${JSON.stringify(cause)}`).not.toContain(SECRET)
      return error.code ?? String(error)
    },
  )
}

const authorized = ({ requests }: TestServer) => requests.filter(({ headers }) => headers.authorization !== undefined)
const ask = (response: ServerResponse, challenge = 'Basic realm="x"') =>
  void response.writeHead(401, { 'WWW-Authenticate': challenge }).end()

const image = makeImage()
const [layer] = image.layers as [(typeof image.layers)[0]]

/** A registry that wants a password, and does `handler` with requests that have one. */
function locked(handler: Handler): Handler {
  return (request, response, seen) => {
    if (request.url === '/v2/') return void response.end('{}')
    if (request.headers.authorization === undefined) return ask(response)
    return handler(request, response, seen)
  }
}

describe('redirects (CVE-2020-15157)', () => {
  async function redirected(location: (elsewhere: string, own: string) => string, then?: Handler) {
    await using elsewhere = await serve(then ?? ((request, response) => answerWith(image, request, response)))
    let own = ''
    await using registry = await serve(
      locked((request, response) => {
        if (request.url?.startsWith('/storage'))
          return answerWith(image, Object.assign(request, { url: request.url.slice(8) }), response)
        response.writeHead(307, { Location: location(elsewhere.host, own) }).end()
      }),
    )
    own = registry.host
    using own_ = client()
    const code = await codeOf(own_.fetchBlob(referenceTo(own), layer, new MemoryTarget(layer)))
    return { code, stolen: authorized(elsewhere), there: elsewhere.requests.length, own: authorized(registry).length }
  }
  const path = `/v2/team/app/blobs/${layer.digest}`

  test('to another port: followed, without credentials', async () => {
    expect(await redirected((elsewhere) => `http://${elsewhere}${path}`)).toMatchObject({
      code: 'no error',
      stolen: [],
      there: 1,
    })
  })

  test('to another name of the same machine, and with a user in it', async () => {
    const named = await redirected((elsewhere) => `http://you:there@localhost:${elsewhere.split(':')[1]}${path}`)
    expect(named).toMatchObject({ code: 'no error', stolen: [], there: 1 })
  })

  test('to the same server: with them', async () => {
    const { code, own } = await redirected((_, own) => `http://${own}/storage${path}`)
    expect([code, own]).toEqual(['no error', 2])
    expect((await redirected(() => `/storage${path}`)).code).toBe('no error')
  })

  test('there and back: without them', async () => {
    let back = ''
    await using elsewhere = await serve((_, response) => void response.writeHead(302, { Location: back }).end())
    await using registry = await serve(
      locked((_, response) => void response.writeHead(302, { Location: `http://${elsewhere.host}/` }).end()),
    )
    back = `http://${registry.host}${path}`
    using own = client()
    expect(await codeOf(own.fetchBlob(referenceTo(registry.host), layer, new MemoryTarget(layer)))).toBe(
      'ERR_CAISSON_REGISTRY_AUTH',
    )
    expect(registry.requests.at(-1)?.headers.authorization).toBeUndefined()
  })

  test.each([
    ['http://169.254.169.254/latest/meta-data', 'ERR_CAISSON_REGISTRY_UNSAFE'],
    ['http://[::ffff:169.254.169.254]/', 'ERR_CAISSON_REGISTRY_UNSAFE'],
    ['http://0.0.0.0:1/', 'ERR_CAISSON_REGISTRY_UNSAFE'],
    ['file:///etc/passwd', 'ERR_CAISSON_REGISTRY_UNSAFE'],
    ['javascript:1', 'ERR_CAISSON_REGISTRY_UNSAFE'],
    ['http://', 'ERR_CAISSON_REGISTRY'],
    [path, 'ERR_CAISSON_REGISTRY'],
  ])('to %s: refused', async (location, code) => {
    expect((await redirected(() => location)).code).toBe(code)
  })

  test('through a proxy: to no metadata service, which is near that, too', async () => {
    await using proxy = await serve((request, response) => {
      if (request.url === 'http://registry.example/v2/') return void response.end('{}')
      if (request.url?.startsWith('http://169.254.169.254')) return void response.end('keys of a cloud')
      response.writeHead(307, { Location: 'http://169.254.169.254/latest/meta-data/' }).end()
    })
    const env = {
      HOME: '/nonexistent',
      REGISTRY_AUTH_FILE: '/nonexistent/auth.json',
      HTTP_PROXY: `http://${proxy.host}`,
    }
    using own = client({ env, insecureRegistries: ['registry.example'] })
    const code = await codeOf(own.fetchBlob(referenceTo('registry.example'), layer, new MemoryTarget(layer)))
    expect(code).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    expect(proxy.requests.map(({ url }) => url)).not.toContain('http://169.254.169.254/latest/meta-data/')
  })

  test('for an answer that asks for a password elsewhere, none is given', async () => {
    const asking = await redirected(
      (elsewhere) => `http://${elsewhere}/`,
      (_, response) => ask(response),
    )
    expect(asking).toMatchObject({ code: 'ERR_CAISSON_REGISTRY_AUTH', stolen: [], there: 1 })
  })
})

describe('uploads', () => {
  async function uploading(location: (elsewhere: string) => string) {
    const bytes = Buffer.from('content')
    const blob = describeBytes(MEDIA_TYPES.ociLayer, bytes)
    const source = {
      async *read() {
        yield bytes
      },
    }
    await using elsewhere = await serve((_, response) => void response.writeHead(201).end())
    await using registry = await serve(
      locked((request, response) => {
        if (request.method === 'HEAD') return void response.writeHead(404).end()
        response.writeHead(202, { Location: location(elsewhere.host) }).end()
      }),
    )
    using own = client()
    const code = await codeOf(own.pushBlob(referenceTo(registry.host), blob, source))
    return { code, there: elsewhere.requests.length, stolen: authorized(elsewhere) }
  }

  test('to another server go without credentials', async () => {
    expect(await uploading((elsewhere) => `http://${elsewhere}/up?a=b`)).toEqual({
      code: 'no error',
      there: 1,
      stolen: [],
    })
  })

  test.each(['http://169.254.169.254/', 'ftp://x/', 'http://['])('to %s are refused', async (location) => {
    const { code, there } = await uploading(() => location)
    expect(code).toMatch(/^ERR_CAISSON_REGISTRY(_UNSAFE)?$/)
    expect(there).toBe(0)
  })
})

describe('realms', () => {
  const realmed = async (realm: string, options?: RegistryClientOptions) => {
    await using registry = await serve((request, response) => {
      if (request.url === '/v2/') return void response.end('{}')
      ask(response, `Bearer realm="${realm}",service="s"`)
    })
    using own = client(options)
    return await codeOf(own.resolve(referenceTo(registry.host)))
  }

  test('another port of this machine is not asked', async () => {
    await using elsewhere = await serve((_, response) => void response.end('{"token":"x"}'))
    expect(await realmed(`http://${elsewhere.host}/token`)).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    expect(elsewhere.requests).toEqual([])
  })

  test.each([
    'http://169.254.169.254/latest/meta-data/iam/security-credentials/',
    'http://2852039166/',
    'http://0xa9fea9fe/',
    'http://[::ffff:a9fe:a9fe]/',
    'http://[fd00:ec2::254]/',
    'http://0/',
    'http://2130706433:1/',
    'http://[::1]:1/',
    'http://10.0.0.1/',
    'http://user:pass@8.8.8.8/',
    'file:///etc/shadow',
    'gopher://x/',
    'nonsense',
    '/token',
  ])('%s is refused', async (realm) => {
    expect(await realmed(realm)).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
  })

  test('a token server that redirects is not followed', async () => {
    await using elsewhere = await serve((_, response) => void response.end('{"token":"x"}'))
    await using registry = await serve((request, response) => {
      if (request.url === '/v2/') return void response.end('{}')
      if (request.url?.startsWith('/token'))
        return void response.writeHead(307, { Location: `http://${elsewhere.host}/` }).end()
      ask(response, `Bearer realm="http://${request.headers.host}/token"`)
    })
    using own = client()
    expect(await codeOf(own.resolve(referenceTo(registry.host)))).toMatch(/^ERR_CAISSON_REGISTRY/)
    expect(elsewhere.requests).toEqual([])
  })

  test('names are judged by the addresses that are connected to', async () => {
    await using inside = await serve((_, response) => void response.end())
    const to = (host: string, from: 'public' | 'private' | 'loopback') =>
      codeOf(
        connect({ url: new URL(`http://${host}:${inside.port}/`), verify: true, from }, 2000).then((socket) =>
          socket.destroy(),
        ),
      )
    expect(await to('localhost', 'public')).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    expect(await to('a.localhost', 'private')).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    expect(await to('127.0.0.1', 'public')).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    expect(await to('localhost', 'loopback')).toBe('no error')
    // One of /etc/hosts, which is what a name server may say of any name.
    const alias = readFileSync('/etc/hosts', 'utf8').match(/^(?:127\.|::1)\S*\s+.*?\b(?!localhost)(\w[\w.-]+)$/m)?.[1]
    if (alias) expect(await to(alias, 'public')).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
  })
})

describe('what is sent', () => {
  test('nothing before it is asked for', async () => {
    await using registry = await serve(locked((request, response) => answerWith(image, request, response)))
    using own = client()
    expect(await codeOf(own.resolve(referenceTo(registry.host)))).toBe('no error')
    expect(registry.requests.map(({ headers }) => headers.authorization !== undefined)).toEqual(
      registry.requests.map(({ url }, index) => url !== '/v2/' && index === registry.requests.length - 1),
    )
  })

  test('a server that always says 401 is asked a bounded number of times', async () => {
    await using basic = await serve((_, response) => ask(response))
    using own = client()
    expect(await codeOf(own.resolve(referenceTo(basic.host)))).toBe('ERR_CAISSON_REGISTRY_AUTH')
    expect(basic.requests.length).toBeLessThanOrEqual(4)
    await using bearer = await serve((request, response) =>
      request.url?.startsWith('/token')
        ? void response.end(JSON.stringify({ token: `t${Math.random()}` }))
        : ask(response, `Bearer realm="http://${request.headers.host}/token"`),
    )
    expect(await codeOf(own.resolve(referenceTo(bearer.host)))).toBe('ERR_CAISSON_REGISTRY_AUTH')
    expect(bearer.requests.length).toBeLessThanOrEqual(8)
  })

  test('what a server says back of it is not in errors', async () => {
    await using registry = await serve(
      locked((request, response) => {
        const basic = String(request.headers.authorization)
        const plain = Buffer.from(basic.slice(6), 'base64').toString()
        response.writeHead(400).end(JSON.stringify({ errors: [{ code: 'X', message: `${plain} ${basic}` }] }))
      }),
    )
    using own = client()
    const error = await own.resolve(referenceTo(registry.host)).catch((error) => error)
    expect(error.message).not.toContain(SECRET)
    expect(error.message).not.toContain(Buffer.from(`me:${SECRET}`).toString('base64'))
    expect(error.message).toContain('REDACTED')
  })

  test('the next page of tags is not on another server', async () => {
    await using elsewhere = await serve((_, response) => void response.end('{"tags":[]}'))
    await using registry = await serve(
      locked(
        (_, response) =>
          void response.setHeader('Link', `<http://${elsewhere.host}/v2/>; rel="next"`).end('{"tags":["a"]}'),
      ),
    )
    using own = client()
    expect(await codeOf(own.tags(referenceTo(registry.host)))).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    expect(elsewhere.requests).toEqual([])
  })

  test('pages of tags are read to the end, and an endless list is not', async () => {
    await using registry = await serve((request, response) => {
      if (request.url === '/v2/') return void response.end('{}')
      const last = Number(new URL(request.url ?? '', 'http://x').searchParams.get('last') ?? 0)
      const tags = last < 3 ? [`tag-${last}`] : []
      response.setHeader('Link', `</v2/team/app/tags/list?last=${last + 1}>; rel="next"`).end(JSON.stringify({ tags }))
    })
    using own = client()
    expect(await own.tags(referenceTo(registry.host))).toEqual(['tag-0', 'tag-1', 'tag-2'])
  })

  test('secrets that cannot be in a header are refused, and not told', async () => {
    await using registry = await serve(locked(() => undefined))
    for (const auth of [
      { registryToken: `${SECRET}\r\nX: y` },
      { username: 'a:b', password: SECRET },
      { password: 7 as unknown as string },
    ]) {
      using own = client({ auth })
      expect(await codeOf(own.resolve(referenceTo(registry.host)))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    }
  })

  test('a new token is asked for when the old one is no longer taken', async () => {
    let valid = 0
    await using registry = await serve((request, response) => {
      if (request.url === '/v2/') return void response.end('{}')
      if (request.url?.startsWith('/token')) return void response.end(JSON.stringify({ token: `token-${++valid}` }))
      if (request.headers.authorization !== `Bearer token-${valid}`)
        return ask(response, `Bearer realm="http://${request.headers.host}/token",scope="repository:team/app:pull"`)
      answerWith(image, request, response)
    })
    using own = client()
    expect(await codeOf(own.resolve(referenceTo(registry.host)))).toBe('no error')
    valid++
    expect(await codeOf(own.resolve(referenceTo(registry.host)))).toBe('no error')
    expect(valid).toBe(3)
  })
})

const testTls = testIf(!findProgram('openssl') && 'no openssl')

describe('from TLS to none', () => {
  async function overTls(handler: Handler, work: (own: RegistryClient, host: string) => Promise<string>) {
    const directory = scratch()
    const authority = makeAuthority(directory)
    const { certificate, key } = makeCertificate(directory, 'server', 'IP:127.0.0.1', authority)
    await using registry = await serve(handler, { cert: readFileSync(certificate), key: readFileSync(key) })
    using own = client()
    return await work(own, registry.host)
  }
  const resolving = (own: RegistryClient, host: string) => codeOf(own.resolve(referenceTo(host)))

  testTls('nobody is redirected, and no token asked for', async () => {
    await using plain = await serve((_, response) => void response.end('{"token":"x"}'))
    const redirect: Handler = (request, response) =>
      request.url === '/v2/'
        ? void response.end()
        : void response.writeHead(302, { Location: `http://${plain.host}/` }).end()
    expect(await overTls(redirect, resolving)).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    const realm: Handler = (request, response) =>
      request.url === '/v2/'
        ? void response.end()
        : ask(response, `Bearer realm="http://${request.headers.host}/token"`)
    expect(await overTls(realm, resolving)).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    const upload: Handler = (request, response) => {
      if (request.method === 'HEAD') return void response.writeHead(404).end()
      response.writeHead(202, { Location: `http://${plain.host}/up` }).end()
    }
    const bytes = Buffer.from('x')
    const source = {
      async *read() {
        yield bytes
      },
    }
    const uploading = (own: RegistryClient, host: string) =>
      codeOf(own.pushBlob(referenceTo(host), describeBytes(MEDIA_TYPES.ociLayer, bytes), source))
    expect(await overTls(upload, uploading)).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
    expect(plain.requests).toEqual([])
  })
})

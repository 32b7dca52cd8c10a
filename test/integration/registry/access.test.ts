/** How a registry is reached: users, tokens, TLS, proxies. Debian's docker-registry is the peer. */
import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { RegistryClient } from '../../../lib/registry/client.js'
import type { RegistryClientOptions } from '../../../lib/registry/options.js'
import { pullInto } from '../../../lib/registry/pull.js'
import { pushFrom } from '../../../lib/registry/push.js'
import { Store } from '../../../lib/store/store.js'
import { makeAuthority, makeCertificate } from '../../support/certificates.js'
import { noRegistry, noSkopeo, startProxy, startRegistry } from '../../support/docker-registry.js'
import { findProgram, testIf } from '../../support/needs.js'
import { serve } from '../../support/servers.js'
import { storedImage } from '../../support/stored-images.js'
import { startTokenServer } from '../../support/token-server.js'
import { removeScratch, scratch } from '../../support/tree.js'

const run = promisify(execFile)
const testUsers = testIf(noRegistry || (!findProgram('htpasswd') && 'no htpasswd (apt: apache2-utils)'))
const testTls = testIf(noRegistry || (!findProgram('openssl') && 'no openssl'))
const testRegistry = testIf(noRegistry)

afterAll(removeScratch)

const QUICK = { retry: { attempts: 2, delay: 5, longest: 20 } }
const newClient = ({ env, ...options }: RegistryClientOptions = {}) =>
  new RegistryClient({
    env: { HOME: '/nonexistent', PATH: process.env.PATH, REGISTRY_AUTH_FILE: '/nonexistent/auth.json', ...env },
    certificateDirectories: [],
    ...QUICK,
    ...options,
  })

const app = (host: string, repository = 'team/app') => ({ registry: host, repository, tag: 'latest' })

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error) => {
      expect(`${error.message} ${error.hint}`).not.toMatch(/s3cret/)
      return error.code ?? String(error)
    },
  )
}

describe('users and passwords', () => {
  const image = storedImage()

  testUsers('given by the caller', async () => {
    await using registry = await startRegistry({ user: ['me', 's3cret:word'] })
    using client = newClient({ auth: { username: 'me', password: 's3cret:word' } })
    const { store, root } = await image
    await pushFrom(store, client, app(registry.host), root)
    await pullInto(await Store.open(scratch()), client, app(registry.host))
    using nobody = newClient()
    expect(await codeOf(nobody.resolve(app(registry.host)))).toBe('ERR_CAISSON_REGISTRY_AUTH')
    using wrong = newClient({ auth: { username: 'me', password: 's3cret' } })
    expect(await codeOf(wrong.resolve(app(registry.host)))).toBe('ERR_CAISSON_REGISTRY_AUTH')
  })

  testUsers('from config.json, auth.json and a helper', async () => {
    await using registry = await startRegistry({ user: ['me', 's3cret'] })
    const directory = scratch()
    const auth = Buffer.from('me:s3cret').toString('base64')
    const file = (name: string, content: object) => {
      writeFileSync(path.join(directory, name), JSON.stringify(content))
      return path.join(directory, name)
    }
    const { store, root } = await image
    const outcome = async (env: NodeJS.ProcessEnv) => {
      using client = newClient({ env })
      return await codeOf(pushFrom(store, client, app(registry.host), root))
    }
    file('config.json', { auths: { [registry.host]: { auth } } })
    expect(await outcome({ REGISTRY_AUTH_FILE: '', DOCKER_CONFIG: directory })).toBe('no error')
    const named = file('auth.json', { auths: { [`${registry.host}/team`]: { auth } } })
    expect(await outcome({ REGISTRY_AUTH_FILE: named })).toBe('no error')
    const other = file('other.json', { auths: { [`${registry.host}/others`]: { auth }, 'example.org': { auth } } })
    expect(await outcome({ REGISTRY_AUTH_FILE: other })).toBe('ERR_CAISSON_REGISTRY_AUTH')

    const helper = path.join(directory, 'docker-credential-test')
    writeFileSync(
      helper,
      `#!/bin/sh
read host
[ "$1" = get ] || exit 9
if [ "$host" = "${registry.host}" ]; then printf '{"ServerURL":"%s","Username":"me","Secret":"s3cret"}' "$host"
else echo "credentials not found in native keychain"; exit 1; fi
`,
    )
    chmodSync(helper, 0o755)
    const PATH = `${directory}:${process.env.PATH}`
    const perHost = file('helpers.json', { credHelpers: { [registry.host]: 'test' } })
    expect(await outcome({ REGISTRY_AUTH_FILE: perHost, PATH })).toBe('no error')
    const store_ = file('store.json', { credsStore: 'test' })
    expect(await outcome({ REGISTRY_AUTH_FILE: store_, PATH })).toBe('no error')
    const missing = file('missing.json', { credsStore: 'nothing-such' })
    expect(await outcome({ REGISTRY_AUTH_FILE: missing, PATH })).toBe('ERR_CAISSON_REGISTRY_CONFIG')
    const evil = file('evil.json', { credsStore: '../../bin/sh' })
    expect(await outcome({ REGISTRY_AUTH_FILE: evil, PATH })).toBe('ERR_CAISSON_REGISTRY_CONFIG')
    const broken = path.join(directory, 'broken.json')
    writeFileSync(broken, '{"auths": s3cret')
    expect(await outcome({ REGISTRY_AUTH_FILE: broken })).toBe('ERR_CAISSON_REGISTRY_CONFIG')
  })
})

describe('tokens', () => {
  async function withTokens(
    work: (host: string, tokens: Awaited<ReturnType<typeof startTokenServer>>) => Promise<void>,
    lifetime?: number,
  ) {
    const directory = scratch()
    const pair = makeAuthority(directory, 'tokens')
    const names = { issuer: 'issuer', service: 'service' }
    const users = { me: 's3cret' }
    await using tokens = await startTokenServer({
      pair,
      ...names,
      users,
      refreshTokens: { me: 'refresh-s3cret' },
      lifetime,
    })
    const realm = `http://localhost:${tokens.port}/token`
    await using registry = await startRegistry({ token: { realm, ...names, certificate: pair.certificate } })
    await work(`localhost:${registry.port}`, tokens)
  }
  const image = storedImage()

  testTls('for a password: scopes of both repositories, one token for many requests', async () => {
    await withTokens(async (host, tokens) => {
      const { store, root } = await image
      using client = newClient({ auth: { username: 'me', password: 's3cret' } })
      await pushFrom(store, client, app(host), root)
      expect(tokens.given).toEqual([['repository:team/app:pull,push']])
      await pushFrom(store, client, app(host, 'other/app'), root, { mountFrom: 'team/app' })
      expect(tokens.given.at(-1)).toEqual(['repository:other/app:pull,push', 'repository:team/app:pull'])
      await pullInto(await Store.open(scratch()), client, app(host))
    })
  })

  testTls('for nobody: reading, not writing', async () => {
    await withTokens(async (host, tokens) => {
      const { store, root } = await image
      using client = newClient({ auth: { username: 'me', password: 's3cret' } })
      await pushFrom(store, client, app(host), root)
      using nobody = newClient()
      await pullInto(await Store.open(scratch()), nobody, app(host))
      expect(tokens.requests.at(-1)?.headers.authorization).toBeUndefined()
      expect(['ERR_CAISSON_REGISTRY_AUTH', 'ERR_CAISSON_REGISTRY_DENIED']).toContain(
        await codeOf(pushFrom(store, nobody, app(host, 'other'), root)),
      )
      using wrong = newClient({ auth: { username: 'me', password: 'wrong-s3cret' } })
      expect(await codeOf(wrong.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_AUTH')
    })
  })

  testTls('for an identity token, by OAuth 2', async () => {
    await withTokens(async (host, tokens) => {
      const { store, root } = await image
      using client = newClient({ auth: { identitytoken: 'refresh-s3cret' } })
      await pushFrom(store, client, app(host), root)
      expect(tokens.requests.every(({ method }) => method === 'POST')).toBe(true)
      using wrong = newClient({ auth: { identityToken: 'other-s3cret' } })
      expect(await codeOf(wrong.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_AUTH')
    })
  })

  testTls('on another address of this machine only when the user names it', async () => {
    await withTokens(async (host, tokens) => {
      const numeric = host.replace('localhost', '127.0.0.1')
      const realm = `127.0.0.1:${tokens.port}`
      await using front = await serve((_, response) => {
        response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="http://${realm}/token",service="service"` }).end()
      })
      expect(numeric).not.toBe(host)
      using client = newClient({ auth: { username: 'me', password: 's3cret' } })
      expect(await codeOf(client.resolve(app(front.host)))).toBe('ERR_CAISSON_REGISTRY_UNSAFE')
      expect(tokens.requests).toEqual([])
      using trusting = newClient({ auth: { username: 'me', password: 's3cret' }, tokenServers: [realm] })
      expect(await codeOf(trusting.resolve(app(front.host)))).toBe('ERR_CAISSON_REGISTRY_AUTH')
      expect(tokens.requests.length).toBeGreaterThan(0)
    })
  })
})

describe('TLS', () => {
  async function withTls(
    work: (port: number, directory: string) => Promise<void>,
    { clients = false, names = 'DNS:localhost,IP:127.0.0.1' } = {},
  ) {
    const directory = scratch()
    const authority = makeAuthority(directory)
    const pair = makeCertificate(directory, 'server', names, authority)
    makeCertificate(directory, 'client', 'DNS:me', authority)
    await using registry = await startRegistry({
      tls: { ...pair, ...(clients ? { clientAuthority: authority.certificate } : {}) },
    })
    await work(registry.port, directory)
  }
  const certs = (host: string, files: Record<string, string>) => {
    const base = scratch()
    mkdirSync(path.join(base, host), { recursive: true })
    for (const [name, from] of Object.entries(files)) copyFileSync(from, path.join(base, host, name))
    return [base]
  }
  const image = storedImage()

  testTls('with a CA of its own in certs.d, and without it not', async () => {
    await withTls(async (port, directory) => {
      const { store, root } = await image
      const host = `localhost:${port}`
      const certificateDirectories = certs(host, { 'ca.crt': path.join(directory, 'ca.crt') })
      using client = newClient({ certificateDirectories })
      await pushFrom(store, client, app(host), root)
      await pullInto(await Store.open(scratch()), client, app(host))
      // Another CA: the registry is not who it says.
      const other = makeAuthority(scratch())
      using deceived = newClient({ certificateDirectories: certs(host, { 'ca.crt': other.certificate }) })
      expect(await codeOf(deceived.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_UNREACHABLE')
      // On this machine any certificate will do when none is kept for it, as for docker.
      using loose = newClient()
      await loose.resolve(app(host))
    })
  })

  testTls('a certificate for another name is refused', async () => {
    await withTls(
      async (port, directory) => {
        const host = `localhost:${port}`
        using client = newClient({ certificateDirectories: certs(host, { 'ca.crt': path.join(directory, 'ca.crt') }) })
        expect(await codeOf(client.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_UNREACHABLE')
      },
      { names: 'DNS:elsewhere.example' },
    )
  })

  testTls('with a certificate of ours', async () => {
    await withTls(
      async (port, directory) => {
        const { store, root } = await image
        const host = `localhost:${port}`
        const file = (name: string) => path.join(directory, name)
        const authority = { 'ca.crt': file('ca.crt') }
        using client = newClient({
          certificateDirectories: certs(host, {
            ...authority,
            'me.cert': file('client.crt'),
            'me.key': file('client.key'),
          }),
        })
        await pushFrom(store, client, app(host), root)
        using nobody = newClient({ certificateDirectories: certs(host, authority) })
        expect(await codeOf(nobody.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_UNREACHABLE')
        using half = newClient({ certificateDirectories: certs(host, { ...authority, 'me.cert': file('client.crt') }) })
        expect(await codeOf(half.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_CONFIG')
      },
      { clients: true },
    )
  })

  testTls('through a proxy that makes tunnels, with its own password', async () => {
    await withTls(
      async (port, directory) => {
        const host = `registry.example:${port}`
        const { store, root } = await image
        await using proxy = await startProxy('user:pr0xy')
        const certificateDirectories = certs(host, { 'ca.crt': path.join(directory, 'ca.crt') })
        using client = newClient({ certificateDirectories, env: { https_proxy: proxy.url } })
        await pushFrom(store, client, app(host), root)
        await pullInto(await Store.open(scratch()), client, app(host))
        expect(new Set(proxy.seen.map(({ method, target }) => `${method} ${target}`))).toEqual(
          new Set([`CONNECT ${host}`]),
        )
        const wrong = proxy.url.replace('pr0xy', 's3cret')
        using refused = newClient({ certificateDirectories, env: { HTTPS_PROXY: wrong } })
        expect(await codeOf(refused.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_UNREACHABLE')
        using around = newClient({ certificateDirectories, env: { HTTPS_PROXY: proxy.url, NO_PROXY: '.example' } })
        const before = proxy.seen.length
        expect(await codeOf(around.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_UNREACHABLE')
        expect(proxy.seen.length).toBe(before)
      },
      { names: 'DNS:registry.example' },
    )
  })
})

describe('without TLS', () => {
  testRegistry('only registries that are named, or on this machine; through a proxy too', async () => {
    await using registry = await startRegistry()
    const host = `registry.example:${registry.port}`
    await using proxy = await startProxy()
    const env = { http_proxy: proxy.url, https_proxy: proxy.url }
    const { store, root } = await storedImage()
    using unnamed = newClient({ env })
    expect(await codeOf(unnamed.resolve(app(host)))).toBe('ERR_CAISSON_REGISTRY_UNREACHABLE')
    expect(proxy.seen.every(({ method }) => method === 'CONNECT')).toBe(true)
    using client = newClient({ env, insecureRegistries: [host] })
    await pushFrom(store, client, app(host), root)
    await pullInto(await Store.open(scratch()), client, app(host))
    expect(proxy.seen.some(({ method, target }) => method === 'PUT' && target === host)).toBe(true)
    // One whose name only the proxy knows, which is for addresses without TLS alone.
    using plain = newClient({ env: { http_proxy: proxy.url }, insecureRegistries: [host] })
    await pullInto(await Store.open(scratch()), plain, app(host))
  })
})

const testPeer = testIf(noRegistry || noSkopeo)
testPeer('skopeo’s login is ours', async () => {
  await using registry = await startRegistry({ user: ['me', 's3cret'] })
  const file = path.join(scratch(), 'auth.json')
  await run('skopeo', ['login', '--tls-verify=false', '--authfile', file, '-u', 'me', '-p', 's3cret', registry.host])
  using client = newClient({ env: { REGISTRY_AUTH_FILE: file } })
  const { store, root } = await storedImage()
  await pushFrom(store, client, app(registry.host), root)
})

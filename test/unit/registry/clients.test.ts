/** Clients that are kept: connections and tokens serve more than one call, and no change is missed. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { withClient } from '../../../lib/registry/clients.js'
import type { Auth } from '../../../lib/registry/credentials.js'
import { answerWith, makeImage, referenceTo } from '../../support/images.js'
import { serve } from '../../support/servers.js'
import { removeScratch, scratch } from '../../support/tree.js'

const image = makeImage()
const before = { ...process.env }
const resolve = (host: string, auth?: Auth) => withClient(auth, (client) => client.resolve(referenceTo(host)))
const basic = (user: string, password: string) => Buffer.from(`${user}:${password}`).toString('base64')

let authFile: string
beforeEach(() => {
  authFile = path.join(scratch(), 'auth.json')
  process.env.REGISTRY_AUTH_FILE = authFile
})
afterEach(() => {
  process.env = { ...before }
  jest.restoreAllMocks()
})
afterAll(removeScratch)

/** As much later as `ms`. */
function later(ms: number): void {
  const now = performance.now.bind(performance)
  jest.spyOn(performance, 'now').mockImplementation(() => now() + ms)
}

function login(host: string, password: string): void {
  writeFileSync(authFile, JSON.stringify({ auths: { [host]: { auth: basic('me', password) } } }))
}

/** A registry that wants a password, which may change. */
const guarded = (right: { password: string }) =>
  serve((request, response) => {
    if (request.headers.authorization === `Basic ${basic('me', right.password)}`)
      return answerWith(image, request, response)
    response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="test"' }).end()
  })

test('connections stay for the next call, and not for that of another user', async () => {
  await using server = await serve((request, response) => answerWith(image, request, response))
  for (let call = 0; call < 3; call++) await resolve(server.host)
  // Whether it speaks TLS is found out by one of its own.
  expect(server.connections()).toBe(1)
  await resolve(server.host, { username: 'me', password: 'secret' })
  expect(server.connections()).toBe(2)
})

test('several calls at once share one, and one that fails begins anew', async () => {
  await using server = await serve((request, response) => answerWith(image, request, response))
  const seen = new Set<unknown>()
  const work = (client: unknown) => Promise.resolve(seen.add(client))
  await Promise.all([1, 2, 3].map(() => withClient(undefined, work)))
  expect(seen.size).toBe(1)
  await expect(withClient(undefined, () => Promise.reject(new Error('lost')))).rejects.toThrow('lost')
  await withClient(undefined, work)
  expect(seen.size).toBe(2)
  await resolve(server.host)
})

test('a token serves until it ends', async () => {
  let given = 0
  await using server = await serve((request, response) => {
    if (request.url?.startsWith('/token')) {
      given++
      return void response.end(JSON.stringify({ token: `token-${given}`, expires_in: 60 }))
    }
    if (request.headers.authorization === `Bearer token-${given}`) return answerWith(image, request, response)
    const realm = `http://${request.headers.host}/token`
    response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${realm}",service="test"` }).end()
  })
  await resolve(server.host)
  const after = given
  await resolve(server.host)
  expect(given).toBe(after)
  later(61_000)
  await resolve(server.host)
  expect(given).toBe(after + 1)
})

test('a login, another password and a logout are seen at once', async () => {
  const right = { password: 'first' }
  await using server = await guarded(right)
  const code = () =>
    resolve(server.host).then(
      () => 'in',
      ({ code }) => code,
    )
  expect(await code()).toBe('ERR_CAISSON_REGISTRY_AUTH')
  login(server.host, 'first')
  expect(await code()).toBe('in')
  right.password = 'second'
  login(server.host, 'second')
  expect(await code()).toBe('in')
  writeFileSync(authFile, '{}')
  expect(await code()).toBe('ERR_CAISSON_REGISTRY_AUTH')
})

test('a function is asked again when what it gave is refused later, and not at once', async () => {
  const right = { password: 'first' }
  await using server = await guarded(right)
  let asked = 0
  const auth = () => {
    asked++
    return { username: 'me', password: right.password }
  }
  await resolve(server.host, auth)
  await resolve(server.host, auth)
  expect(asked).toBe(1)
  right.password = 'second'
  later(5000)
  await resolve(server.host, auth)
  expect(asked).toBe(2)
  const wrong = jest.fn(() => ({ username: 'me', password: 'wrong' }))
  await expect(resolve(server.host, wrong)).rejects.toMatchObject({ code: 'ERR_CAISSON_REGISTRY_AUTH' })
  expect(wrong).toHaveBeenCalledTimes(1)
})

test('another configuration, by file or environment, is another client', async () => {
  const seen = new Set<unknown>()
  const look = () => withClient(undefined, async (client) => seen.add(client).size)
  const file = path.join(scratch(), 'config.json')
  process.env.CAISSON_CONFIG = file
  expect([await look(), await look()]).toEqual([1, 1])
  writeFileSync(file, '{}')
  expect([await look(), await look()]).toEqual([2, 2])
  process.env.HTTPS_PROXY = 'http://127.0.0.1:1'
  expect([await look(), await look()]).toEqual([3, 3])
})

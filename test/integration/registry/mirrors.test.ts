/** Mirrors of a registry: what they lack, refuse or spoil. Debian's docker-registry is the peer. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { RegistryClient } from '../../../lib/registry/client.js'
import type { RegistryClientOptions } from '../../../lib/registry/options.js'
import { pullInto } from '../../../lib/registry/pull.js'
import { pushFrom } from '../../../lib/registry/push.js'
import { Store } from '../../../lib/store/store.js'
import { freePort, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { answerWith, makeImage } from '../../support/images.js'
import { testIf } from '../../support/needs.js'
import { serve } from '../../support/servers.js'
import { storedImage } from '../../support/stored-images.js'
import { removeScratch, scratch } from '../../support/tree.js'
import { unpackerTo } from '../../support/unpacker.js'

const testRegistry = testIf(noRegistry)

afterAll(removeScratch)

const newClient = ({ env, ...options }: RegistryClientOptions = {}) =>
  new RegistryClient({
    env: { HOME: '/nonexistent', REGISTRY_AUTH_FILE: '/nonexistent/auth.json', ...env },
    certificateDirectories: [],
    retry: { attempts: 2, delay: 5, longest: 20 },
    ...options,
  })

const app = (host: string, repository = 'team/app') => ({ registry: host, repository, tag: 'latest' })

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error) => error.code ?? String(error),
  )

testRegistry('mirrors are asked in order; what they lack or spoil comes from the registry', async () => {
  await using origin = await startRegistry()
  await using mirror = await startRegistry()
  const { store, root, layers } = await storedImage()
  using plain = newClient()
  await pushFrom(store, plain, app(origin.host), root)

  const nowhere = `127.0.0.1:${await freePort()}`
  const file = path.join(scratch(), 'config.json')
  writeFileSync(file, JSON.stringify({ 'registry-mirrors': { [origin.host]: [nowhere, `http://${mirror.host}`] } }))
  using client = newClient({ env: { CAISSON_CONFIG: file } })
  // Not there yet: from the registry. Pushes go there too.
  await pullInto(await Store.open(scratch()), client, app(origin.host))
  await pushFrom(store, client, app(origin.host, 'second'), root)
  using direct = newClient()
  expect(await codeOf(direct.resolve(app(mirror.host, 'second')))).toBe('ERR_CAISSON_IMAGE_NOT_FOUND')

  await pushFrom(store, direct, app(mirror.host, 'only/there'), root)
  expect((await client.resolve(app(origin.host, 'only/there'))).root.digest).toBe(root.digest)

  const [first] = layers
  await using spoiling = await serve(async (request, response) => {
    if (!request.url?.includes(first?.digest as string)) return void response.writeHead(404).end()
    response.end(Buffer.alloc(first?.size as number))
  })
  using careful = newClient({ mirrors: { [origin.host]: [`http://${spoiling.host}`] } })
  const pulled = await Store.open(scratch())
  await pullInto(pulled, careful, app(origin.host))
  expect((await pulled.verify()).ok).toBe(true)
  expect(spoiling.requests.some(({ url }) => url.includes(first?.digest as string))).toBe(true)
})

testRegistry('damaged layers of a mirror, which cannot be unpacked, come from the next server', async () => {
  await using origin = await startRegistry()
  const { store, root, layers } = await storedImage({ size: 2_000_000 })
  using plain = newClient()
  await pushFrom(store, plain, app(origin.host), root)
  const blob = (url = '') => layers.find(({ digest }) => url.endsWith(digest))
  // One is damaged where it begins, the other in the middle; what stands alone in both is right.
  const spoiling = (at: (size: number) => number) =>
    serve((request, response) => {
      const layer = blob(request.url)
      if (!layer) return void response.writeHead(404).end()
      const bytes = readFileSync(store.path(layer.digest))
      bytes.fill(0xff, at(bytes.length), at(bytes.length) + 1000)
      response.end(bytes)
    })
  await using first = await spoiling(() => 0)
  await using second = await spoiling((size) => size >> 1)
  const mirrors = { [origin.host]: [first, second].map(({ host }) => `http://${host}`) }
  using careful = newClient({ mirrors })
  const pulled = await Store.open(scratch())
  const directories = new Map<string, string>()
  const seen: string[] = []
  await pullInto(pulled, careful, app(origin.host), { unpacker: () => unpackerTo(directories, seen) })
  expect(seen).toEqual(['received', 'received', 'received'])
  for (const [index, { digest }] of layers.entries())
    expect(statSync(path.join(directories.get(digest) as string, `file-${index}`)).size).toBe(2_000_000)
  expect((await pulled.verify()).ok).toBe(true)
  for (const { requests } of [first, second]) expect(requests.filter(({ url }) => blob(url)).length).toBeGreaterThan(0)
})

testRegistry('what cannot be unpacked wherever it comes from is refused for what it is', async () => {
  await using server = await serve((request, response) => answerWith(image, request, response))
  const image = makeImage([Buffer.from('no archive at all'.repeat(1000))])
  using client = newClient({ mirrors: { [server.host]: [`http://${server.host}`] } })
  const store = await Store.open(scratch())
  const work = pullInto(store, client, app(server.host), { unpacker: () => unpackerTo(new Map(), []) })
  expect(await codeOf(work)).toBe('ERR_CAISSON_LAYER')
})

testRegistry('mirrors get none of what is the registry’s to know', async () => {
  await using origin = await startRegistry()
  await using mirror = await serve((_, response) => {
    response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="give"' }).end()
  })
  const { store, root } = await storedImage()
  using client = newClient({
    auth: { username: 'me', password: 's3cret' },
    mirrors: { [origin.host]: [`http://${mirror.host}`] },
  })
  await pushFrom(store, client, app(origin.host), root)
  await pullInto(await Store.open(scratch()), client, app(origin.host))
  expect(mirror.requests.length).toBeGreaterThan(0)
  expect(mirror.requests.filter(({ headers }) => headers.authorization)).toEqual([])
})

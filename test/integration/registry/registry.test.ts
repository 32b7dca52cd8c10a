/** Debian's docker-registry and skopeo as peers: push, pull, resolve, resume, share. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { RegistryClient } from '../../../lib/registry/client.js'
import type { RegistryClientOptions } from '../../../lib/registry/options.js'
import type { TransferEvent } from '../../../lib/registry/progress.js'
import { pullInto } from '../../../lib/registry/pull.js'
import { pushFrom } from '../../../lib/registry/push.js'
import type { Descriptor } from '../../../lib/spec/descriptor.js'
import { Store } from '../../../lib/store/store.js'
import { type DockerRegistry, noRegistry, noSkopeo, startRegistry } from '../../support/docker-registry.js'
import { referenceTo, sha256 } from '../../support/images.js'
import { testIf } from '../../support/needs.js'
import { serve } from '../../support/servers.js'
import { type StoredImage, storedImage, storedIndex } from '../../support/stored-images.js'
import { removeScratch, scratch } from '../../support/tree.js'
import { unpackerTo } from '../../support/unpacker.js'

const run = promisify(execFile)
const testRegistry = testIf(noRegistry)
const ENV = { HOME: '/nonexistent', REGISTRY_AUTH_FILE: '/nonexistent/auth.json' }

let registry: DockerRegistry
let client: RegistryClient

const newClient = (options: RegistryClientOptions = {}) =>
  new RegistryClient({ env: ENV, retry: { delay: 5, longest: 20 }, ...options })

beforeAll(async () => {
  if (noRegistry) return
  registry = await startRegistry()
  client = newClient()
})

afterAll(async () => {
  client?.close()
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

const name = (repository: string, tag = 'latest') => ({ registry: registry.host, repository, tag })

async function pushed(repository: string, options = {}): Promise<StoredImage> {
  const image = await storedImage(options)
  await pushFrom(image.store, client, name(repository), image.root)
  return image
}

/** The events of each part, without repetitions. */
function courses(events: TransferEvent[]): Record<string, string> {
  const result: Record<string, string[]> = {}
  for (const { id, status } of events) {
    result[id] ??= []
    const course = result[id]
    if (course.at(-1) !== status) course.push(status)
  }
  return Object.fromEntries(Object.entries(result).map(([id, course]) => [id, course.join()]))
}

testRegistry('what was pushed is pulled, verified and complete', async () => {
  const events: TransferEvent[] = []
  const image = await storedImage({ layers: 5 })
  await pushFrom(image.store, client, name('team/app'), image.root, { onProgress: (event) => events.push(event) })
  expect(Object.values(courses(events))).toEqual(new Array(6).fill('waiting,uploading,done'))

  const store = await Store.open(scratch())
  const pulls: TransferEvent[] = []
  const pulled = await pullInto(store, client, name('team/app'), { onProgress: (event) => pulls.push(event) })
  expect(pulled.root).toEqual(image.root)
  expect(pulled.document.layers).toEqual(image.layers)
  for (const { digest } of [...image.layers, image.config, image.root]) expect(await store.has(digest)).toBe(true)
  for (const course of Object.values(courses(pulls))) expect(course).toMatch(/^waiting,(downloading,)?verifying,done$/)
  for (const { current, total, status } of pulls)
    expect(status === 'done' ? current === total : current <= total).toBe(true)
  await store.setRef(`${registry.host}/team/app:latest`, pulled.root)
  expect((await store.verify()).ok).toBe(true)

  const again: TransferEvent[] = []
  await pullInto(store, client, name('team/app'), { onProgress: (event) => again.push(event) })
  expect(new Set(Object.values(courses(again)))).toEqual(new Set(['waiting,exists']))
  const twice: TransferEvent[] = []
  await pushFrom(image.store, client, name('team/app', 'other'), image.root, {
    onProgress: (event) => twice.push(event),
  })
  expect(new Set(Object.values(courses(twice)))).toEqual(new Set(['waiting,exists']))
  expect((await client.tags(name('team/app'))).sort()).toEqual(['latest', 'other'])
})

testRegistry('chunks, and a blob of no bytes', async () => {
  const image = await storedImage({ size: 300_000 })
  const empty = { mediaType: 'application/octet-stream', digest: sha256(Buffer.alloc(0)), size: 0 }
  await pushFrom(image.store, client, name('chunks'), image.root, { chunkSize: 65_536 })
  const none = { async *read() {} }
  expect(await client.pushBlob(name('chunks'), empty, none)).toBe('uploaded')
  const store = await Store.open(scratch())
  await pullInto(store, client, name('chunks'))
  const target = await store.ingest(empty)
  await client.fetchBlob(name('chunks'), empty, target)
  expect(await store.has(empty.digest)).toBe(true)
})

testRegistry('layers are mounted from another repository, and not sent', async () => {
  const image = await pushed('mount/from')
  const events: TransferEvent[] = []
  await pushFrom(image.store, client, name('mount/to'), image.root, {
    mountFrom: 'mount/from',
    onProgress: (event) => events.push(event),
  })
  expect(new Set(Object.values(courses(events)))).toEqual(new Set(['waiting,mounted']))
  await pullInto(await Store.open(scratch()), client, name('mount/to'))
})

testRegistry('an index for several platforms, each of which can be had', async () => {
  const store = await Store.open(scratch())
  const images = []
  for (const architecture of ['amd64', 'arm64', 's390x']) {
    const { root, config } = await storedImage({ store, architecture })
    images.push({ root, architecture, config })
  }
  const root = await storedIndex(store, images)
  await pushFrom(store, client, name('multi'), root)
  for (const { architecture, config } of images) {
    const other = await Store.open(scratch())
    const pulled = await pullInto(other, client, name('multi'), { platform: { os: 'linux', architecture } })
    expect(pulled.document.config.digest).toBe(config.digest)
    expect(pulled.root.digest).toBe(root.digest)
    expect(await other.has(root.digest)).toBe(true)
  }
  await expect(
    pullInto(await Store.open(scratch()), client, name('multi'), { platform: { os: 'linux', architecture: 'mips' } }),
  ).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND', hint: expect.stringContaining('linux/s390x') })
})

testRegistry('by digest, and what is not there', async () => {
  const image = await pushed('digests')
  const { root } = await client.resolve({ ...name('digests'), tag: undefined, digest: image.root.digest })
  expect(root).toEqual(image.root)
  expect(await client.head(name('digests'))).toEqual(image.root)
  await expect(client.resolve(name('digests', 'none'))).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND' })
  await expect(client.resolve(name('nothing/here'))).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND' })
})

testRegistry('two pulls at once fetch each blob once, also when one of them gives up', async () => {
  const image = await pushed('shared', { layers: 4, size: 2_000_000 })
  let blobs = 0
  await using counting = await serve(async (request, response) => {
    if (request.url?.includes('/blobs/')) blobs++
    const answer = await fetch(`http://${registry.host}${request.url}`, {
      headers: { Accept: request.headers.accept ?? '' },
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    response.writeHead(answer.status, {
      'Content-Type': answer.headers.get('content-type') ?? '',
      'Content-Length': bytes.length,
    })
    for (let at = 0; at < bytes.length; at += 500_000) {
      response.write(bytes.subarray(at, at + 500_000))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    response.end()
  })
  const reference = referenceTo(counting.host, { repository: 'shared' })
  const store = await Store.open(scratch())
  await Promise.all([1, 2, 3].map(() => pullInto(store, client, reference)))
  expect(blobs).toBe(image.layers.length + 1)

  blobs = 0
  const other = await Store.open(scratch())
  const impatient = pullInto(other, client, reference, { signal: AbortSignal.timeout(60) })
  const patient = pullInto(other, client, reference)
  await expect(impatient).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
  await patient
  expect(blobs).toBeLessThanOrEqual(image.layers.length + 2)
})

testRegistry('what one process left of a download, the next one uses', async () => {
  const image = await pushed('resume', { layers: 1, size: 5_000_000 })
  const [layer] = image.layers as [Descriptor]
  const store = await Store.open(scratch())
  const bytes = readFileSync(image.store.path(layer.digest))
  const ingest = await store.ingest(layer)
  await ingest.write(bytes.subarray(0, 3_000_000))
  await ingest.abort()
  const events: TransferEvent[] = []
  await pullInto(store, client, name('resume'), { onProgress: (event) => events.push(event) })
  const first = events.find(({ id, status }) => id === layer.digest && status === 'downloading')
  expect(first?.current ?? 3_000_001).toBeGreaterThan(3_000_000)
  expect((await store.verify()).ok).toBe(true)

  // What is there may be wrong: then it is fetched anew.
  const spoilt = await Store.open(scratch())
  const broken = await spoilt.ingest(layer)
  await broken.write(Buffer.alloc(3_000_000, 7))
  await broken.abort()
  await pullInto(spoilt, client, name('resume'))
  expect(await spoilt.has(layer.digest)).toBe(true)
})

testRegistry('layers are unpacked while they come', async () => {
  const image = await pushed('unpack', { layers: 3, size: 400_000 })
  const store = await Store.open(scratch())
  const directories = new Map<string, string>()
  const seen: string[] = []
  const events: TransferEvent[] = []
  await pullInto(store, client, name('unpack'), {
    unpacker: () => unpackerTo(directories, seen),
    onProgress: (event) => events.push(event),
  })
  expect(seen).toEqual(['received', 'received', 'received'])
  for (const [index, layer] of image.layers.entries())
    expect(statSync(path.join(directories.get(layer.digest) as string, `file-${index}`)).size).toBe(400_000)
  const course = courses(events)[image.layers[0]?.digest as string]
  expect(course).toMatch(/verifying,extracting,done$/)
  await pullInto(store, client, name('unpack'), { unpacker: () => unpackerTo(directories, seen) })
  expect(seen.slice(3)).toEqual(['stored', 'stored', 'stored'])
})

testRegistry('a layer that cannot be unpacked ends the pull with that, and leaves no download', async () => {
  await pushed('notar', { layers: 1 })
  const store = await Store.open(scratch())
  let aborted = 0
  const failure = new Error('no room')
  const work = pullInto(store, client, name('notar'), {
    unpacker: () => ({
      receive: async () => ({
        write: () => Promise.reject(failure),
        end: async () => undefined,
        abort: async () => {
          aborted++
        },
      }),
      stored: async () => undefined,
    }),
  })
  await expect(work).rejects.toBe(failure)
  expect(aborted).toBe(1)
})

testRegistry('aborted at any instant, nothing half is visible and nothing is open', async () => {
  const image = await pushed('abort', { layers: 4, size: 3_000_000 })
  const openFiles = () => readdirSync('/proc/self/fd').length
  const store = await Store.open(scratch())
  const before = openFiles()
  for (const delay of [0, 1, 2, 4, 8, 12, 16, 24, 32]) {
    const own = newClient()
    const work = pullInto(store, own, name('abort'), { signal: AbortSignal.timeout(delay) })
    await work.catch((error) => expect(error.code).toBe('ERR_CAISSON_ABORTED'))
    own.close()
  }
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(openFiles()).toBeLessThanOrEqual(before + 1)
  await pullInto(store, client, name('abort'))
  for (const { digest } of image.layers) expect(await store.has(digest)).toBe(true)
})

const testPeer = testIf(noRegistry || noSkopeo)
const skopeo = (...args: string[]) => run('skopeo', ['--insecure-policy', ...args])

testPeer('skopeo reads what we pushed, and we what it pushed', async () => {
  const image = await pushed('peers/ours')
  const directory = path.join(scratch(), 'copy')
  await skopeo(
    'copy',
    '--src-tls-verify=false',
    `docker://${registry.host}/peers/ours:latest`,
    `oci:${directory}:latest`,
  )
  const blobs = readdirSync(path.join(directory, 'blobs/sha256'))
  for (const { digest } of image.layers) expect(blobs).toContain(digest.slice(7))

  // Docker's types, as skopeo makes them.
  await skopeo(
    ...['copy', '--format', 'v2s2', '--dest-tls-verify=false'],
    ...[`oci:${directory}:latest`, `docker://${registry.host}/peers/theirs:latest`],
  )
  const store = await Store.open(scratch())
  const pulled = await pullInto(store, client, name('peers/theirs'))
  expect(pulled.manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
  expect(pulled.document.layers.map(({ digest }) => digest)).toEqual(image.layers.map(({ digest }) => digest))

  // And pushed on, the same digest is there.
  await pushFrom(store, client, name('peers/again'), pulled.root)
  const { stdout } = await skopeo('inspect', '--tls-verify=false', `docker://${registry.host}/peers/again:latest`)
  expect(JSON.parse(stdout).Digest).toBe(pulled.root.digest)
})

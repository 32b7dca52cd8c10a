import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { CaissonError } from '../../../lib/errors.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { Store } from '../../../lib/store/store.js'
import { describe as descriptorOf, digestOf, makeImage, storeImage } from '../../support/store-images.js'
import { table } from '../../support/table.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterEach(removeScratch)

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: CaissonError) => error.code,
  )
const random = (size: number) => Buffer.from(Array.from({ length: size }, (_, at) => (at * 7919) % 251))
const NAME = 'docker.io/library/a:latest'

async function put(store: Store, bytes: Buffer): Promise<string> {
  const digest = digestOf(bytes)
  await store.write({ digest }, bytes)
  return digest
}

test('what is written is there, verified, and nothing else is', async () => {
  const store = await Store.open(scratch())
  const digest = await put(store, Buffer.from('hello'))
  expect(await store.has(digest)).toBe(true)
  expect((await store.stat(digest))?.size).toBe(5)
  expect((await store.read(digest, 100)).toString()).toBe('hello')
  expect(await store.stat(digestOf(Buffer.from('other')))).toBeUndefined()
  expect(await codeOf(store.read(digestOf(Buffer.from('other')), 100))).toBe('ERR_CAISSON_STORE')
  expect(await codeOf(store.read(digest, 4))).toBe('ERR_CAISSON_MANIFEST')
})

test.each(['sha384', 'sha512'])('%s', async (algorithm) => {
  const store = await Store.open(scratch())
  const bytes = Buffer.from('hello')
  const digest = digestOf(bytes, algorithm)
  await store.write({ digest }, bytes)
  expect((await store.read(digest, 5)).equals(bytes)).toBe(true)
  expect((await store.verify()).ok).toBe(true)
})

test('a digest never leads out of the store', async () => {
  const directory = scratch()
  const store = await Store.open(path.join(directory, 'store'))
  for (const digest of ['sha256:../../../x', '../x', 'sha256:', `sha256:${'A'.repeat(64)}`, '..:x'])
    for (const use of [
      () => store.has(digest),
      () => store.read(digest, 1),
      () => store.open(digest),
      () => store.ingest({ digest }),
      async () => (await store.lease()).add({ digest }),
      () => store.setRef(NAME, { mediaType: MEDIA_TYPES.ociManifest, digest, size: 1 }),
    ])
      expect(await codeOf((async () => await use())())).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  expect(readdirSync(directory)).toEqual(['store'])
})

test('every byte that is flipped is refused before anything is visible', async () => {
  const store = await Store.open(scratch())
  const { blobs } = makeImage([random(300)])
  for (const [digest, bytes] of blobs)
    for (let at = 0; at < bytes.length; at += 3) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] as number) ^ 1
      const ingest = await store.ingest({ digest, size: bytes.length })
      await ingest.write(changed)
      expect(await codeOf(ingest.commit())).toBe('ERR_CAISSON_DIGEST')
      expect(await store.has(digest)).toBe(false)
    }
  expect(readdirSync(path.join(store.directory, 'store/ingest'))).toEqual([])
}, 60_000)

test('more than was promised is refused as it comes, and less at the end', async () => {
  const store = await Store.open(scratch())
  const digest = digestOf(Buffer.from('hello'))
  const endless = await store.ingest({ digest, size: 5 })
  await endless.write(Buffer.from('hel'))
  expect(await codeOf(endless.write(Buffer.from('lo!')))).toBe('ERR_CAISSON_DIGEST')
  expect(await codeOf(endless.write(Buffer.from('more')))).toBe('ERR_CAISSON_DIGEST')
  expect(await codeOf(endless.commit())).toBe('ERR_CAISSON_DIGEST')
  const short = await store.ingest({ digest, size: 5 })
  await short.write(Buffer.from('hell'))
  expect(await codeOf(short.commit())).toBe('ERR_CAISSON_DIGEST')
  expect(readdirSync(path.join(store.directory, 'store/ingest'))).toEqual([])
})

test('an interrupted download goes on where it stopped', async () => {
  const store = await Store.open(scratch())
  const bytes = random(3_000_000)
  const expected = { digest: digestOf(bytes), size: bytes.length }
  const first = await store.ingest(expected)
  expect(first.offset).toBe(0)
  await first.write(bytes.subarray(0, 2_000_001))
  await first.abort()
  expect(await store.has(expected.digest)).toBe(false)
  const second = await store.ingest(expected)
  expect(second.offset).toBe(2_000_001)
  await second.write(bytes.subarray(second.offset))
  await second.commit()
  expect((await store.read(expected.digest, bytes.length)).equals(bytes)).toBe(true)
  expect((await store.ingest(expected)).present).toBe(true)
})

test('what an interrupted download left is not trusted, and gone when it was wrong', async () => {
  const store = await Store.open(scratch())
  const bytes = random(1000)
  const expected = { digest: digestOf(bytes), size: bytes.length }
  const first = await store.ingest(expected)
  await first.write(Buffer.alloc(500))
  await first.abort()
  const second = await store.ingest(expected)
  await second.write(bytes.subarray(second.offset))
  expect(await codeOf(second.commit())).toBe('ERR_CAISSON_DIGEST')
  const third = await store.ingest(expected)
  expect(third.offset).toBe(0)
  await third.abort()
  // One that is longer than it should be is begun anew.
  writeFileSync(path.join(store.directory, 'store/ingest', expected.digest.replace(':', '-')), Buffer.alloc(2000))
  expect((await store.ingest(expected)).offset).toBe(0)
})

test('one digest is fetched once: the second waits, and finds it', async () => {
  const directory = scratch()
  const [one, two] = [await Store.open(directory), await Store.open(directory)]
  const bytes = random(100)
  const expected = { digest: digestOf(bytes), size: bytes.length }
  const ingest = await one.ingest(expected)
  let waited = true
  const second = two.ingest(expected).then((found) => {
    waited = false
    return found
  })
  await ingest.write(bytes)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(waited).toBe(true)
  await ingest.commit()
  expect((await second).present).toBe(true)
  // When the first gives up, the second goes on.
  const other = random(101)
  const third = await one.ingest({ digest: digestOf(other) })
  await third.write(other.subarray(0, 50))
  const fourth = two.ingest({ digest: digestOf(other) })
  await third.abort()
  expect((await fourth).offset).toBe(50)
  // Waiting ends with an abort.
  const abort = AbortSignal.timeout(50)
  expect(await codeOf(one.ingest({ digest: digestOf(other) }, { signal: abort }))).toBe('ERR_CAISSON_ABORTED')
})

test('names: one image each, and never one that is not there', async () => {
  const store = await Store.open(scratch())
  const [a, b] = [makeImage([random(10)]), makeImage([random(20)])]
  expect(await codeOf(store.setRef(NAME, a.manifest))).toBe('ERR_CAISSON_STORE')
  expect(await codeOf(store.setRef('../x', a.manifest))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  await storeImage(store, a, NAME)
  await storeImage(store, b)
  await store.setRef('localhost:5000/b:1', a.manifest)
  expect(await store.refs.get(NAME)).toEqual(a.manifest)
  await store.setRef(NAME, b.manifest)
  expect(await store.refs.list()).toEqual([
    { name: 'localhost:5000/b:1', descriptor: a.manifest },
    { name: NAME, descriptor: b.manifest },
  ])
  // With its last name given to another one, an image stays without.
  await store.setRef('localhost:5000/b:1', b.manifest)
  expect(await store.refs.list()).toContainEqual({ descriptor: a.manifest })
  expect(await store.refs.delete('localhost:5000/b:1')).toBe(true)
  expect(await store.refs.delete('localhost:5000/b:1')).toBe(false)
  expect(await store.refs.deleteImage(a.manifest.digest)).toBe(true)
  expect(await store.refs.list()).toEqual([{ name: NAME, descriptor: b.manifest }])
})

test('fifty names at once, by two', async () => {
  const directory = scratch()
  const stores = [await Store.open(directory), await Store.open(directory)] as const
  const image = makeImage([random(10)])
  await storeImage(stores[0], image)
  const names = Array.from({ length: 50 }, (_, at) => `docker.io/library/a:${at}`)
  await Promise.all(names.map((name, at) => (stores[at % 2] as Store).setRef(name, image.manifest)))
  expect((await stores[0].refs.list()).map(({ name }) => name).sort()).toEqual([...names].sort())
})

test('collection removes what nothing needs, and no more', async () => {
  const store = await Store.open(scratch())
  const shared = random(5000)
  const [a, b] = [makeImage([shared, random(10)]), makeImage([shared, random(20)])]
  await storeImage(store, a, NAME)
  await storeImage(store, b, 'docker.io/library/b:latest')
  const loose = await put(store, Buffer.from('loose'))
  expect((await store.collect()).blobs).toEqual([loose])
  await store.refs.delete('docker.io/library/b:latest')
  const { blobs } = await store.collect()
  expect(blobs.sort()).toEqual([...b.blobs.keys()].filter((digest) => !a.blobs.has(digest)).sort())
  expect(await store.verify()).toMatchObject({ ok: true, images: 1, blobs: a.blobs.size })
  await store.refs.delete(NAME)
  await store.collect()
  expect((await store.usage()).blobs).toEqual({ count: 0, bytes: 0 })
  expect(readdirSync(path.join(store.directory, 'store/trash'))).toEqual([])
})

test('of an index, what is there stays, and what is not is not missed', async () => {
  const store = await Store.open(scratch())
  const image = makeImage([random(10)])
  await storeImage(store, image)
  const other = { ...image.manifest, digest: digestOf(Buffer.from('arm64')) }
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [other, image.manifest] }
  const bytes = Buffer.from(JSON.stringify(index))
  const descriptor = descriptorOf(MEDIA_TYPES.ociIndex, bytes)
  await store.write(descriptor, bytes)
  await store.setRef(NAME, descriptor)
  await store.collect()
  expect(await store.verify()).toMatchObject({ ok: true, blobs: image.blobs.size + 1 })
  const none = Buffer.from(JSON.stringify({ ...index, manifests: [other] }))
  await store.write({ digest: digestOf(none) }, none)
  await store.setRef(NAME, descriptorOf(MEDIA_TYPES.ociIndex, none))
  expect((await store.verify()).problems).toMatchObject([{ kind: 'missing', digest: other.digest, images: [NAME] }])
})

test('a lease keeps content, and what it leads to, until it is released', async () => {
  const directory = scratch()
  const [ours, others] = [await Store.open(directory), await Store.open(directory)]
  const image = makeImage([random(10)])
  const lease = await ours.lease()
  await storeImage(ours, image, undefined, lease)
  const lone = digestOf(Buffer.from('lone'))
  await lease.add({ digest: lone })
  await put(ours, Buffer.from('lone'))
  expect((await others.collect()).blobs).toEqual([])
  await lease.drop({ digest: lone })
  expect((await others.collect()).blobs).toEqual([lone])
  await lease.release()
  expect((await others.collect()).blobs).toHaveLength(image.blobs.size)
  expect(await codeOf(lease.add({ digest: lone }))).toBe('ERR_CAISSON_INVALID_STATE')
  expect(readdirSync(path.join(directory, 'store/leases'))).toEqual([])
})

test('a line of a lease that was cut off spoils no other', async () => {
  const store = await Store.open(scratch())
  const lease = await store.lease()
  writeFileSync(path.join(store.directory, 'store/leases', lease.id), '\n+{"dig', { flag: 'a' })
  const digest = await put(store, Buffer.from('x'))
  await lease.add({ digest })
  expect((await store.collect()).blobs).toEqual([])
  await lease.release()
})

test('while a document that leads on cannot be read, nothing is collected', async () => {
  const store = await Store.open(scratch())
  const image = makeImage([random(10)])
  await storeImage(store, image, NAME)
  writeFileSync(store.path(image.manifest.digest), 'damaged')
  expect(await codeOf(store.collect())).toBe('ERR_CAISSON_STORE')
  expect(await store.has(image.config.digest)).toBe(true)
  await store.refs.deleteImage(image.manifest.digest)
  expect((await store.collect()).blobs).toHaveLength(image.blobs.size)
})

test('verify tells each kind of damage, and whom it concerns', async () => {
  const store = await Store.open(scratch())
  const image = makeImage([random(1000), random(2000)])
  await storeImage(store, image, NAME)
  expect(await store.verify()).toMatchObject({ ok: true, images: 1, problems: [] })
  const [first, second] = image.layers.map(({ digest }) => digest) as [string, string]
  const bytes = readFileSync(store.path(first))
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
  writeFileSync(store.path(first), bytes)
  truncateSync(store.path(second), 3)
  writeFileSync(store.path(image.config.digest), 'other')
  const report = await store.verify()
  expect(report.ok).toBe(false)
  expect(report.problems.map(({ kind, digest }) => [kind, digest]).sort()).toEqual(
    [first, second, image.config.digest].map((digest) => ['corrupt', digest]).sort(),
  )
  for (const { images } of report.problems) expect(images).toEqual([NAME])
  expect(await codeOf(store.read(image.config.digest, 1000))).toBe('ERR_CAISSON_DIGEST')
})

test('what images hold is for nobody else to read', async () => {
  const directory = scratch()
  const store = await Store.open(path.join(directory, 'data'))
  const digest = await put(store, Buffer.from('secret'))
  expect(lstatSync(path.join(store.directory, 'blobs')).mode & 0o077).toBe(0)
  expect(lstatSync(path.join(store.directory, 'store')).mode & 0o077).toBe(0)
  expect(lstatSync(store.path(digest)).mode & 0o077).toBe(0)
})

table<{ imageLayout: string; fail: boolean }>('image-spec-schema', 'imagelayout', async ({ imageLayout, fail }) => {
  const directory = scratch()
  writeFileSync(path.join(directory, 'oci-layout'), imageLayout)
  expect(await codeOf(Store.open(directory))).toBe(fail ? 'ERR_CAISSON_MANIFEST' : 'none')
  expect(readFileSync(path.join(directory, 'oci-layout'), 'utf8')).toBe(imageLayout)
})

test('a store of another version is not touched', async () => {
  const directory = scratch()
  writeFileSync(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}')
  expect(await codeOf(Store.open(directory))).toBe('ERR_CAISSON_STORE')
})

test('what was interrupted long ago is swept; what is under way is not', async () => {
  const store = await Store.open(scratch())
  const left = await store.ingest({ digest: digestOf(Buffer.from('left')) })
  await left.write(Buffer.from('le'))
  await left.abort()
  const running = await store.ingest({ digest: digestOf(Buffer.from('running')) })
  await running.write(Buffer.from('run'))
  expect((await store.collect()).bytes).toBe(0)
  expect((await store.collect({ partialAge: 0 })).bytes).toBe(2)
  await running.write(Buffer.from('ning'))
  await running.commit()
  expect(await store.has(digestOf(Buffer.from('running')))).toBe(true)
})

test('hashing a large blob does not hold up the event loop', async () => {
  const store = await Store.open(scratch())
  const bytes = Buffer.alloc(64 * 1024 * 1024, 'large')
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 1)
  const ingest = await store.ingest({ digest, size: bytes.length })
  for (let at = 0; at < bytes.length; at += 65_536) await ingest.write(bytes.subarray(at, at + 65_536))
  await ingest.commit()
  clearInterval(timer)
  expect(longest).toBeLessThan(100)
})

test('an error names the system call and the file, also where the addon made it', async () => {
  const store = await Store.open(scratch())
  rmSync(path.join(store.directory, 'store/ingest'), { recursive: true })
  const error = await store.ingest({ digest: digestOf(Buffer.from('x')) }).catch((failed: CaissonError) => failed)
  expect(error).toMatchObject({
    code: 'ERR_CAISSON_STORE',
    cause: { code: 'ENOENT', errno: -2, syscall: 'open', path: expect.stringContaining('store/ingest') },
  })
})

/** Images that are unusual, and right: indexes in indexes, no layers, empty ones, what is no image beside what is one. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { Container, Image, run, verifyStore } from '../../../lib/index.js'
import { RegistryClient } from '../../../lib/registry/client.js'
import { pushFrom } from '../../../lib/registry/push.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import type { Descriptor } from '../../../lib/spec/descriptor.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { busyboxImage, busyboxLayer, noBusybox, tar } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { describe as described, digestOf, type MadeImage, makeImage, storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const missing = noBusybox || noRegistry
const withRegistry = testIf(missing)
const withBusybox = testIf(noBusybox)
const withBuildah = testIf(missing || (!findProgram('buildah') && 'no buildah') || (!isRoot && 'buildah wants root'))
let registry: DockerRegistry | undefined
const name = (repository: string) => `${registry?.host}/odd/${repository}:1`

beforeAll(async () => {
  if (!missing) registry = await startRegistry()
})
const forget = async () => {
  for (const image of await Image.list()) await image.remove({ force: true })
}
afterEach(forget)
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

async function put(mediaType: string, document: object): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(document))
  const descriptor = described(mediaType, bytes)
  await (await imageRoots()).store.write(descriptor, bytes)
  return descriptor
}
const putIndex = (manifests: object[]) =>
  put(MEDIA_TYPES.ociIndex, { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests })
/** What build tools put beside an image: a manifest of what is no layer. */
async function putAttestation(of: Descriptor): Promise<object> {
  const { store } = await imageRoots()
  const statement = Buffer.from('{"_type":"https://in-toto.io/Statement/v0.1"}')
  const layer = described('application/vnd.in-toto+json', statement)
  await store.write(layer, statement)
  const config = await put(MEDIA_TYPES.ociConfig, {
    architecture: 'unknown',
    os: 'unknown',
    config: {},
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  })
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [layer] }
  const annotations = { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': of.digest }
  return {
    ...(await put(MEDIA_TYPES.ociManifest, document)),
    platform: { architecture: 'unknown', os: 'unknown' },
    annotations,
  }
}
const own = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch }

async function pushed(repository: string, descriptor: Descriptor): Promise<void> {
  using client = new RegistryClient()
  const reference = { registry: registry?.host as string, repository: `odd/${repository}`, tag: '1' }
  await pushFrom((await imageRoots()).store, client, reference, descriptor)
  await Image.prune({ all: true })
  expect((await verifyStore()).blobs).toBe(0)
}

withRegistry('an index in an index, beside one for other platforms', async () => {
  const { store } = await imageRoots()
  const [image, other] = [busyboxImage({}, tar({ name: 'greeting', data: 'nested' })), makeImage([tar()])]
  for (const one of [image, other]) await storeImage(store, one)
  const far = await putIndex([{ ...other.manifest, platform: { os: 'linux', architecture: 's390x' } }])
  const inner = await putIndex([{ ...image.manifest, platform: own }])
  const outer = await putIndex([far, inner])
  await pushed('nested', outer)
  const pulled = await Image.pull(name('nested'))
  expect([pulled.digest, pulled.id]).toEqual([outer.digest, image.config.digest])
  expect((await run(name('nested'), ['cat', '/greeting'])).stdout).toBe('nested')
  await Image.prune()
  expect(await verifyStore()).toMatchObject({ ok: true })
  expect((await Image.get(name('nested'))).id).toBe(image.config.digest)
  const file = path.join(root, 'nested.tar')
  await pulled.save(file)
  await forget()
  expect((await Image.load(file)).id).toBe(image.config.digest)
})

withRegistry('an image with attestations is pulled, pushed, and loaded from a layout with all of it', async () => {
  const { store } = await imageRoots()
  const image = busyboxImage({}, tar({ name: 'greeting', data: 'attested' }))
  await storeImage(store, image)
  const index = await putIndex([{ ...image.manifest, platform: own }, await putAttestation(image.manifest)])
  await store.setRef('docker.io/odd/attested:1', index)
  const layout = path.join(root, 'attested')
  execFileSync('cp', ['-a', process.env.CAISSON_ROOT as string, layout])
  await (await Image.get('odd/attested:1')).push(name('attested'))
  await forget()
  expect((await run(name('attested'), ['cat', '/greeting'])).stdout).toBe('attested')
  await forget()
  const loaded = await Image.load(layout)
  expect([loaded.id, loaded.digest, loaded.tags]).toEqual([image.config.digest, index.digest, ['odd/attested:1']])
  expect((await run(loaded, ['cat', '/greeting'])).stdout).toBe('attested')
})

withRegistry('no layers at all: such an image is kept, moved and started, and has no program to run', async () => {
  const image = makeImage([], { Labels: { kind: 'none' } })
  await storeImage((await imageRoots()).store, image, name('none'))
  const stored = await Image.get(name('none'))
  await stored.push()
  await stored.remove()
  const pulled = await Image.pull(name('none'))
  expect([pulled.layers, pulled.config.Labels]).toEqual([[], { kind: 'none' }])
  const file = path.join(root, 'none.tar')
  await pulled.save(file, { format: 'docker' })
  expect((await Image.load(file)).id).toBe(image.config.digest)
  expect(await run(pulled, ['/bin/true'])).toMatchObject({ exitCode: 127 })
  await using container = await Container.create(pulled, { command: ['/nothing'] })
  await container.fs.writeFile('/file', 'content')
  expect((await container.commit({ tag: 'odd/made:1' })).layers).toHaveLength(1)
})

withBusybox('empty layers, the same layer twice, and archives without an end', async () => {
  const empty = tar()
  const image = busyboxImage({}, empty, tar({ name: 'greeting', data: 'first' }), empty, busyboxLayer(), empty)
  await storeImage((await imageRoots()).store, image, 'docker.io/odd/empty:1')
  expect((await Image.get('odd/empty:1')).layers).toHaveLength(6)
  expect((await run('odd/empty:1', ['cat', '/greeting'])).stdout).toBe('first')
})

withBusybox('a layer of several gzip streams', async () => {
  const plain = tar({ name: 'greeting', data: 'x'.repeat(100_000) })
  const image = busyboxImage({}, plain)
  const [upper] = image.layers.slice(-1) as [Descriptor]
  const parts = [plain.subarray(0, 700), plain.subarray(700, 50_000), Buffer.alloc(0), plain.subarray(50_000)]
  const packed = Buffer.concat(parts.map((part) => gzipSync(part)))
  image.blobs.delete(upper.digest)
  image.blobs.set(digestOf(packed), packed)
  const layers = [image.layers[0], { ...upper, digest: digestOf(packed), size: packed.length }]
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: image.config, layers }
  const bytes = Buffer.from(JSON.stringify(document))
  image.blobs.delete(image.manifest.digest)
  image.manifest = described(MEDIA_TYPES.ociManifest, bytes)
  image.blobs.set(image.manifest.digest, bytes)
  await storeImage((await imageRoots()).store, image, 'docker.io/odd/streams:1')
  expect((await run('odd/streams:1', ['stat', '-c', '%s', '/greeting'])).stdout).toBe('100000\n')
})

/** The same image, with digests of another algorithm for what its manifest names. */
function digestedBy(algorithm: string, image: MadeImage): MadeImage {
  const blobs = new Map<string, Buffer>()
  const other = (descriptor: Descriptor): Descriptor => {
    const bytes = image.blobs.get(descriptor.digest) as Buffer
    const digest = digestOf(bytes, algorithm)
    blobs.set(digest, bytes)
    return { ...descriptor, digest }
  }
  const [config, layers] = [other(image.config), image.layers.map(other)]
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers }
  const bytes = Buffer.from(JSON.stringify(document))
  const manifest = described(MEDIA_TYPES.ociManifest, bytes)
  blobs.set(manifest.digest, bytes)
  return { ...image, manifest, config, layers, blobs }
}

withBusybox('digests by sha512 and sha384: such an image is verified, run, saved and loaded', async () => {
  for (const algorithm of ['sha512', 'sha384']) {
    const upper = tar({ name: 'greeting', data: algorithm })
    const tag = `odd/${algorithm}:1`
    await storeImage((await imageRoots()).store, digestedBy(algorithm, busyboxImage({}, upper)), `docker.io/${tag}`)
    expect(await verifyStore()).toMatchObject({ ok: true, images: 1 })
    expect((await run(tag, ['cat', '/greeting'])).stdout).toBe(algorithm)
    const { id } = await Image.get(tag)
    for (const format of ['oci', 'docker'] as const) {
      const file = path.join(root, `${algorithm}-${format}.tar`)
      await (await Image.get(tag)).save(file, { format })
      await forget()
      await Image.prune({ all: true })
      expect([format, (await Image.load(file)).id]).toEqual([format, id])
      expect((await run(tag, ['cat', '/greeting'])).stdout).toBe(algorithm)
    }
    await forget()
  }
})

withRegistry('digests by sha512 are those of a registry too, and what is spoilt there is refused', async () => {
  const image = digestedBy('sha512', busyboxImage({}, tar({ name: 'greeting', data: 'from a registry' })))
  await storeImage((await imageRoots()).store, image, name('sha512'))
  const blobs = new Map(image.blobs)
  // Debian's registry knows digests by sha256 alone.
  const server = createServer((request, response) => {
    const [, kind, wanted = ''] = /^\/v2\/odd\/box\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? []
    const digest = kind === 'manifests' ? image.manifest.digest : wanted
    const bytes = blobs.get(digest)
    if (!bytes) return void response.writeHead(request.url === '/v2/' ? 200 : 404).end()
    const type = kind === 'manifests' ? MEDIA_TYPES.ociManifest : 'application/octet-stream'
    response.writeHead(200, { 'content-type': type, 'content-length': bytes.length })
    response.end(request.method === 'HEAD' ? '' : bytes)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = server.address() as AddressInfo
    const ref = `127.0.0.1:${port}/odd/box:1`
    await forget()
    await Image.prune({ all: true })
    const [layer] = image.layers.slice(-1) as [Descriptor]
    const good = blobs.get(layer.digest) as Buffer
    const bad = Buffer.from(good)
    bad.writeUInt8(bad.readUInt8(good.length - 1) ^ 1, good.length - 1)
    blobs.set(layer.digest, bad)
    await expect(Image.pull(ref)).rejects.toMatchObject({ code: 'ERR_CAISSON_DIGEST' })
    blobs.set(layer.digest, good)
    await Image.pull(ref)
    expect((await run(ref, ['cat', '/greeting'])).stdout).toBe('from a registry')
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('diff ids by another algorithm are an error that says so', async () => {
  const image = makeImage([tar({ name: 'file', data: 'content' })])
  const document = JSON.parse((image.blobs.get(image.config.digest) as Buffer).toString())
  document.rootfs.diff_ids = [digestOf(tar({ name: 'file', data: 'content' }), 'sha512')]
  const config = await put(MEDIA_TYPES.ociConfig, document)
  const { store } = await imageRoots()
  const [layer] = image.layers as [Descriptor]
  await store.write(layer, image.blobs.get(layer.digest) as Buffer)
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: image.layers }
  await store.setRef('docker.io/odd/diff:1', await put(MEDIA_TYPES.ociManifest, manifest))
  await expect(run('odd/diff:1', ['/bin/true'])).rejects.toMatchObject({
    code: 'ERR_CAISSON_UNSUPPORTED',
    message: expect.stringContaining('sha512'),
  })
})

withBuildah('layers that can be fetched in part (zstd:chunked) are those of zstd', async () => {
  const image = busyboxImage({}, tar({ name: 'greeting', data: 'chunked' }))
  await storeImage((await imageRoots()).store, image, name('chunked'))
  await (await Image.get(name('chunked'))).push()
  const buildah = (...args: string[]) =>
    execFileSync('buildah', ['--root', path.join(root, 'b'), '--runroot', path.join(root, 'br'), ...args], {
      stdio: 'pipe',
    })
  const vfs = ['--storage-driver', 'vfs']
  buildah(...vfs, 'pull', '-q', '--tls-verify=false', name('chunked'))
  for (const compression of ['zstd', 'zstd:chunked']) {
    const to = name(compression.replace(':', '-'))
    const how = ['--tls-verify=false', '-q', '-f', 'oci', '--compression-format', compression]
    buildah(...vfs, 'push', ...how, name('chunked'), `docker://${to}`)
    await forget()
    expect([compression, (await run(to, ['cat', '/greeting'])).stdout]).toEqual([compression, 'chunked'])
  }
  buildah(...vfs, 'rmi', '-a', '-f')
})

withRegistry('by tag and digest: the digest decides, and the name is the tag', async () => {
  const image = busyboxImage({}, tar({ name: 'greeting', data: 'by digest' }))
  await storeImage((await imageRoots()).store, image, name('both'))
  await (await Image.get(name('both'))).push()
  await forget()
  const { digest } = image.manifest
  const both = await Image.pull(`${name('both')}@${digest}`)
  expect([both.digest, both.tags]).toEqual([digest, [name('both')]])
  await both.remove()
  const alone = `${registry?.host}/odd/both@${digest}`
  expect((await run(alone, ['cat', '/greeting'])).stdout).toBe('by digest')
  // What was pulled by its digest is there under it, and asks nobody.
  expect((await run(alone, ['cat', '/greeting'], { pull: 'never' })).stdout).toBe('by digest')
  await expect(Image.pull(`${name('both')}@sha256:${'0'.repeat(64)}`)).rejects.toMatchObject({
    code: 'ERR_CAISSON_IMAGE_NOT_FOUND',
  })
})

withRegistry(
  'one image alone for another platform than is wanted: nothing of it is fetched, or gets the name',
  async () => {
    const image = busyboxImage()
    await storeImage((await imageRoots()).store, image, name('alone'))
    await (await Image.get(name('alone'))).push()
    await forget()
    await expect(Image.pull(name('alone'), { platform: 'linux/s390x' })).rejects.toMatchObject({
      code: 'ERR_CAISSON_IMAGE_NOT_FOUND',
      message: expect.stringContaining('is for linux/amd64 alone, not for linux/s390x'),
    })
    expect(await Image.list()).toEqual([])
    expect(await (await imageRoots()).store.has(image.layers[0]?.digest as string)).toBe(false)
  },
)

withBusybox('a layout that others have written into by hand: what is no image in it is left alone', async () => {
  const image = busyboxImage({}, tar({ name: 'greeting', data: 'layout' }))
  await storeImage((await imageRoots()).store, image, 'docker.io/odd/layout:1')
  const layout = path.join(root, 'layout')
  execFileSync('cp', ['-a', process.env.CAISSON_ROOT as string, layout])
  mkdirSync(path.join(layout, 'blobs/sha256/directory'))
  writeFileSync(path.join(layout, 'README'), 'notes')
  await forget()
  expect((await Image.load(layout)).tags).toEqual(['odd/layout:1'])
})

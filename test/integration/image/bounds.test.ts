/** Bounds that a caller sets for what is pulled and loaded: what is beyond one is no image, and leaves nothing. */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { Image, type LayerLimits, verifyStore } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { tar } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { findProgram, testIf } from '../../support/needs.js'
import { describe as described, type MadeImage, makeImage, storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const noZstd = !findProgram('zstd') && 'no zstd'
const withRegistry = testIf(noRegistry)
const withZstd = testIf(noZstd)

const MEGABYTE = 1024 * 1024
const PLAIN = tar({ name: 'zeros', data: Buffer.alloc(8 * MEGABYTE) })
const zstd = (bytes: Buffer) => execFileSync('zstd', ['-q', '-c'], { input: bytes, maxBuffer: 64 * MEGABYTE })

/** One layer of 8 MiB in a few kilobytes. */
function bomb(packed: Buffer, mediaType: string): MadeImage {
  const made = makeImage([PLAIN])
  const layer = described(mediaType, packed)
  const written = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: made.config, layers: [layer] }
  const bytes = Buffer.from(JSON.stringify(written))
  const manifest = described(MEDIA_TYPES.ociManifest, bytes)
  const configuration = made.blobs.get(made.config.digest) as Buffer
  const blobs = new Map([
    [made.config.digest, configuration],
    [layer.digest, packed],
    [manifest.digest, bytes],
  ])
  return { ...made, manifest, layers: [layer], blobs }
}

const BOMBS: Array<[what: string, make: () => MadeImage]> = [
  ['gzip', () => bomb(gzipSync(PLAIN), MEDIA_TYPES.ociLayerGzip)],
  ...(noZstd ? [] : [['zstd', () => bomb(zstd(PLAIN), MEDIA_TYPES.ociLayerZstd)] as [string, () => MadeImage]]),
]
const BEYOND: LayerLimits[] = [{ bytes: '4m' }, { fileSize: 4 * MEGABYTE }, { entries: 0 }, { ratio: 100 }]
const WITHIN: LayerLimits = { bytes: '16m', fileSize: '8m', entries: 1 }

async function nothing(): Promise<void> {
  expect(await Image.list()).toEqual([])
  await Image.prune({ all: true })
  expect(await verifyStore()).toMatchObject({ ok: true, blobs: 0 })
  const snapshots = path.join(process.env.CAISSON_ROOT as string, 'snapshots')
  for (const form of readdirSync(snapshots))
    expect(readdirSync(path.join(snapshots, form)).filter((name) => name.includes('sha256'))).toEqual([])
}

/** In a store of its own: what is unpacked once is not unpacked again. */
function elsewhere(): void {
  process.env.CAISSON_ROOT = scratch()
}

let registry: DockerRegistry | undefined
beforeAll(async () => {
  if (!noRegistry) registry = await startRegistry()
})
beforeEach(elsewhere)
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

for (const [what, make] of BOMBS) {
  withRegistry(`a layer of ${what} that is larger than the caller allows is not pulled`, async () => {
    const name = `${registry?.host}/bomb/${what}:1`
    await storeImage((await imageRoots()).store, make(), name)
    await (await Image.get(name)).push()
    elsewhere()
    for (const limits of BEYOND) {
      const error = await Image.pull(name, { limits }).then(undefined, (failure) => failure)
      expect([limits, error.code]).toEqual([limits, 'ERR_CAISSON_LAYER_LIMIT'])
      await nothing()
    }
    expect((await Image.pull(name, { limits: WITHIN })).tags).toEqual([name])
  })

  for (const format of ['oci', 'docker'] as const)
    test(`a layer of ${what} in an archive of the form ${format} that is larger than the caller allows is not loaded`, async () => {
      await storeImage((await imageRoots()).store, make(), 'docker.io/library/bomb:1')
      const file = path.join(scratch(), 'bomb.tar')
      await (await Image.get('bomb:1')).save(file, { format })
      elsewhere()
      for (const limits of BEYOND) {
        const error = await Image.load(file, { limits }).then(undefined, (failure) => failure)
        expect([limits, error.code]).toEqual([limits, 'ERR_CAISSON_LAYER_LIMIT'])
        await nothing()
      }
      expect((await Image.load(file, { limits: WITHIN })).tags).toEqual(['bomb:1'])
    })
}

for (const [how, compress] of [
  ['gzip', gzipSync],
  ['zstd', zstd],
] as const)
  (how === 'zstd' ? withZstd : test)(`an archive that is a bomb of ${how} itself is not loaded`, async () => {
    await storeImage(
      (await imageRoots()).store,
      makeImage([tar({ name: 'a', data: 'a' })]),
      'docker.io/library/small:1',
    )
    const file = path.join(scratch(), 'small.tar')
    await (await Image.get('small:1')).save(file)
    const plain = execFileSync('cat', [file])
    const filler = tar({ name: 'blobs/filler', data: Buffer.alloc(8 * MEGABYTE) })
    const archive = compress(Buffer.concat([filler.subarray(0, -1024), plain]))
    expect(archive.length).toBeLessThan(MEGABYTE)
    elsewhere()
    for (const source of [archive, [archive.subarray(0, 5000), archive.subarray(5000)]]) {
      const chunks = source instanceof Uint8Array ? source : pieces(source)
      const error = await Image.load(chunks, { limits: { bytes: '4m' } }).then(undefined, (failure) => failure)
      expect(error.code).toBe('ERR_CAISSON_LAYER_LIMIT')
      await nothing()
    }
    expect((await Image.load(archive, { limits: { bytes: '16m' } })).tags).toEqual(['small:1'])
  })

async function* pieces(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

test('bounds that nobody understands are refused before anything is fetched', async () => {
  for (const limits of [{ byte: 1 }, { bytes: 'many' }, { entries: -1 }, 5]) {
    const options = { limits: limits as LayerLimits }
    for (const work of [Image.pull('127.0.0.1:1/none', options), Image.load('/nowhere', options)])
      await expect(work).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  }
})

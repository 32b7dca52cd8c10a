/** Caches of builds that lie, in a real registry, written by somebody who may push there. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { Image, verifyStore } from '../../lib/index.js'
import { build, failure, inside, removeBuilds, storeBox } from '../support/build.js'
import { CACHE_TYPE, type CacheEntry, CacheWriter, digestOf, GZIP } from '../support/build-cache.js'
import { noBusybox, tar } from '../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../support/docker-registry.js'
import { testIf } from '../support/needs.js'
import { scratch } from '../support/tree.js'

const here = testIf(noBusybox || noRegistry)
const TEXT = 'FROM box:1\nRUN echo honest > /made\n'

describe('a cache of builds in a registry', () => {
  let registry: DockerRegistry
  let ref: string
  let cache: CacheWriter
  let honest: CacheEntry[]

  beforeAll(async () => {
    if (noBusybox || noRegistry) return
    registry = await startRegistry()
    ref = `${registry.host}/app:cache`
    cache = new CacheWriter(registry.host, 'app:cache')
    await emptyStore()
    await build(TEXT, { cacheTo: { type: 'registry', ref } })
    honest = await cache.entries()
  })
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]()
    await removeBuilds()
  })
  // Each finds nothing here, so that it asks the registry.
  beforeEach(emptyStore)
  afterEach(async () => {
    if (noBusybox || noRegistry) return
    expect(await verifyStore()).toMatchObject({ ok: true })
    expect(readdirSync(path.join(process.env.CAISSON_ROOT as string, 'store/ingest'))).toEqual([])
  })

  async function emptyStore() {
    process.env.CAISSON_ROOT = scratch()
    if (!noBusybox) await storeBox()
  }

  const from = (text = TEXT) => build(text, { cacheFrom: { type: 'registry', ref } })
  /** The one step's record, changed. */
  const changed = (change: Partial<CacheEntry>) => honest.map((entry) => ({ ...entry, ...change }))
  const recordWith = (change: object) => changed({ record: { ...(honest[0] as CacheEntry).record, ...change } })
  const anew = async () => {
    const { steps, image } = await from()
    expect(steps).toEqual([expect.stringContaining(': done')])
    expect(await inside(image, 'cat /made')).toBe('honest\n')
    return image
  }

  here('is taken when it is honest', async () => {
    await cache.replace(honest)
    const { steps, image } = await from()
    expect(steps).toEqual([expect.stringContaining(': cached')])
    expect(await inside(image, 'cat /made')).toBe('honest\n')
  })

  here('has no say in anything but the files after a step', async () => {
    const evil = await cache.layer(tar({ name: 'made', data: 'evil\n' }))
    await cache.replace(
      changed({
        blob: evil.blob,
        record: {
          kind: 'step',
          layer: evil.layer,
          created: '2024-01-01 (\u001b]0;owned\u0007)',
          config: { Entrypoint: ['/evil'], User: '0' },
          history: [{ created_by: 'evil' }],
        },
      }),
    )
    const { steps, image } = await from()
    // Whoever may write there decides this, as docs/dockerfile.md says.
    expect(steps).toEqual([expect.stringContaining(': cached')])
    expect(image.config).toMatchObject({ Cmd: ['/bin/sh'] })
    expect(image.config.Entrypoint ?? []).toEqual([])
    const documents = readdirSync(path.join(process.env.CAISSON_ROOT as string, 'blobs/sha256'))
      .map((name) => readFileSync(path.join(process.env.CAISSON_ROOT as string, 'blobs/sha256', name), 'latin1'))
      .filter((text) => text.startsWith('{') && text.includes('"rootfs"'))
    expect(documents.join()).not.toMatch(/owned|evil/)
  })

  here('offers nothing for a step that has another key', async () => {
    await cache.replace(honest)
    const { steps, image } = await from('FROM box:1\nRUN echo other > /made\n')
    expect(steps).toEqual([expect.stringContaining(': done')])
    expect(await inside(image, 'cat /made')).toBe('other\n')
  })

  here('that is something else is an error which says so', async () => {
    await cache.publish(
      JSON.stringify({ os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }),
      [],
      'application/json',
    )
    expect(await failure(from())).toMatchObject({ message: expect.stringContaining('no cache of builds') })
    await cache.publish('{"records":[', [])
    expect((await failure(from())).code).toBe('ERR_CAISSON_MANIFEST')
    await cache.publish(`${'['.repeat(100_000)}${']'.repeat(100_000)}`, [])
    expect((await failure(from())).code).toBe('ERR_CAISSON_MANIFEST')
    await cache.publish(' '.repeat(4 * 1024 * 1024 + 1), [])
    expect(await failure(from())).toMatchObject({ message: expect.stringContaining('no cache of builds') })
  })

  here(
    'with records of any other shape is an empty one',
    async () => {
      const { blob, layer } = await cache.layer(tar({ name: 'made', data: 'evil\n' }))
      const step = { kind: 'step', layer, created: '2024-01-01T00:00:00Z' }
      const key = (honest[0] as CacheEntry).key
      const shapes = [
        ...[null, 1, 'x', [], {}],
        { key, record: null },
        { key, record: { ...step, kind: '__proto__' }, blob },
        { key, record: { ...step, layer: [] }, blob },
        { key, record: { ...step, created: 'never' }, blob },
        { key, record: { ...step, created: { toString: 1 } }, blob },
        { key, record: { ...step, layer: { ...layer, size: -1 } }, blob },
        { key, record: { ...step, layer: { ...layer, size: 2 ** 60 } }, blob },
        { key, record: { ...step, layer: { ...layer, digest: '../../../etc/passwd' } }, blob },
        { key, record: step },
        { key, record: { ...step, layer: null }, blob },
        { key, record: step, blob: { ...blob, mediaType: 'application/zip' } },
        { key, record: step, blob: { ...blob, digest: 'sha256:..' } },
        { key: '../../index.json', record: step, blob },
        { key, record: { kind: 'content', digests: ['x'] } },
      ]
      for (const entries of [{}, 'records', shapes]) {
        await cache.publish(JSON.stringify({ records: entries }), [blob])
        await anew()
        await emptyStore()
      }
      const many = Array.from({ length: 20_000 }, (_, i) => ({
        key: digestOf(String(i)),
        record: { ...step, layer: null },
      }))
      await cache.publish(JSON.stringify({ records: many }), [])
      await anew()
    },
    60_000,
  )

  here('whose layer is not what its record says is an error, and nothing of it is kept', async () => {
    const plain = tar({ name: 'made', data: 'evil\n' })
    const target = (honest[0] as CacheEntry).record.layer as { digest: string; size: number }
    const lies = await cache.layer(plain, target)
    await cache.replace(changed({ blob: lies.blob }))
    expect(await failure(from())).toMatchObject({ message: expect.stringContaining('is not sha256:') })
    const at = (digest: string) =>
      existsSync(path.join(process.env.CAISSON_ROOT as string, 'blobs/sha256', digest.slice('sha256:'.length)))
    expect([at(target.digest), at(digestOf(plain))]).toEqual([false, false])
    // The same with a size that is right.
    const padded = await cache.layer(Buffer.alloc(target.size), target)
    await cache.replace(changed({ blob: padded.blob }))
    expect(await failure(from())).toMatchObject({ message: expect.stringContaining('is not sha256:') })
  })

  here('with bytes that are no gzip, or end early, is an error', async () => {
    const bytes = gzipSync(Buffer.alloc(10_000))
    for (const broken of [Buffer.from('no gzip at all'), bytes.subarray(0, bytes.length - 9)]) {
      const blob = await cache.upload(broken, GZIP)
      await cache.replace(
        changed({
          blob,
          record: {
            ...(honest[0] as CacheEntry).record,
            layer: { digest: digestOf(Buffer.alloc(10_000)), size: 10_000 },
          },
        }),
      )
      expect((await failure(from())).code).toMatch(/^ERR_CAISSON/)
    }
  })

  here('does not fill the disk with a bomb', async () => {
    const bomb = await cache.upload(gzipSync(Buffer.alloc(64 * 1024 * 1024)), GZIP)
    const small = { digest: digestOf('x'), size: 1000 }
    await cache.replace(
      changed({ blob: bomb, record: { kind: 'step', layer: small, created: '2024-01-01T00:00:00Z' } }),
    )
    expect(await failure(from())).toMatchObject({ message: expect.stringContaining('is not sha256:') })
    // It says that it is larger than any gzip could be, or than any layer may.
    for (const size of [bomb.size * 2000, 2 ** 50]) {
      await cache.replace(
        recordWith({ layer: { digest: digestOf('x'), size } }).map((entry) => ({ ...entry, blob: bomb })),
      )
      await anew()
      await emptyStore()
    }
  })

  here('whose blob was changed in the registry is refused by its digest', async () => {
    await cache.replace(honest)
    const { digest } = (honest[0] as CacheEntry).blob as { digest: string }
    const hex = digest.slice('sha256:'.length)
    const file = path.join(registry.directory, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data')
    const good = readFileSync(file)
    const bad = Buffer.from(good)
    bad.writeUInt8(bad.readUInt8(20) ^ 1, 20)
    writeFileSync(file, bad)
    try {
      expect((await failure(from())).code).toBe('ERR_CAISSON_DIGEST')
      // Its twin: the same bytes under their own digest are taken for what they are.
      writeFileSync(file, good)
      expect((await from()).steps).toEqual([expect.stringContaining(': cached')])
    } finally {
      writeFileSync(file, good)
    }
  })

  here('in an image names no layer that the image does not have, and decides nothing else', async () => {
    const inline = ref.replace(':cache', ':inline')
    const own = new CacheWriter(registry.host, 'app:inline')
    await build(TEXT, { tag: inline, push: true, cacheTo: { type: 'inline' } })
    const name = 'caisson.build-cache.v1'
    const { config, layers } = await own.manifest()
    const blob = await fetch(`http://${registry.host}/v2/app/blobs/${config.digest}`)
    const document = JSON.parse(await blob.text())
    const [record] = document[name].records as [CacheEntry]
    const last = document.rootfs.diff_ids.at(-1)
    expect((record.record.layer as { digest: string }).digest).toBe(last)
    const type = 'application/vnd.oci.image.config.v1+json'
    const take = () => build(TEXT, { cacheFrom: { type: 'registry', ref: inline } })
    const absent = { digest: digestOf('none'), size: 10 }
    const shapes = [
      [{ ...record, record: { ...record.record, layer: absent } }],
      [{ ...record, record: { ...record.record, layer: { digest: last, size: 2 ** 50 } } }],
      [{ ...record, record: { ...record.record, layer: 'x' } }],
      [null, 5, { key: record.key }],
      'records',
    ]
    for (const records of shapes) {
      await emptyStore()
      await own.publish(JSON.stringify({ ...document, [name]: { records } }), layers, type)
      expect((await take()).steps).toEqual([expect.stringContaining(': done')])
    }
    for (const broken of [
      { ...document, [name]: null },
      { ...document, [name]: undefined },
    ]) {
      await emptyStore()
      await own.publish(JSON.stringify(broken), layers, type)
      expect(await failure(take())).toMatchObject({ message: expect.stringContaining('no cache of builds') })
    }
    await emptyStore()
    await own.publish(JSON.stringify({ ...document, config: { Entrypoint: ['/evil'] }, history: [] }), layers, type)
    const { steps, image } = await take()
    expect(steps).toEqual([expect.stringContaining(': cached')])
    expect(image.config.Entrypoint ?? []).toEqual([])
    expect(await inside(image, 'cat /made')).toBe('honest\n')
  })

  here('cannot decide by lies about content what later builds find', async () => {
    const text = `FROM box:1 AS source
RUN echo first > /file
FROM box:1
COPY --from=source /file /file
`
    const other = text.replace('first', 'second')
    await build(text)
    await build(other, { cacheTo: { type: 'registry', ref } })
    const entries = await cache.entries()
    // Both stages are said to hold the same.
    const lying = entries.map((entry) =>
      entry.record.kind === 'content' ? { ...entry, record: { kind: 'content', digests: [digestOf('same')] } } : entry,
    )
    await emptyStore()
    await cache.replace(lying)
    await build(other, { cacheFrom: { type: 'registry', ref } })
    const { image } = await build(other)
    expect(await inside(image, 'cat /file')).toBe('second\n')
    expect(CACHE_TYPE).toContain('caisson')
    expect(await Image.list()).not.toEqual([])
  })
})

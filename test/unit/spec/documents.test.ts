import { createHash } from 'node:crypto'
import fc from 'fast-check'
import type { CaissonError } from '../../../lib/errors.js'
import { chainIds } from '../../../lib/spec/chain-id.js'
import { readDescriptor } from '../../../lib/spec/descriptor-parse.js'
import { parseImageConfig } from '../../../lib/spec/image-config.js'
import { parseIndex } from '../../../lib/spec/index-document.js'
import { parseDocument } from '../../../lib/spec/json.js'
import { checkImageManifest, LAYERS_MAX, parseManifest } from '../../../lib/spec/manifest.js'
import { MEDIA_TYPES as T } from '../../../lib/spec/media-types.js'
import { casesOf } from '../../support/cases.js'

interface Case {
  fail?: boolean
  digest?: string
  [document: string]: unknown
}

const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const digest = (fill: string) => `sha256:${fill.repeat(64)}`
const layer = { mediaType: T.ociLayerGzip, size: 5, digest: digest('b') }
const config = { mediaType: T.ociConfig, size: 3, digest: digest('a') }
const manifest = { schemaVersion: 2, mediaType: T.ociManifest, config, layers: [layer] }
const entry = {
  mediaType: T.ociManifest,
  size: 7,
  digest: digest('c'),
  platform: { os: 'linux', architecture: 'amd64' },
}
const index = { schemaVersion: 2, mediaType: T.ociIndex, manifests: [entry] }
const image = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digest('d')] } }

function verdict(run: () => unknown): string {
  try {
    run()
    return 'good'
  } catch (error) {
    return (error as CaissonError).code
  }
}

const READERS: Array<[set: string, key: string, read: (text: Buffer) => unknown]> = [
  ['config', 'config', (text) => parseImageConfig(text)],
  ['descriptor', 'descriptor', (text) => readDescriptor(parseDocument(text, 'descriptor'), 'descriptor', '')],
  ['imageindex', 'imageIndex', (text) => parseIndex(text)],
  ['manifest', 'manifest', (text) => parseManifest(text)],
  ['compat-manifest', 'manifest', (text) => parseManifest(text)],
  ['compat-index', 'imageIndex', (text) => parseIndex(text)],
  ['compat-config', 'config', (text) => parseImageConfig(text)],
]

describe.each(READERS)('image-spec: %s', (set, key, read) => {
  test.each(casesOf<Case>('image-spec-schema', set).map((known) => [String(known[key]), known] as const))(
    '%s',
    (text, known) => {
      // The schema wants a layer, the text only advises one ("SHOULD"); `umoci new` makes images without any.
      const emptyImage = set === 'manifest' && /"layers": \[\s*\]/.test(text)
      expect(verdict(() => read(bytes(text)))).toBe(known.fail && !emptyImage ? 'ERR_CAISSON_MANIFEST' : 'good')
      if (known.digest) expect(`sha256:${createHash('sha256').update(text).digest('hex')}`).toBe(known.digest)
    },
  )
})

describe('one document must not be two (CVE-2021-41190)', () => {
  const refused: Array<[string, () => unknown]> = [
    ['a manifest with manifests', () => parseManifest(bytes({ ...manifest, manifests: [entry] }))],
    ['an index with layers', () => parseIndex(bytes({ ...index, layers: [layer] }))],
    ['an index with a config', () => parseIndex(bytes({ ...index, config }))],
    ['null counts as there', () => parseIndex(bytes({ ...index, config: null }))],
    ['a manifest under the type of an index', () => parseManifest(bytes(manifest), T.ociIndex)],
    ['an index under the type of a manifest', () => parseIndex(bytes(index), T.ociManifest)],
    ['an index read as a manifest', () => parseManifest(bytes(index))],
    ['a type that is not the one of the Content-Type', () => parseManifest(bytes(manifest), T.dockerManifest)],
    ['a type of neither', () => parseManifest(bytes({ ...manifest, mediaType: 'application/json' }))],
    ['a manifest of schema 1', () => parseManifest(bytes({ schemaVersion: 1, fsLayers: [], history: [] }))],
    ['schema 2 with the parts of schema 1', () => parseManifest(bytes({ ...manifest, fsLayers: [] }))],
    ['a key twice', () => parseManifest(bytes(JSON.stringify(manifest).replace('{', '{"layers":[],')))],
    [
      'a key twice, once escaped',
      () => parseManifest(bytes(JSON.stringify(manifest).replace('{', '{"l\\u0061yers":[],'))),
    ],
    ['a key in another case', () => parseManifest(bytes({ ...manifest, Layers: [] }))],
    ['a key with a letter that folds to s', () => parseManifest(bytes({ ...manifest, 'layer\u017f': [] }))],
    [
      'a digest in another case',
      () => parseManifest(bytes({ ...manifest, config: { ...config, Digest: digest('e') } })),
    ],
    [
      'diff ids in another case',
      () => parseImageConfig(bytes({ ...image, rootfs: { ...image.rootfs, DIFF_IDS: [] } })),
    ],
    ['a command in another case', () => parseImageConfig(bytes({ ...image, config: { cmd: ['/bin/sh'] } }))],
    ['bytes that are not UTF-8', () => parseManifest(Buffer.concat([bytes(manifest), Buffer.from([0xff])]))],
    ['something behind the end', () => parseManifest(bytes(`${JSON.stringify(manifest)}{}`))],
  ]
  test.each(refused)('%s', (_, read) => {
    expect(verdict(read)).toBe('ERR_CAISSON_MANIFEST')
  })

  test('labels are not names of ours, and may differ in case', () => {
    const labels = { Foo: '1', foo: '2', layers: '3' }
    expect(parseImageConfig(bytes({ ...image, config: { Labels: labels } })).config.Labels).toEqual(labels)
    expect(parseManifest(bytes({ ...manifest, annotations: labels })).annotations).toEqual(labels)
  })

  test('a type is taken from where the document was found when it says none', () => {
    const { mediaType: _, ...rest } = manifest
    expect(parseManifest(bytes(rest), T.dockerManifest).mediaType).toBe(T.dockerManifest)
    expect(parseManifest(bytes(rest)).mediaType).toBe(T.ociManifest)
  })
})

describe('bounds', () => {
  const refused: Array<[string, () => unknown]> = [
    ['4 MiB and a byte', () => parseManifest(Buffer.alloc(4 * 1024 * 1024 + 1, ' '))],
    ['100 MB', () => parseManifest(Buffer.alloc(100_000_000, '['))],
    ['4 MiB of brackets', () => parseManifest(Buffer.alloc(4 * 1024 * 1024, '['))],
    ['4 MiB of quotes', () => parseManifest(Buffer.alloc(4 * 1024 * 1024, '"'))],
    ['4 MiB of backslashes in a string', () => parseManifest(Buffer.concat([bytes('{"'), Buffer.alloc(4e6, '\\')]))],
    ['depth', () => parseManifest(bytes(`{"annotations":${'{"a":'.repeat(100)}1${'}'.repeat(101)}`))],
    ['10,000 layers', () => parseManifest(bytes({ ...manifest, layers: Array(10_000).fill(layer) }))],
    ['one layer more', () => parseManifest(bytes({ ...manifest, layers: Array(LAYERS_MAX + 1).fill(layer) }))],
    ['10,000 manifests', () => parseIndex(bytes({ ...index, manifests: Array(10_000).fill(entry) }))],
    ['a size beyond whole numbers', () => parseManifest(bytes({ ...manifest, config: { ...config, size: 2 ** 60 } }))],
    ['half a byte', () => parseManifest(bytes({ ...manifest, config: { ...config, size: 1.5 } }))],
    ['more diff ids than layers', () => parseImageConfig(bytes(image), 2)],
    ['fewer diff ids than layers', () => parseImageConfig(bytes({ ...image, rootfs: { type: 'layers' } }), 1)],
    [
      'a diff id that is a path',
      () => parseImageConfig(bytes({ ...image, rootfs: { type: 'layers', diff_ids: ['../../x'] } })),
    ],
    ['NUL in a command', () => parseImageConfig(bytes({ ...image, config: { Cmd: ['a\0b'] } }))],
    ['NUL in a user', () => parseImageConfig(bytes({ ...image, config: { User: 'a\0b' } }))],
    ['no name of a variable', () => parseImageConfig(bytes({ ...image, config: { Env: ['=x'] } }))],
  ]
  test.each(refused)('%s', (_, read) => {
    const began = performance.now()
    expect(verdict(read)).toBe('ERR_CAISSON_MANIFEST')
    expect(performance.now() - began).toBeLessThan(2000)
  })

  test(`${LAYERS_MAX} layers are fine`, () => {
    const layers = Array(LAYERS_MAX).fill(layer)
    expect(parseManifest(bytes({ ...manifest, layers })).layers).toHaveLength(LAYERS_MAX)
  })
})

test('what is null counts as absent, as Docker writes it', () => {
  const written = {
    ...image,
    config: { Cmd: null, Env: null, Labels: null, Volumes: { '/data': null } },
    history: null,
  }
  const read = parseImageConfig(bytes(written), 1)
  expect(read.config).toEqual({ Volumes: { '/data': {} } })
  expect(read.history).toEqual([])
})

test('an artifact, foreign layers and unknown ones are no image', () => {
  const check = (changes: object) =>
    verdict(() => checkImageManifest(parseManifest(bytes({ ...manifest, ...changes }))))
  expect(check({})).toBe('good')
  expect(check({ config: { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' } })).toBe(
    'ERR_CAISSON_UNSUPPORTED',
  )
  expect(check({ layers: [{ ...layer, mediaType: T.dockerForeignLayerGzip }] })).toBe('ERR_CAISSON_UNSUPPORTED')
  expect(check({ layers: [{ ...layer, mediaType: T.ociForeignLayer }] })).toBe('ERR_CAISSON_UNSUPPORTED')
  expect(check({ layers: [{ ...layer, mediaType: 'application/vnd.oci.image.layer.v1.tar+encrypted' }] })).toBe(
    'ERR_CAISSON_UNSUPPORTED',
  )
})

test('chain ids are those of the specification', () => {
  const [a, b] = [digest('a'), digest('b')] as const
  const chained = `sha256:${createHash('sha256').update(`${a} ${b}`).digest('hex')}`
  expect(chainIds([a, b])).toEqual([a, chained])
  expect(chainIds([])).toEqual([])
})

test('whatever JSON comes, an error is one of ours', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      for (const read of [parseManifest, parseIndex, parseImageConfig])
        expect(['good', 'ERR_CAISSON_MANIFEST']).toContain(verdict(() => read(bytes(text))))
    }),
  )
})

test('one byte changed anywhere leaves a document that is refused, or read without a crash', () => {
  const good = bytes(manifest)
  for (let at = 0; at < good.length; at++)
    for (const value of [0, 0x22, 0x7b, 0xff, (good[at] as number) ^ 1]) {
      const changed = Buffer.from(good)
      changed[at] = value
      expect(['good', 'ERR_CAISSON_MANIFEST']).toContain(verdict(() => parseManifest(changed)))
    }
})

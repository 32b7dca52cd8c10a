/** Layers that lie plain in the store are sent compressed, and compressed once. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { Image, type TransferEvent } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { type DockerRegistry, noRegistry, noSkopeo, startRegistry } from '../../support/docker-registry.js'
import { testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const withRegistry = testIf(noRegistry)
const withSkopeo = testIf(noRegistry || noSkopeo)

let registry: DockerRegistry
let image: Image
const name = (repository: string, host = registry.host) => `${host}/team/${repository}:1`

beforeAll(async () => {
  if (noRegistry) return
  registry = await startRegistry()
  const line = 'the same words again and again\n'.repeat(10_000)
  const text = `FROM scratch\nCOPY <<EOF /one\n${line}EOF\nCOPY <<EOF /two\n2\nEOF\n`
  image = await Image.build({ dockerfile: { text }, tag: name('built') })
})
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

interface Raw {
  mediaType: string
  config: { digest: string }
  layers: Array<{ mediaType: string; digest: string; size: number }>
}

async function inRegistry(repository: string, digest: string, host = registry.host): Promise<Raw> {
  const response = await fetch(`http://${host}/v2/team/${repository}/manifests/${digest}`, {
    headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
  })
  expect(response.status).toBe(200)
  return (await response.json()) as Raw
}

const inStore = async (digest: string) => existsSync((await imageRoots()).store.path(digest))

withRegistry('as gzip, with the same configuration and the same plain bytes', async () => {
  expect(image.layers.map(({ mediaType }) => mediaType)).toEqual(Array(2).fill(expect.stringMatching(/\.tar$/)))
  const { digest } = await image.push(name('gzip'))
  expect(digest).not.toBe(image.digest)
  const { config, layers } = await inRegistry('gzip', digest)
  expect(config.digest).toBe(image.id)
  expect(layers.map(({ mediaType }) => mediaType)).toEqual(Array(2).fill(expect.stringMatching(/\.tar\+gzip$/)))
  expect((layers[0]?.size as number) * 20).toBeLessThan(image.layers[0]?.size as number)
  for (const [i, layer] of layers.entries()) {
    const blob = await fetch(`http://${registry.host}/v2/team/gzip/blobs/${layer.digest}`)
    const plain = gunzipSync(Buffer.from(await blob.arrayBuffer()))
    expect(plain.length).toBe(image.layers[i]?.size)
    expect(layer.digest).not.toBe(image.layers[i]?.digest)
  }
  expect((await Image.get(name('built'))).digest).toBe(image.digest)
})

withRegistry(
  'once: what was compressed is known when its bytes are gone, and made again for who lacks them',
  async () => {
    const { digest } = await image.push(name('first'))
    const { layers } = await inRegistry('first', digest)
    const gone = layers.map((layer) => layer.digest)
    await Image.prune()
    expect(await Promise.all(gone.map(inStore))).toEqual([false, false])

    const statuses: string[] = []
    const again = await image.push(name('first'), { onProgress: ({ status }) => statuses.push(status) })
    expect([again.digest, statuses.includes('uploading')]).toEqual([digest, false])
    expect(await Promise.all(gone.map(inStore))).toEqual([false, false])

    await using other = await startRegistry()
    expect((await image.push(name('elsewhere', other.host))).digest).toBe(digest)
    expect((await inRegistry('elsewhere', digest, other.host)).layers).toEqual(layers)
  },
)

withRegistry('from one repository to another of the registry not at all', async () => {
  await image.push(name('built'))
  const events: TransferEvent[] = []
  await image.push(name('mounted'), { onProgress: (event) => events.push(event) })
  const ended = events.filter(({ status }) => status === 'mounted' || status === 'uploading')
  expect(new Set(ended.map(({ status }) => status))).toEqual(new Set(['mounted']))
})

withRegistry('or plain when asked, and then as they are', async () => {
  const { digest } = await image.push(name('plain'), { compression: 'none' })
  expect(digest).toBe(image.digest)
  const { layers } = await inRegistry('plain', digest)
  expect(layers.map((layer) => layer.digest)).toEqual(image.layers.map((layer) => layer.digest))
  const compression = 'brotli' as 'gzip'
  await expect(image.push(name('plain'), { compression })).rejects.toMatchObject({
    code: 'ERR_CAISSON_INVALID_ARGUMENT',
  })
})

withRegistry('and are pulled as the same image', async () => {
  await image.push(name('back'))
  const before = process.env.CAISSON_ROOT
  process.env.CAISSON_ROOT = scratch()
  try {
    const pulled = await Image.pull(name('back'))
    expect([pulled.id, pulled.layers.map(({ diffId }) => diffId)]).toEqual([
      image.id,
      image.layers.map(({ diffId }) => diffId),
    ])
    // What is compressed already is sent as it is.
    expect((await pulled.push(name('onward'))).digest).toBe(pulled.digest)
  } finally {
    process.env.CAISSON_ROOT = before
  }
})

withSkopeo('and read by skopeo, which unpacks them', async () => {
  const { digest } = await image.push(name('skopeo'))
  const skopeo = (...args: string[]) => execFileSync('skopeo', ['--insecure-policy', ...args], { encoding: 'utf8' })
  const found = JSON.parse(skopeo('inspect', '--tls-verify=false', `docker://${name('skopeo')}`))
  expect([found.Digest, found.Layers.length]).toEqual([digest, 2])
  const copy = scratch()
  skopeo('copy', '--src-tls-verify=false', '--dest-decompress', `docker://${name('skopeo')}`, `dir:${copy}`)
  const layers = JSON.parse(skopeo('inspect', '--raw', `dir:${copy}`)).layers as Raw['layers']
  expect(layers.map((layer) => layer.digest)).toEqual(image.layers.map(({ diffId }) => diffId))
})

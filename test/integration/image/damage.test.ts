/** Images whose content was damaged on disk: they are fetched anew, or removed, and do not keep anybody from the others. */

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Image, verifyStore } from '../../../lib/index.js'
import { RegistryClient } from '../../../lib/registry/client.js'
import { pushFrom } from '../../../lib/registry/push.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { tar } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { testIf } from '../../support/needs.js'
import { type MadeImage, makeImage, storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = path.join(scratch(), 'caisson')
const withRegistry = testIf(noRegistry)
let registry: DockerRegistry | undefined

beforeAll(async () => {
  if (!noRegistry) registry = await startRegistry()
})
afterEach(async () => {
  for (const image of await Image.list()) await image.remove({ force: true })
})
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

/** Never read by this process: what it has read it remembers. */
async function stored(reference: string): Promise<MadeImage> {
  const layer = tar({ name: 'file', data: randomBytes(5000).toString('hex') })
  const image = makeImage([layer, tar({ name: 'other', data: randomBytes(10).toString('hex') })])
  await storeImage((await imageRoots()).store, image, reference)
  return image
}

async function damage(digest: string): Promise<void> {
  const file = (await imageRoots()).store.path(digest)
  const bytes = readFileSync(file)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] as number) ^ 1
  writeFileSync(file, bytes)
}

for (const part of ['manifest', 'configuration', 'layer', 'all'] as const)
  withRegistry(`a damaged ${part} is fetched anew by a pull`, async () => {
    const { store } = await imageRoots()
    const name = `${registry?.host}/damaged/${part}:1`
    const image = await stored(name)
    using client = new RegistryClient()
    const reference = { registry: registry?.host as string, repository: `damaged/${part}`, tag: '1' }
    await pushFrom(store, client, reference, image.manifest)
    const parts = { manifest: [image.manifest], configuration: [image.config], layer: image.layers }
    const damaged = part === 'all' ? Object.values(parts).flat() : parts[part]
    for (const { digest } of damaged) await damage(digest)
    expect((await verifyStore()).problems.map(({ digest }) => digest)).toEqual(
      expect.arrayContaining(damaged.map(({ digest }) => digest)),
    )
    const pulled = await Image.pull(name)
    expect([pulled.id, pulled.tags]).toEqual([image.config.digest, [name]])
    expect(await verifyStore()).toMatchObject({ ok: true, problems: [] })
  })

for (const format of ['oci', 'docker', 'layout'] as const)
  test(`a damaged layer is repaired by loading it again: ${format}`, async () => {
    const name = `docker.io/team/${format}:1`
    const image = await stored(name)
    const file = path.join(scratch(), 'saved.tar')
    await (await Image.get(name)).save(file, { format: format === 'layout' ? 'oci' : format })
    let source = file
    if (format === 'layout') {
      source = path.join(scratch(), 'layout')
      mkdirSync(source)
      execFileSync('tar', ['-xf', file, '-C', source])
    }
    for (const { digest } of image.layers) await damage(digest)
    expect((await verifyStore()).ok).toBe(false)
    await Image.load(source)
    expect(await verifyStore()).toMatchObject({ ok: true, problems: [] })
  })

test('one that is damaged is warned of, and can be removed; the others are listed', async () => {
  const warnings: string[] = []
  const warning = jest
    .spyOn(process, 'emitWarning')
    .mockImplementation((message) => void warnings.push(String(message)))
  await stored('docker.io/team/right:1')
  const images = [await stored('docker.io/team/wrong:1'), await stored('docker.io/team/wrong:2')] as const
  await damage(images[0].config.digest)
  await damage(images[1].manifest.digest)
  expect((await Image.list()).flatMap(({ tags }) => tags)).toEqual(['team/right:1'])
  warning.mockRestore()
  expect(warnings).toEqual([
    expect.stringContaining('team/wrong:1 is damaged'),
    expect.stringContaining('team/wrong:2 is damaged'),
  ])
  await expect(Image.get('team/wrong:1')).rejects.toMatchObject({ code: 'ERR_CAISSON_DIGEST' })
  // While nobody knows what the second one needs, nothing is collected.
  await expect(Image.prune()).rejects.toMatchObject({ code: 'ERR_CAISSON_STORE' })
  await Image.remove('team/wrong:2')
  await Image.remove('team/wrong:1')
  await expect(Image.remove('team/wrong:1')).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND' })
  expect(await verifyStore()).toMatchObject({ ok: true, images: 1, blobs: 4 })
})

/** Images of an OCI layout that a build takes in the place of images of the store. */
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Image } from '../../../lib/index.js'
import { boxForTests, build, failure, inside } from '../../support/build.js'
import { noBusybox } from '../../support/busybox-image.js'
import { testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

boxForTests()
const withBusybox = testIf(noBusybox)

describe('a build', () => {
  withBusybox('has images of an OCI layout by name', async () => {
    const one = (await build('RUN echo one > /which', { tag: 'layout:one' })).image
    const two = (await build('RUN echo two > /which', { tag: 'layout:latest' })).image
    const directory = scratch()
    const file = path.join(scratch(), 'images.tar')
    await Image.saveAll([one, two], file, { format: 'oci' })
    execFileSync('tar', ['-xf', file, '-C', directory])
    await Promise.all([one, two].map((image) => image.remove({ force: true })))
    await Image.pruneBuildCache()
    const which = async (address: string) => {
      const contexts = { other: `oci-layout://${address}` }
      const { image } = await build('FROM other\nCOPY --from=other /which /copied\n', { contexts })
      return inside(image, 'cat /which /copied')
    }
    expect(await which(directory)).toBe('two\ntwo\n')
    expect(await which(`${directory}:one`)).toBe('one\none\n')
    expect(await which(`${path.relative('.', directory)}@${one.digest}`)).toBe('one\none\n')
    expect(await which(`${directory}:one@${one.digest}`)).toBe('one\none\n')
    expect(await Image.list({ reference: 'layout' })).toEqual([])

    const refused = (contexts: string) =>
      failure(build('FROM other', { contexts: { other: `oci-layout://${contexts}` } }))
    for (const wrong of [':three', `:one@${two.digest}`, `@sha256:${'0'.repeat(64)}`]) {
      const { code, hint, message } = await refused(directory + wrong)
      expect([code, message, hint]).toEqual([
        'ERR_CAISSON_IMAGE_ARCHIVE',
        expect.stringContaining('has no such image'),
        expect.stringContaining('layout:one'),
      ])
    }
    expect((await refused('/no/such/place')).code).toBe('ERR_CAISSON_IMAGE_ARCHIVE')
    // What is in a place of a digest must be what it says, and is never a link to a file of the host.
    const layer = path.join(directory, 'blobs/sha256', `${two.layers.at(-1)?.digest}`.slice(7))
    const bytes = readFileSync(layer)
    await Image.prune({ all: false })
    await Image.pruneBuildCache()
    writeFileSync(layer, Buffer.from(bytes).fill(1, 100, 101))
    expect((await refused(directory)).message).toContain('what came is sha256:')
    rmSync(layer)
    const outside = path.join(scratch(), 'outside')
    writeFileSync(outside, bytes)
    symlinkSync(outside, layer)
    expect((await refused(directory)).message).toContain('is missing')
  })
})

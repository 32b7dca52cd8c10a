/** Caches of builds in directories. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { build, contextOf, failure, inside, removeBuilds } from '../../support/build.js'
import { CACHED_BUILD, digestOf, forgetBuilds, shortSteps } from '../../support/build-cache.js'
import { noBusybox } from '../../support/busybox-image.js'
import { noSkopeo } from '../../support/docker-registry.js'
import { testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

const here = testIf(noBusybox)
const withSkopeo = testIf(noBusybox || noSkopeo)

describe('the cache of builds in a directory', () => {
  const context = contextOf({ a: 'content' })
  const ALL = ['COPY cached', 'COPY cached', 'RUN cached', 'RUN cached']
  let at: string
  let blobs: string

  beforeEach(async () => {
    at = path.join(scratch(), 'cache')
    blobs = path.join(at, 'blobs/sha256')
    await forgetBuilds()
  })
  afterAll(removeBuilds)

  const to = (more: { mode?: 'min' | 'max' } = {}) => ({ cacheTo: { type: 'local' as const, dest: at, ...more } })
  const from = () => ({ cacheFrom: { type: 'local' as const, src: at } })

  here('brings what all steps made to who has nothing, and the same image', async () => {
    const first = await build(CACHED_BUILD, { context, ...from(), ...to() })
    expect(new Set(shortSteps(first.steps))).toEqual(new Set(['COPY done', 'RUN done']))
    await forgetBuilds()
    const second = await build(CACHED_BUILD, { context, ...from() })
    expect(shortSteps(second.steps)).toEqual(ALL)
    expect(second.image.digest).toBe(first.image.digest)
    expect(await inside(second.image, 'cat /a /b /tool')).toBe('contentcontenttool\n')
  })

  here('with mode min has the steps of the stage alone', async () => {
    await build(CACHED_BUILD, { context, ...to({ mode: 'min' }) })
    await forgetBuilds()
    const { steps } = await build(CACHED_BUILD, { context, ...from() })
    expect(shortSteps(steps)).toEqual(['COPY cached', 'COPY cached', 'RUN cached', 'RUN done'])
  })

  here('grows by nothing that it does not have any more', async () => {
    await build(CACHED_BUILD, { context, ...to() })
    const before = readdirSync(blobs)
    const own = path.join(blobs, 'somebody-elses')
    writeFileSync(own, 'x')
    await build(`${CACHED_BUILD}RUN echo more > /more\n`, { context, ...to() })
    const second = new Set(readdirSync(blobs))
    // Layers are the same, the list and the manifest are others.
    expect(before.filter((name) => !second.has(name))).toHaveLength(2)
    expect(second.size).toBe(before.length + 2)
    await build('RUN true', { ...to() })
    expect(readdirSync(blobs)).toHaveLength(3)
    expect(existsSync(own)).toBe(true)
  })

  withSkopeo('is a layout that others can read', async () => {
    await build(CACHED_BUILD, { context, ...to() })
    const raw = execFileSync('skopeo', ['inspect', '--raw', `oci:${at}:latest`], { encoding: 'utf8' })
    const { config, layers } = JSON.parse(raw)
    expect([config.mediaType, layers.length]).toEqual(['application/vnd.caisson.build-cache.v1+json', 4])
    for (const { digest, size } of layers) {
      const file = path.join(blobs, digest.replace('sha256:', ''))
      expect([statSync(file).size, digestOf(readFileSync(file))]).toEqual([size, digest])
    }
  })

  here('that has lost layers, or has pipes in their place, lacks those steps; damaged ones are an error', async () => {
    await build(CACHED_BUILD, { context, ...to() })
    const { manifests } = JSON.parse(readFileSync(path.join(at, 'index.json'), 'utf8'))
    const blobAt = (digest: string) => path.join(blobs, digest.replace('sha256:', ''))
    const { layers } = JSON.parse(readFileSync(blobAt(manifests[0].digest), 'utf8'))
    await forgetBuilds()
    for (const { digest } of layers) {
      rmSync(blobAt(digest))
      execFileSync('mkfifo', [blobAt(digest)])
    }
    const first = await build(CACHED_BUILD, { context, ...from(), ...to() })
    expect(shortSteps(first.steps)).toEqual(['COPY done', 'COPY done', 'RUN done', 'RUN done'])
    await forgetBuilds()
    const [{ digest }] = JSON.parse(
      readFileSync(blobAt(JSON.parse(readFileSync(path.join(at, 'index.json'), 'utf8')).manifests[0].digest), 'utf8'),
    ).layers
    const bytes = readFileSync(blobAt(digest))
    bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20)
    writeFileSync(blobAt(digest), bytes)
    expect((await failure(build(CACHED_BUILD, { context, ...from() }))).code).toBe('ERR_CAISSON_DIGEST')
  })

  here('is an error where there is something else, or nothing can be', async () => {
    const directory = contextOf({ 'index.json': '{}', 'oci-layout': '{"imageLayoutVersion":"1.0.0"}' })
    expect(await failure(build('RUN true', { cacheFrom: { type: 'local', src: directory } }))).toMatchObject({
      code: expect.stringMatching(/^ERR_CAISSON_(IMAGE_ARCHIVE|MANIFEST)$/),
    })
    const file = path.join(directory, 'index.json')
    expect(await failure(build('RUN true', { cacheTo: { type: 'local', dest: `${file}/inside` } }))).toMatchObject({
      code: 'ERR_CAISSON_FILE',
      cause: { code: 'ENOTDIR' },
    })
    for (const wrong of [{ type: 'local' }, { type: 'local', dest: '' }, { type: 'gha' }, { type: 'local', src: at }])
      await expect(build('RUN true', { cacheTo: wrong as never })).rejects.toMatchObject({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
      })
  })
})

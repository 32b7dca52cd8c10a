/** The cache of builds in a registry: sent, and found by somebody who has built nothing yet. */
import { Image } from '../../../lib/index.js'
import { build, contextOf, inside, removeBuilds } from '../../support/build.js'
import { CACHED_BUILD, forgetBuilds, shortSteps } from '../../support/build-cache.js'
import { noBusybox } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { testIf } from '../../support/needs.js'

const here = testIf(noBusybox || noRegistry)

describe('the cache of builds in a registry', () => {
  let registry: DockerRegistry
  const context = contextOf({ a: 'content' })
  const ref = (tag: string) => `${registry.host}/app:${tag}`
  const from = (tag: string) => ({ type: 'registry' as const, ref: ref(tag) })

  beforeAll(async () => {
    if (!noBusybox && !noRegistry) registry = await startRegistry()
  })
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]()
    await removeBuilds()
  })
  beforeEach(forgetBuilds)

  here('brings what all steps made to who has nothing, and the same image', async () => {
    const first = await build(CACHED_BUILD, { context, cacheFrom: from('max'), cacheTo: from('max') })
    expect(new Set(shortSteps(first.steps))).toEqual(new Set(['COPY done', 'RUN done']))
    await forgetBuilds()
    const second = await build(CACHED_BUILD, { context, cacheFrom: from('max') })
    expect(shortSteps(second.steps)).toEqual(['COPY cached', 'COPY cached', 'RUN cached', 'RUN cached'])
    expect(second.image.digest).toBe(first.image.digest)
    expect(await inside(second.image, 'cat /a /b /tool')).toBe('contentcontenttool\n')
    // And it is kept here, so that the registry is not asked again.
    expect(shortSteps((await build(CACHED_BUILD, { context })).steps)).toEqual([
      'COPY cached',
      'COPY cached',
      'RUN cached',
      'RUN cached',
    ])
  })

  here('with mode min has the steps of the stage alone', async () => {
    await build(CACHED_BUILD, { context, cacheTo: { ...from('min'), mode: 'min' } })
    await forgetBuilds()
    const { steps } = await build(CACHED_BUILD, { context, cacheFrom: from('min') })
    expect(shortSteps(steps)).toEqual(['COPY cached', 'COPY cached', 'RUN cached', 'RUN done'])
  })

  for (const compression of ['gzip', 'none'] as const)
    here(
      `inline is in the image itself, and has the steps of its stage: sent ${compression === 'none' ? 'plain' : 'as gzip'}`,
      async () => {
        const tag = ref(`inline-${compression}`)
        const first = await build(CACHED_BUILD, { context, tag, push: true, compression, cacheTo: { type: 'inline' } })
        const config = JSON.stringify(first.image.config)
        await forgetBuilds()
        const second = await build(CACHED_BUILD, {
          context,
          cacheFrom: from(`inline-${compression}`),
          cacheTo: { type: 'inline' },
        })
        expect(shortSteps(second.steps)).toEqual(['COPY cached', 'COPY cached', 'RUN cached', 'RUN done'])
        expect([second.image.id, JSON.stringify(second.image.config)]).toEqual([first.image.id, config])
        expect(await inside(second.image, 'cat /a /b /tool')).toBe('contentcontenttool\n')
        // Without being asked for, it is not there.
        expect((await build(CACHED_BUILD, { context })).image.id).not.toBe(first.image.id)
      },
    )

  here('is refused where it is an image, and a name in a mode that nobody knows', async () => {
    const { image } = await build('RUN true', { tag: ref('image'), push: true })
    expect(image.tags).toContain(ref('image'))
    await expect(build('RUN true', { cacheFrom: from('image') })).rejects.toMatchObject({
      code: 'ERR_CAISSON_DOCKERFILE',
    })
    const mode = 'most' as 'max'
    await expect(
      Image.build({ dockerfile: { text: 'FROM box:1' }, cacheTo: { ...from('x'), mode } }),
    ).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })
})

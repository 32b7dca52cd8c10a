/** The cache of builds in a registry: sent, and found by somebody who has built nothing yet. */
import { Image } from '../../../lib/index.js'
import { build, contextOf, inside, removeBuilds, storeBox } from '../../support/build.js'
import { noBusybox } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

const here = testIf(noBusybox || noRegistry)
const TEXT = `FROM box:1 AS tools
RUN echo tool > /tool
FROM box:1 AS base
COPY a /a
FROM base
RUN cat /a > /b
COPY --from=tools /tool /tool
`

describe('the cache of builds in a registry', () => {
  let registry: DockerRegistry
  const context = contextOf({ a: 'content' })
  const ref = (tag: string) => `${registry.host}/app:${tag}`
  const from = (tag: string) => ({ type: 'registry' as const, ref: ref(tag) })
  const short = (steps: readonly string[]) => steps.map((step) => step.replace(/^(\w+).*: /, '$1 ')).sort()

  beforeAll(async () => {
    if (!noBusybox && !noRegistry) registry = await startRegistry()
  })
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]()
    await removeBuilds()
  })
  beforeEach(async () => {
    process.env.CAISSON_ROOT = scratch()
    if (!noBusybox) await storeBox()
  })
  const forget = async () => {
    process.env.CAISSON_ROOT = scratch()
    await storeBox()
  }

  here('brings what all steps made to who has nothing, and the same image', async () => {
    const first = await build(TEXT, { context, cacheFrom: from('max'), cacheTo: from('max') })
    expect(new Set(short(first.steps))).toEqual(new Set(['COPY done', 'RUN done']))
    await forget()
    const second = await build(TEXT, { context, cacheFrom: from('max') })
    expect(short(second.steps)).toEqual(['COPY cached', 'COPY cached', 'RUN cached', 'RUN cached'])
    expect(second.image.digest).toBe(first.image.digest)
    expect(await inside(second.image, 'cat /a /b /tool')).toBe('contentcontenttool\n')
    // And it is kept here, so that the registry is not asked again.
    expect(short((await build(TEXT, { context })).steps)).toEqual([
      'COPY cached',
      'COPY cached',
      'RUN cached',
      'RUN cached',
    ])
  })

  here('with mode min has the steps of the stage alone', async () => {
    await build(TEXT, { context, cacheTo: { ...from('min'), mode: 'min' } })
    await forget()
    const { steps } = await build(TEXT, { context, cacheFrom: from('min') })
    expect(short(steps)).toEqual(['COPY cached', 'COPY cached', 'RUN cached', 'RUN done'])
  })

  for (const compression of ['gzip', 'none'] as const)
    here(
      `inline is in the image itself, and has the steps of its stage: sent ${compression === 'none' ? 'plain' : 'as gzip'}`,
      async () => {
        const tag = ref(`inline-${compression}`)
        const first = await build(TEXT, { context, tag, push: true, compression, cacheTo: { type: 'inline' } })
        const config = JSON.stringify(first.image.config)
        await forget()
        const second = await build(TEXT, {
          context,
          cacheFrom: from(`inline-${compression}`),
          cacheTo: { type: 'inline' },
        })
        expect(short(second.steps)).toEqual(['COPY cached', 'COPY cached', 'RUN cached', 'RUN done'])
        expect([second.image.id, JSON.stringify(second.image.config)]).toEqual([first.image.id, config])
        expect(await inside(second.image, 'cat /a /b /tool')).toBe('contentcontenttool\n')
        // Without being asked for, it is not there.
        expect((await build(TEXT, { context })).image.id).not.toBe(first.image.id)
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

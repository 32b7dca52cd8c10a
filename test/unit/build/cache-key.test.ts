/** What a key depends on, and what it does not. */
import { baseKey, type ContentItem, contentDigest, stepKey } from '../../../lib/build/cache-key.js'
import { type PlanOptions, planBuild } from '../../../lib/build/dockerfile/plan.js'
import type { BaseImage, Step } from '../../../lib/build/dockerfile/plan-types.js'

const PLATFORM = { os: 'linux', architecture: 'amd64' }
const IMAGE: BaseImage = { ...PLATFORM, digest: 'sha256:base', config: { Env: ['PATH=/bin'] }, history: [] }

async function steps(dockerfile: string, options: PlanOptions = {}): Promise<Step[]> {
  return (await planBuild(dockerfile, { buildPlatform: 'linux/amd64', ...options }, async () => IMAGE)).target.steps
}

/** The key of the last step, when each source and mount has the digest given. */
async function key(dockerfile: string, options?: PlanOptions, content = 'c', parent = 'parent'): Promise<string> {
  const step = (await steps(dockerfile, options)).at(-1) as Step
  return stepKey(parent, step, {
    sources: step.kind === 'copy' ? step.sources.map(() => content) : [],
    mounts: step.kind === 'run' ? step.mounts.map(({ type }) => (type === 'bind' ? content : undefined)) : [],
  })
}

async function differ(...files: string[]): Promise<void> {
  const keys = await Promise.all(files.map((file) => key(`FROM x\n${file}`)))
  expect(new Set(keys).size).toBe(files.length)
}

async function agree(...files: string[]): Promise<void> {
  const keys = await Promise.all(files.map((file) => key(`FROM x\n${file}`)))
  expect(new Set(keys).size).toBe(1)
}

test('a base counts with its digest and its whole configuration (CVE-2024-24557)', () => {
  const of = (image: Partial<BaseImage>) =>
    baseKey({ kind: 'image', digest: image.digest ?? IMAGE.digest, image: { ...IMAGE, ...image }, platform: PLATFORM })
  const keys = [
    of({}),
    of({ digest: 'sha256:other' }),
    of({ config: { ...IMAGE.config, Healthcheck: { Test: ['CMD', 'x'] } } }),
    of({ config: { ...IMAGE.config, OnBuild: ['RUN x'] } }),
    of({ config: { ...IMAGE.config, Shell: ['x'] } }),
    baseKey({ kind: 'scratch', platform: PLATFORM }),
    baseKey({ kind: 'scratch', platform: { ...PLATFORM, architecture: 'arm64' } }),
    baseKey({ kind: 'content', digest: IMAGE.digest, platform: PLATFORM }),
  ]
  expect(new Set(keys).size).toBe(keys.length)
  expect(of({ config: { Env: ['PATH=/bin'] } })).toBe(of({}))
})

describe('a command', () => {
  test('depends on all that it runs with', () =>
    differ(
      'RUN a',
      'RUN b',
      'RUN ["a"]',
      'ENV A=1\nRUN a',
      'WORKDIR /w\nRUN a',
      'USER u\nRUN a',
      'SHELL ["/bin/other"]\nRUN a',
      'RUN --network=none a',
      'RUN --mount=type=tmpfs,target=/t a',
      'RUN --mount=type=cache,target=/t a',
      'RUN --mount=type=cache,target=/t,id=i a',
      'RUN --mount=type=secret,id=s a',
      'RUN --mount=type=secret,id=t a',
      'RUN --mount=target=/t a',
      'RUN --mount=target=/t,source=s a',
      'RUN <<EOF\n#!/bin/sh\na\nEOF',
    ))

  test('does not depend on what it cannot see', () =>
    agree('RUN a', 'LABEL l=1\nRUN a', '# comment\nRUN   a', 'EXPOSE 80\nCMD x\nRUN a'))

  test('depends on what was there before, and on what is mounted', async () => {
    const file = 'FROM x\nRUN --mount=target=/t a'
    expect(await key(file, {}, 'c', 'other')).not.toBe(await key(file))
    expect(await key(file, {}, 'other')).not.toBe(await key(file))
  })

  test('sees the value of an argument, and not that of a proxy', async () => {
    const file = 'FROM x\nARG A\nRUN a'
    expect(await key(file, { args: { A: '1' } })).not.toBe(await key(file, { args: { A: '2' } }))
    expect(await key(file, { args: { HTTP_PROXY: 'http://a' } })).toBe(
      await key(file, { args: { HTTP_PROXY: 'http://b' } }),
    )
    const [step] = await steps(file, { args: { HTTP_PROXY: 'http://a' } })
    expect(step).toMatchObject({ quietEnv: ['HTTP_PROXY=http://a', 'http_proxy=http://a'] })
  })
})

describe('a copy', () => {
  test('depends on where it goes and what becomes of it, and not on how its source is called', async () => {
    await differ(
      'COPY a /b',
      'COPY a /b/',
      'COPY --chown=1 a /b',
      'COPY --chmod=1 a /b',
      'COPY --link a /b',
      'ADD a /b',
      'COPY a c /b',
      'COPY <<a /b\nx\na\n',
      'COPY <<a /b\ny\na\n',
      'WORKDIR /w\nCOPY a b',
    )
    await agree('COPY a /b', 'COPY other /b')
  })

  test('depends on the content', async () => {
    expect(await key('FROM x\nCOPY a /b', {}, 'other')).not.toBe(await key('FROM x\nCOPY a /b'))
  })

  test('depends on what was there before, unless it is linked', async () => {
    expect(await key('FROM x\nCOPY a /b', {}, 'c', 'other')).not.toBe(await key('FROM x\nCOPY a /b'))
    expect(await key('FROM x\nCOPY --link a /b', {}, 'c', 'other')).toBe(await key('FROM x\nCOPY --link a /b'))
  })

  test('has no key without content', async () => {
    const [step] = await steps('FROM x\nCOPY a /b')
    expect(() => stepKey('parent', step as Step)).toThrow('no digest for a source')
    const [mounted] = await steps('FROM x\nRUN --mount=target=/t a')
    expect(() => stepKey('parent', mounted as Step)).toThrow('no digest for the mount at /t')
  })
})

test('content is names, bytes, modes and owners in any order', () => {
  const a: ContentItem = { to: '/a', type: 'file', mode: 0o644, uid: 0, gid: 0, digest: 'x' }
  const b: ContentItem = { ...a, to: '/b' }
  expect(contentDigest([a, b])).toBe(contentDigest([b, a]))
  const others = [a, { ...a, mode: 0o755 }, { ...a, uid: 1 }, { ...a, digest: 'y' }, { ...a, to: '/c' }]
  const link: ContentItem = { to: '/a', type: 'symlink', mode: 0o777, uid: 0, gid: 0, target: 'x' }
  const digests = [...others, link, { ...link, target: 'y' }].map((each) => contentDigest([each]))
  expect(new Set(digests).size).toBe(digests.length)
})

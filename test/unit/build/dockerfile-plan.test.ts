/** Stages among each other, arguments, contexts, triggers, and what is refused there. */

import { BuildPlanner, type PlanOptions, planBuild, type WantedImage } from '../../../lib/build/dockerfile/plan.js'
import type { BaseImage } from '../../../lib/build/dockerfile/plan-types.js'
import { CaissonError } from '../../../lib/errors.js'

const BASE: BaseImage = {
  os: 'linux',
  architecture: 'amd64',
  digest: 'sha256:base',
  config: { Env: ['PATH=/bin', 'A=base'], WorkingDir: '/srv', User: 'nobody', Cmd: ['base'] },
  history: [{ created_by: 'base' }],
}

function plan(dockerfile: string, options: PlanOptions = {}, image: Partial<BaseImage> | null = {}) {
  const wanted: WantedImage[] = []
  const built = planBuild(dockerfile, { buildPlatform: 'linux/amd64', ...options }, async (each) => {
    wanted.push(each)
    return image === null ? undefined : { ...BASE, ...image }
  })
  return built.then((result) => ({ ...result, wanted: wanted.map(({ kind, name }) => `${kind} ${name}`) }))
}

const refused = (dockerfile: string, message: string, options?: PlanOptions, image?: Partial<BaseImage>) =>
  expect(plan(dockerfile, options, image)).rejects.toMatchObject({
    message: expect.stringContaining(message),
    hint: expect.stringMatching(/./),
  })

describe('stages', () => {
  test('only what the target needs is planned, and asked for', async () => {
    const file = 'FROM a AS one\nFROM b AS two\nFROM c AS three\nCOPY --from=one /x /x\nFROM d AS four'
    const { stages, target, wanted } = await plan(file, { target: 'THREE' })
    expect(stages.map(({ name }) => name)).toEqual(['one', 'three'])
    expect(target.name).toBe('three')
    expect(wanted.sort()).toEqual(['image docker.io/library/a:latest', 'image docker.io/library/c:latest'])
    expect((await plan(file, { target: '1' })).target.name).toBe('two')
    expect((await plan(file)).stages.map(({ name }) => name)).toEqual(['four'])
  })

  test('--from is a stage by name or index, an image, or a context of the caller', async () => {
    const file =
      'FROM scratch AS a\nFROM scratch\nCOPY --from=a /1 /\nCOPY --from=0 /2 /\nCOPY --from=img:1 /3 /\nCOPY --from=ctx /4 /'
    const { target } = await plan(file, { contexts: ['ctx'] })
    expect(target.steps.map((step) => step.kind === 'copy' && step.from)).toMatchObject([
      { kind: 'stage', stage: 0 },
      { kind: 'stage', stage: 0 },
      { kind: 'image', name: 'docker.io/library/img:1' },
      { kind: 'named', name: 'ctx' },
    ])
  })

  test('a context stands for a base image or for a stage of its name', async () => {
    const { target, wanted } = await plan('FROM docker.io/library/debian\nRUN x', { contexts: ['debian'] }, null)
    expect([target.base, wanted]).toEqual([{ kind: 'named', name: 'debian' }, ['named debian']])
    const { stages } = await plan('FROM a AS tools\nRUN x\nFROM b\nCOPY --from=tools / /', { contexts: ['tools'] })
    expect(stages[0]).toMatchObject({ base: { kind: 'named', name: 'tools' }, steps: [] })
  })

  test('circles and what comes later are refused', async () => {
    await refused('FROM x AS a\nCOPY --from=a . .', 'circular dependency detected on stage: a')
    await refused('FROM x AS a\nCOPY --from=b . .\nFROM a AS b', 'circular dependency detected on stage: a')
    await refused('FROM x AS a\nRUN --mount=from=b,target=/t y\nFROM x AS b\nCOPY --from=a . .', 'circular dependency')
    await refused('FROM x AS a\nCOPY --from=b . .\nFROM y AS b', 'it needs to be defined before current stage "a"', {
      target: 'a',
    })
    await refused('FROM x\nCOPY --from=3 . .', 'invalid stage index 3')
    await refused('FROM x\nCOPY --from=-1 . .', 'invalid stage index -1')
    await refused('FROM x AS build', 'target stage "biuld" could not be found (did you mean build?)', {
      target: 'biuld',
    })
    await refused('FROM Upper/Case', 'failed to parse stage name "Upper/Case": invalid reference format')
    await refused('ARG a', 'dockerfile contains no stages to build')
    await refused('RUN x', 'no build stage in current context')
  })

  test('triggers come first, once, and may need other images and stages', async () => {
    const triggers = { config: { ...BASE.config, OnBuild: ['COPY --from=other /x /', 'ENV T=$A'] } }
    const { target, wanted } = await plan('FROM scratch AS other\nFROM base AS a\nRUN x\nFROM a', {}, triggers)
    expect(target.image.history.map(({ created_by }) => created_by)).toEqual([
      'base',
      'COPY /x / # buildkit',
      'ENV T=base',
      'RUN /bin/sh -c x # buildkit',
    ])
    expect(wanted).toEqual(['image docker.io/library/base:latest'])
    expect(target.image.config.OnBuild).toBeUndefined()
    const chain = await plan('FROM scratch AS a\nONBUILD ENV X=1\nFROM a AS b\nONBUILD ENV Y=2\nFROM b AS c\nFROM c')
    expect(chain.target.image.config.Env).toEqual([expect.stringMatching(/^PATH=/), 'X=1', 'Y=2'])
    await refused('FROM x', 'unknown instruction: RUM (did you mean RUN?)', {}, { config: { OnBuild: ['RUM x'] } })
    await refused('FROM x', "FROM isn't allowed as an ONBUILD trigger", {}, { config: { OnBuild: ['FROM x'] } })
    await refused('FROM x', 'should be a single expression', {}, { config: { OnBuild: ['RUN x\nRUN y'] } })
  })
})

describe('arguments', () => {
  const env = async (file: string, options?: PlanOptions) => {
    const { target } = await plan(`${file}\nRUN x`, options)
    const step = target.steps.at(-1)
    return step?.kind === 'run' ? Object.fromEntries(step.env.map((text) => text.split('='))) : {}
  }

  test('a global one is seen in FROM, and in a stage that declares it', async () => {
    expect(await env('ARG V=1\nFROM x:$V')).not.toHaveProperty('V')
    expect(await env('ARG V=1\nFROM x:$V\nARG V')).toMatchObject({ V: '1' })
    expect(await env('ARG V=1\nFROM x\nARG V=2')).toMatchObject({ V: '2' })
    expect(await env('ARG V=1\nFROM x\nARG V=2', { args: { V: '3' } })).toMatchObject({ V: '3' })
    expect((await plan('ARG V=1\nARG W=$V-2\nFROM x:${W}')).target.base).toMatchObject({
      name: 'docker.io/library/x:1-2',
    })
  })

  test('those of a stage hold below it', async () => {
    expect(await env('FROM x AS a\nARG V=1\nFROM a')).toMatchObject({ V: '1' })
    expect(await env('FROM x AS a\nARG V=1\nFROM x')).not.toHaveProperty('V')
  })

  test('ENV wins over ARG once it comes later, and sees what was before its own line', async () => {
    expect(await env('FROM x\nARG A=1\nENV A=2')).toMatchObject({ A: '2' })
    expect(await env('FROM x\nENV A=1 B=$A')).toMatchObject({ A: '1', B: 'base' })
  })

  test('platforms are predefined', async () => {
    const file = 'FROM --platform=$BUILDPLATFORM x\nARG TARGETPLATFORM\nARG TARGETARCH\nARG TARGETVARIANT\nARG BUILDOS'
    const { target } = await plan(file, { platform: 'linux/arm/v7' })
    expect(await env(file, { platform: 'linux/arm/v7' })).toMatchObject({
      TARGETPLATFORM: 'linux/arm/v7',
      TARGETARCH: 'arm',
      TARGETVARIANT: 'v7',
      BUILDOS: 'linux',
    })
    expect(target.base).toMatchObject({ platform: { os: 'linux', architecture: 'amd64' } })
    expect(target.image).toMatchObject({ os: 'linux', architecture: 'arm', variant: 'v7' })
  })

  test('those that nobody asked for are told', async () => {
    const args = { USED: '1', UNUSED: '2', https_proxy: '3', TARGETARCH: 'x' }
    const unused = async (file: string, given: Record<string, string>) =>
      (await plan(file, { args: given })).unusedArgs.map(({ name }) => name)
    expect(await unused('FROM x\nARG USED', args)).toEqual(['UNUSED'])
    expect(await unused('ARG A\nFROM x\nARG B', { A: '1', B: '2', SOURCE_DATE_EPOCH: '3' })).toEqual([])
    expect(await unused('FROM x AS other\nARG A\nFROM x', { A: '1' })).toEqual(['A'])
    const { unusedArgs } = await plan('FROM x\nARG VERSION', { args: { VERSON: '1' } })
    expect(unusedArgs[0]?.message).toMatch(/VERSON is not used.*did you mean VERSION/)
  })

  test('SOURCE_DATE_EPOCH dates the history', async () => {
    const { epoch, target } = await plan('FROM x\nENV A=1', { args: { SOURCE_DATE_EPOCH: '1700000000' } })
    expect([epoch, target.image.history.at(-1)?.created]).toEqual([1700000000, '2023-11-14T22:13:20Z'])
    await refused('FROM x', 'invalid SOURCE_DATE_EPOCH: now', { args: { SOURCE_DATE_EPOCH: 'now' } })
  })
})

describe('configuration', () => {
  const config = async (lines: string) => (await plan(`FROM x\n${lines}`)).target.image.config

  test('ENTRYPOINT drops the command of the base, not that of its own stage', async () => {
    expect((await config('ENTRYPOINT ["e"]')).Cmd).toBeUndefined()
    expect(await config('CMD ["c"]\nENTRYPOINT ["e"]')).toMatchObject({ Cmd: ['c'], Entrypoint: ['e'] })
    expect(await config('ENTRYPOINT []')).not.toHaveProperty('Entrypoint', expect.anything())
    expect(await config('SHELL ["/b", "-x"]\nCMD a b')).toMatchObject({ Cmd: ['/b', '-x', 'a b'] })
  })

  test('ENV is replaced in its place; labels, ports and volumes add up', async () => {
    expect((await config('ENV PATH=/x B=1\nENV A=2')).Env).toEqual(['PATH=/x', 'A=2', 'B=1'])
    const { Labels, ExposedPorts, Volumes } = await config(
      'LABEL a=1 "b c"=2\nLABEL a=3 __proto__=4\nEXPOSE 80 53/UDP 8000-8002\nVOLUME /a /b\nVOLUME ["/b", "/c d"]',
    )
    expect(Object.entries(Labels ?? {})).toEqual([
      ['a', '3'],
      ['b c', '2'],
      ['__proto__', '4'],
    ])
    expect(Object.keys(ExposedPorts ?? {})).toEqual(['53/udp', '80/tcp', '8000/tcp', '8001/tcp', '8002/tcp'])
    expect(Object.keys(Volumes ?? {})).toEqual(['/a', '/b', '/c d'])
  })

  test('WORKDIR is relative to the one before', async () => {
    expect((await config('WORKDIR a\nWORKDIR b/../c')).WorkingDir).toBe('/srv/a/c')
    expect((await config('ENV D=/x\nWORKDIR $D/y')).WorkingDir).toBe('/x/y')
  })

  test('labels of the caller are put on top', async () => {
    const { target } = await plan('FROM x\nLABEL a=1', { labels: { a: '2', b: '3' } })
    expect([target.image.config.Labels, target.image.history.at(-1)?.created_by]).toEqual([
      { a: '2', b: '3' },
      'LABEL a=1',
    ])
  })

  test('what is wrong is refused', async () => {
    await refused('FROM x\nEXPOSE 80/http', 'invalid proto: http')
    await refused('FROM x\nEXPOSE 70000', 'invalid containerPort: 70000')
    await refused('FROM x\nSTOPSIGNAL SIGFOO', 'invalid signal: SIGFOO')
    await refused('FROM x\nRUN --mount=type=secret x', 'one of source, target required')
    await refused('FROM x\nRUN --mount=type=ssh,source=a x', 'ssh does not support source')
    await refused('FROM x\nRUN --mount=target=/ x', 'invalid mount target "/"')
    await refused('FROM x\nRUN --mount=type=bind,mode=1 x', 'mode not allowed for "bind" type mounts')
    await refused('FROM x\nADD --checksum=sha256:x https://h/f /', 'invalid checksum digest format')
    await refused('FROM x\nCOPY git@host:path /', "source can't be a git ref for COPY")
    await refused('FROM x\nENV A="${B:?no B}"', 'B: no B')
  })

  test('more than the protections of a container is refused', async () => {
    for (const flag of ['--security=insecure', '--network=host', '--device=a/b=c'])
      await expect(plan(`FROM x\nRUN ${flag} y`)).rejects.toMatchObject({
        code: 'ERR_CAISSON_UNSUPPORTED',
        location: { line: 2 },
      })
  })
})

test('mounts, with all of their options', async () => {
  const { target } = await plan(
    [
      'FROM scratch AS s',
      'FROM x',
      'RUN --mount=type=bind,from=s,source=a,target=rel,rw --mount=type=cache,target=/c,sharing=locked,uid=1,gid=2,mode=0700 \\',
      '  --mount=type=tmpfs,target=/t,size=1m --mount=type=secret,id=k,env=K --mount=type=secret,id=f,required,uid=5 \\',
      '  --mount=type=ssh --mount=type=ssh,id=o,target=/o y',
    ].join('\n'),
  )
  expect(target.steps[0]).toMatchObject({
    env: ['PATH=/bin', 'A=base', 'SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0'],
    mounts: [
      {
        type: 'cache',
        id: '/c',
        sharing: 'locked',
        source: { kind: 'scratch' },
        target: '/c',
        uid: 1,
        gid: 2,
        mode: 0o700,
      },
      { type: 'bind', source: { kind: 'stage', stage: 0 }, path: '/a', target: '/srv/rel', readOnly: false },
      { type: 'tmpfs', target: '/t', size: 1048576 },
      { type: 'secret', id: 'k', env: 'K', required: false },
      { type: 'secret', id: 'f', target: '/run/secrets/f', required: true, uid: 5 },
      { type: 'ssh', id: 'default', target: '/run/buildkit/ssh_agent.0' },
      { type: 'ssh', id: 'o', target: '/o' },
    ],
  })
  expect(target.steps[0]).not.toHaveProperty('mounts.3.target')
})

test('sources of ADD', async () => {
  const { target } = await plan(
    'FROM x\nADD https://h.org/d/f.tgz?x=1 git@h.org:a/b.git#main:sub https://h.org/r.git?tag=v1&keep-git-dir=1 a.tar /d/',
  )
  expect(target.steps[0]).toMatchObject({
    destination: '/d/',
    sources: [
      { kind: 'http', fileName: 'f.tgz', unpack: false },
      { kind: 'git', remote: 'git@h.org:a/b.git', ref: 'main', subdirectory: 'sub', keepGitDir: false },
      { kind: 'git', remote: 'https://h.org/r.git', ref: 'refs/tags/v1', keepGitDir: true },
      { kind: 'path', path: '/a.tar', unpack: true, required: true },
    ],
  })
})

test('what the resolver throws comes out, and what it does not know is asked once', async () => {
  const planner = new BuildPlanner('FROM x\nRUN y', { buildPlatform: 'linux/amd64' })
  const [wanted, ...others] = planner.wanted()
  expect(others).toEqual([])
  planner.supply(wanted as WantedImage, BASE)
  expect(planner.wanted()).toEqual([])
  expect(planner.finish().target.baseDigest).toBe('sha256:base')
  const failing = planBuild('FROM x', {}, () => Promise.reject(new Error('offline')))
  await expect(failing).rejects.toThrow('offline')
  const missing = () => Promise.reject(new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', 'no such image'))
  await expect(planBuild('FROM scratch AS build\nFROM biuld', {}, missing)).rejects.toThrow(
    'Dockerfile:2:1: no such image (did you mean build?)',
  )
})

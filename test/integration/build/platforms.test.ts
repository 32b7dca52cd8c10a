/** Builds for several platforms: an index, as others read it in the store, in archives and in a registry. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type BuildOptions, Image } from '../../../lib/index.js'
import { boxForTests, build, contextOf, failure, inside, storeBox } from '../../support/build.js'
import { noBusybox } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, noSkopeo, startRegistry } from '../../support/docker-registry.js'
import { testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

boxForTests()
const store = process.env.CAISSON_ROOT
afterEach(() => {
  process.env.CAISSON_ROOT = store
})
const withBusybox = testIf(noBusybox)
const withSkopeo = testIf(noBusybox || noSkopeo)
const withRegistry = testIf(noBusybox || noSkopeo || noRegistry)

const withoutEmulator = testIf(existsSync('/proc/sys/fs/binfmt_misc/qemu-s390x') && 'an emulator is registered')

const OWN = process.arch === 'arm64' ? 'arm64' : 'amd64'
/** Other processors than those of this machine. */
const OTHER = 's390x'
const BOTH = [`linux/${OWN}`, `linux/${OTHER}`]
/** Of an ELF file for them, as much as a kernel looks at. */
const FOREIGN_PROGRAM = Buffer.concat([
  Buffer.from('7f454c46020201000000000000000000000200160000000100000000', 'hex'),
  Buffer.alloc(100),
])

const TEXT = `FROM --platform=$BUILDPLATFORM box:1 AS made
ARG TARGETARCH
RUN echo made for $TARGETARCH > /made
FROM scratch
COPY --from=made /made /made
COPY --from=made /bin /bin
LABEL for=several
`

const ALONE = 'FROM scratch\nCOPY <<END /file\ntext\nEND\n'
const text = (from: string) => ({ dockerfile: { text: from }, network: 'none' as const })
const skopeo = (...words: string[]) => execFileSync('skopeo', words, { encoding: 'utf8' })
const raw = (...words: string[]) => JSON.parse(skopeo('inspect', '--raw', ...words))
const platformsIn = (index: { manifests: Array<{ platform: { architecture: string } }> }) =>
  index.manifests.map(({ platform }) => platform)
const EXPECTED = [
  { architecture: OWN, os: 'linux' },
  { architecture: OTHER, os: 'linux' },
]

withBusybox('make an index, whose image for this machine runs', async () => {
  const { image, steps } = await build(TEXT, { platform: BOTH, tag: 'several:1' })
  expect(await inside(image, 'cat /made')).toBe(`made for ${OWN}\n`)
  expect(steps.filter((step) => step.startsWith('RUN')).length).toBe(2)
  const other = await Image.get('several:1', { platform: `linux/${OTHER}` })
  expect(other.digest).toBe(image.digest)
  expect(other.id).not.toBe(image.id)
  expect((await other.inspect()).platform).toBe(BOTH[1])
  // The same again is the same index, also where the list is one text.
  const again = await build(TEXT, { platform: BOTH.join(','), tag: 'several:2' })
  expect(again.image.digest).toBe(image.digest)
  expect(again.steps.every((step) => step.endsWith(': cached'))).toBe(true)
})

withBusybox('tell of the steps of each platform, counted together', async () => {
  const { events } = await build(TEXT, { platform: BOTH, noCache: true })
  const begun = events.flatMap((event) => (event.type === 'step' && event.status === 'started' ? [event] : []))
  expect(begun.map(({ step }) => step)).toEqual(begun.map((_, index) => index + 1))
  for (const platform of BOTH) expect(begun.filter(({ stage }) => stage.startsWith(`${platform} `)).length).toBe(3)
})

withBusybox('have the same secrets, which are read once', async () => {
  const file = path.join(scratch(), 'secret')
  execFileSync('mkfifo', [file])
  const writer = spawn('sh', ['-c', 'echo hidden > "$1"', 'sh', file])
  const run = 'ARG TARGETARCH\nRUN --mount=type=secret,id=s echo $TARGETARCH; test "$(cat /run/secrets/s)" = hidden'
  const from = `FROM --platform=$BUILDPLATFORM box:1 AS made\n${run}\nRUN touch /made\n`
  try {
    const { steps } = await build(`${from}FROM scratch\nCOPY --from=made /made /made\n`, {
      platform: BOTH,
      secrets: { s: { file } },
      noCache: true,
    })
    expect(steps.filter((step) => step.startsWith('RUN --mount')).length).toBe(2)
  } finally {
    writer.kill()
  }
})

withSkopeo('write an archive with the index, and the store has it', async () => {
  const dest = path.join(scratch(), 'several.tar')
  const { image } = await build(TEXT, { platform: BOTH, tag: 'several:3', output: { type: 'oci', dest } })
  expect(platformsIn(raw(`oci-archive:${dest}`))).toEqual(EXPECTED)
  expect(platformsIn(raw(`oci:${process.env.CAISSON_ROOT}:docker.io/library/several:3`))).toEqual(EXPECTED)
  const config = JSON.parse(skopeo('inspect', '--config', '--override-arch', OTHER, `oci-archive:${dest}`))
  expect(config).toMatchObject({ architecture: OTHER, config: { Labels: { for: 'several' } } })
  process.env.CAISSON_ROOT = scratch()
  expect((await Image.load(dest)).digest).toBe(image.digest)
  expect((await Image.get('several:3', { platform: BOTH[1] })).digest).toBe(image.digest)
})

describe('pushed', () => {
  let registry: DockerRegistry
  beforeAll(async () => {
    if (!noRegistry) registry = await startRegistry()
  })
  afterAll(() => registry?.[Symbol.asyncDispose]())

  withRegistry('are an index in the registry, with compressed layers, that others pull', async () => {
    process.env.CAISSON_ROOT = scratch()
    await storeBox()
    const tag = `${registry.host}/several:1`
    const { image, events } = await build(TEXT, { platform: BOTH, tag, push: true })
    const index = raw('--tls-verify=false', `docker://${tag}`)
    expect(platformsIn(index)).toEqual(EXPECTED)
    expect(events).toContainEqual({ type: 'pushed', image: tag, digest: image.digest })
    const { digest } = index.manifests[1]
    const manifest = raw('--tls-verify=false', `docker://${registry.host}/several@${digest}`)
    expect(manifest.layers[0].mediaType).toMatch(/gzip$/)
    process.env.CAISSON_ROOT = scratch()
    const pulled = await Image.pull(tag, { platform: BOTH[1] })
    expect(pulled.digest).toBe(image.digest)
    expect((await pulled.inspect()).platform).toBe(BOTH[1])
  })
})

describe('are refused', () => {
  const refused = async (options: BuildOptions) => failure(Image.build({ ...text(TEXT), ...options }))

  withBusybox('with what takes one image alone, before anything is built', async () => {
    const dest = scratch()
    for (const type of ['local', 'tar', 'docker'] as const)
      expect(await refused({ platform: BOTH, output: { type, dest } })).toMatchObject({
        code: 'ERR_CAISSON_UNSUPPORTED',
        message: expect.stringContaining(type),
      })
  })

  withBusybox('with gaps, with what is no platform, and with two that come to one image', async () => {
    for (const platform of ['linux/amd64,', [], ['linux/amd64', ' ']])
      expect(await refused({ platform })).toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
    expect((await refused({ platform: ['linux/amd64', 'a/b/c/d'] })).message).toContain('platform')
    expect(await refused({ platform: ['linux/amd64', 'linux/x86_64'], ...text(ALONE) })).toMatchObject({
      code: 'ERR_CAISSON_DOCKERFILE',
    })
  })

  withoutEmulator('where a command is for other processors and there is no emulator', async () => {
    const context = contextOf({ empty: '' })
    writeFileSync(path.join(context, 'program'), FOREIGN_PROGRAM, { mode: 0o755 })
    const foreign = 'FROM scratch\nCOPY --chmod=755 program /bin/sh\nRUN anything\n'
    const error = await failure(Image.build({ ...text(foreign), context, platform: `linux/${OTHER}` }))
    expect(error).toMatchObject({ code: 'ERR_CAISSON_UNSUPPORTED', location: { line: 3 } })
    expect(error.message).toContain(`linux/${OTHER}`)
    expect(error.hint).toMatch(/binfmt_misc.*qemu/)
  })

  withBusybox('where a command says by itself that it cannot execute something, with what it said', async () => {
    const from = `FROM --platform=$BUILDPLATFORM box:1 AS made\nFROM scratch\nCOPY --from=made /bin /bin\n`
    const error = await failure(
      Image.build({ ...text(`${from}RUN echo no such thing; exit 126\n`), platform: `linux/${OTHER}` }),
    )
    expect(error).toMatchObject({ code: 'ERR_CAISSON_COMMAND_FAILED', location: { line: 4 } })
    expect(error.message).toContain('exit code: 126\nno such thing')
  })
})

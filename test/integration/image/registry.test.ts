/** Images by name, with a real registry behind it. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type CaissonError, Image, run, type TransferEvent, verifyStore } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { busyboxImage, noBusybox, tar } from '../../support/busybox-image.js'
import { caisson } from '../../support/command.js'
import { type DockerRegistry, noRegistry, noSkopeo, startRegistry } from '../../support/docker-registry.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const missing = noBusybox || noRegistry
const withRegistry = testIf(missing)
const withSkopeo = testIf(missing || noSkopeo)

let registry: DockerRegistry
const name = (tag = '1') => `${registry.host}/team/box:${tag}`

async function pushed(tag = '1', greeting = 'hello'): Promise<Image> {
  const image = busyboxImage({}, tar({ name: 'greeting', data: greeting }))
  await storeImage((await imageRoots()).store, image, name(tag))
  const stored = await Image.get(name(tag))
  await stored.push()
  return stored
}
const forget = async () => {
  for (const image of await Image.list()) await image.remove({ force: true })
}

beforeAll(async () => {
  if (!missing) registry = await startRegistry()
})
afterEach(forget)
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

withRegistry('an image that was pushed is pulled when it is run, and unpacked once', async () => {
  const image = await pushed()
  await forget()
  expect((await run(name(), ['cat', '/greeting'])).stdout).toBe('hello')
  const events: TransferEvent[] = []
  const again = await Image.pull(name(), { onProgress: (event) => events.push(event) })
  expect([again.id, again.digest, again.tags]).toEqual([image.id, image.digest, [name()]])
  expect(new Set(events.filter(({ kind }) => kind === 'layer').map(({ id }) => id)).size).toBe(2)
  expect(events.at(-1)).toMatchObject({ status: 'exists' })
  expect((await verifyStore()).ok).toBe(true)
})

withRegistry('progress goes from waiting to done for every layer', async () => {
  await pushed('progress', `${Math.random()}`)
  await forget()
  const statuses = new Map<string, string[]>()
  await Image.pull(name('progress'), {
    onProgress: ({ id, status }) => statuses.set(id, [...(statuses.get(id) ?? []), status]),
  })
  for (const list of statuses.values()) {
    expect(list[0]).toBe('waiting')
    expect(list.at(-1)).toBe('done')
  }
  expect([...statuses.values()].flat()).toContain('extracting')
})

withRegistry('pull: always asks the registry what the name means now, missing does not', async () => {
  await pushed('moves', 'old')
  await forget()
  const greeting = async (pull: 'always' | 'missing' | 'never') =>
    (await run(name('moves'), ['cat', '/greeting'], { pull })).stdout
  expect(await greeting('missing')).toBe('old')
  const newer = await pushed('moves', 'new')
  await newer.remove({ force: true })
  await Image.prune({ all: true })
  expect(await greeting('missing')).toBe('new')
  await pushed('moves', 'newest')
  await (await Image.get(name('moves'))).remove()
  expect(await greeting('always')).toBe('newest')
  expect(await greeting('never')).toBe('newest')
})

withRegistry('what the registry does not have is not found, and leaves nothing', async () => {
  const code = (ref: string) => Image.pull(ref).then(undefined, (error: CaissonError) => error.code)
  expect(await code(`${registry.host}/team/box:none`)).toBe('ERR_CAISSON_IMAGE_NOT_FOUND')
  expect(await code('127.0.0.1:1/team/box')).toBe('ERR_CAISSON_REGISTRY_UNREACHABLE')
  expect(await code('Not A Name')).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  expect(await Image.list()).toEqual([])
})

withRegistry('a pull that is aborted, at whatever moment, leaves a store that verifies', async () => {
  await pushed('aborted', 'x'.repeat(1000))
  await forget()
  for (const delay of [0, 1, 3, 6, 10, 20, 40]) {
    const signal = AbortSignal.timeout(delay)
    const outcome = await Image.pull(name('aborted'), { signal }).then(
      () => 'pulled',
      (error: CaissonError) => error.code,
    )
    expect(['pulled', 'ERR_CAISSON_ABORTED']).toContain(outcome)
    expect((await verifyStore()).problems).toEqual([])
    if (outcome === 'pulled') await forget()
  }
  expect((await run(name('aborted'), ['cat', '/greeting'])).stdout).toHaveLength(1000)
})

withRegistry('connections that are kept keep no process alive', async () => {
  await pushed('ends', 'ends')
  const library = path.resolve('dist/index.js')
  const program = `const { Image } = await import(${JSON.stringify(library)}); await Image.pull(${JSON.stringify(name('ends'))})`
  execFileSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 10_000 })
})

withRegistry('many pulls of one image at once fetch it once', async () => {
  await pushed('many', 'many')
  await forget()
  const statuses: string[] = []
  const pull = () => Image.pull(name('many'), { onProgress: ({ status }) => statuses.push(status) })
  const images = await Promise.all(Array.from({ length: 8 }, pull))
  expect(new Set(images.map(({ id }) => id)).size).toBe(1)
  expect((await verifyStore()).ok).toBe(true)
})

withSkopeo('skopeo reads what was pushed, and what it pushes is run', async () => {
  const image = await pushed('skopeo', 'from skopeo')
  const skopeo = (...args: string[]) => execFileSync('skopeo', ['--insecure-policy', ...args], { encoding: 'utf8' })
  const plain = ['--src-tls-verify=false', '--dest-tls-verify=false']
  const inspected = JSON.parse(skopeo('inspect', '--tls-verify=false', `docker://${name('skopeo')}`))
  expect(inspected.Digest).toBe(image.digest)
  for (const format of ['oci', 'v2s2']) {
    skopeo('copy', ...plain, '-f', format, `docker://${name('skopeo')}`, `docker://${name(format)}`)
    await forget()
    expect([format, (await run(name(format), ['cat', '/greeting'])).stdout]).toEqual([format, 'from skopeo'])
  }
})

for (const program of ['podman', 'buildah'] as const) {
  const withProgram = testIf(
    missing ||
      (!findProgram(program) && `no ${program} (apt: ${program})`) ||
      (!isRoot && `${program} needs a login session of an ordinary user`),
  )
  withProgram(`${program} pulls what was pushed, and what it pushes is run`, async () => {
    const image = await pushed(program, `by ${program}`)
    const places = ['--root', path.join(root, program), '--runroot', path.join(root, `${program}-run`)]
    const call = (command: string, ...args: string[]) =>
      execFileSync(program, [...places, '--storage-driver', 'vfs', command, ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    expect(call('pull', '-q', '--tls-verify=false', name(program)).trim()).toBe(image.id.slice(7))
    for (const format of ['oci', 'v2s2']) {
      const to = name(`${program}-${format}`)
      call('push', '-q', '--tls-verify=false', '--format', format, name(program), `docker://${to}`)
      await forget()
      const { stdout } = await run(to, ['cat', '/greeting'])
      expect([format, stdout, (await Image.get(to)).id]).toEqual([format, `by ${program}`, image.id])
    }
    call('rmi', '-a', '-f')
  })
}

withRegistry('what another repository of the registry has is mounted there, and not sent again', async () => {
  const image = await pushed('mount', 'mounted')
  const statuses: string[] = []
  await image.push(`${registry.host}/other/box:1`, { onProgress: ({ status }) => statuses.push(status) })
  expect(statuses.filter((status) => status === 'mounted')).toHaveLength(3)
  expect(statuses).not.toContain('uploading')
  await forget()
  expect((await run(`${registry.host}/other/box:1`, ['cat', '/greeting'])).stdout).toBe('mounted')
})

withRegistry('all images of a repository are pulled by their tags', async () => {
  for (const tag of ['1', '2', 'latest']) {
    const image = busyboxImage({ Labels: { tag } })
    await storeImage((await imageRoots()).store, image, `${registry.host}/all/box:${tag}`)
    await (await Image.get(`${registry.host}/all/box:${tag}`)).push()
  }
  await forget()
  const images = await Image.pullAll(`${registry.host}/all/box`)
  expect(images.map(({ config, tags }) => [config.Labels?.tag, tags]).sort()).toEqual(
    ['1', '2', 'latest'].map((tag) => [tag, [`${registry.host}/all/box:${tag}`]]),
  )
  const code = (work: Promise<unknown>) => work.then(undefined, (error: CaissonError) => error.code)
  expect(await code(Image.pullAll(`${registry.host}/all/box:1`))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  expect(await code(Image.pullAll(`${registry.host}/all/none`))).toBe('ERR_CAISSON_IMAGE_NOT_FOUND')
  await forget()
  expect(caisson(['pull', '-a', '-q', `${registry.host}/all/box`]).stdout.split('\n')).toHaveLength(4)
  expect(await Image.list()).toHaveLength(3)
})

withRegistry('a large image takes little memory: its bytes only pass', async () => {
  const directory = path.join(root, 'large-root')
  mkdirSync(directory)
  for (let i = 0; i < 3; i++) writeFileSync(path.join(directory, `${i}`), randomBytes(32 << 20))
  await (await Image.fromRootfs(directory)).tag(name('large'))
  await (await Image.get(name('large'))).push()
  await pushed('small')
  await forget()
  const program = path.resolve('test/support/large-pull.mjs')
  const args = [program, path.resolve('dist/index.js'), name('large'), name('small')]
  const env = { ...process.env, CAISSON_ROOT: path.join(root, 'large') }
  const kilobytes = Number(execFileSync(process.execPath, args, { encoding: 'utf8', env }))
  expect(kilobytes).toBeGreaterThanOrEqual(0)
  expect(kilobytes).toBeLessThan(64 * 1024)
})

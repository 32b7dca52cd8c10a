/** The store among processes that die, disks that are full, and other programs. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { Store } from '../../../lib/store/store.js'
import { member } from '../../support/archive.js'
import { bundleProgram } from '../../support/bundle.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { makeImage, storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

const asRoot = testIf(!isRoot && 'only root may mount')
const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  removeScratch()
})

function end(): Buffer {
  return Buffer.alloc(1024)
}

async function load(script: string, directory: string, seed: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [script, directory, String(seed)], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let said = ''
  child.stderr?.on('data', (data) => {
    said += data
  })
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve())
    child.once('exit', () => reject(new Error(said)))
  })
  Object.assign(child, { said: () => said })
  return child
}

const ended = (child: ChildProcess) => new Promise<void>((resolve) => child.once('exit', () => resolve()))
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

test('killed at any instant, alone or beside another, the store verifies and is emptied', async () => {
  const script = bundleProgram('store-load')
  const directory = scratch()
  const steady = await load(script, directory, 3)
  for (let round = 0; round < 12; round++) {
    const child = await load(script, directory, round)
    await sleep(Math.random() * 150)
    const gone = ended(child)
    child.kill('SIGKILL')
    await gone
    const store = await Store.open(directory)
    expect((await store.verify()).problems).toEqual([])
  }
  expect(steady.exitCode).toBeNull()
  const gone = ended(steady)
  steady.kill('SIGKILL')
  await gone
  const store = await Store.open(directory)
  expect(await store.verify()).toMatchObject({ ok: true, problems: [] })
  for (const { name, descriptor } of await store.refs.list())
    if (name) await store.refs.delete(name)
    else await store.refs.deleteImage(descriptor.digest)
  await store.collect({ partialAge: 0 })
  expect((await store.usage()).blobs.count).toBe(0)
  for (const inner of ['leases', 'trash']) expect(readdirSync(path.join(directory, 'store', inner))).toEqual([])
}, 60_000)

test('pulls in three processes survive the collections in each other', async () => {
  const script = bundleProgram('store-load')
  const directory = scratch()
  const running = await Promise.all([1, 2, 3].map((seed) => load(script, directory, seed)))
  await sleep(3000)
  for (const child of running) {
    // It fails when a blob that it leased is not there.
    expect([child.exitCode, (child as unknown as { said: () => string }).said()]).toEqual([null, ''])
    child.kill('SIGKILL')
    await ended(child)
  }
  expect((await (await Store.open(directory)).verify()).problems).toEqual([])
}, 60_000)

test('a full disk at any point is an error that says so, and nothing is half visible', () => {
  const script = bundleProgram('store-full')
  const directory = scratch()
  const place = path.join(directory, 'disk')
  mkdirSync(place)
  const seen = new Set<string>()
  for (let pages = 1; pages < 60; pages += 2) {
    const size = `size=${pages * 4}k`
    const shell = `mount -t tmpfs -o ${size} tmpfs "$1" && exec "$2" "$3" "$1"`
    const output = execFileSync(
      'unshare',
      [isRoot ? '-m' : '-rm', 'sh', '-c', shell, 'sh', place, process.execPath, script],
      {
        encoding: 'utf8',
      },
    )
    const { code, hint, verified } = JSON.parse(output)
    seen.add(code)
    if (code === 'stored') {
      expect(verified).toMatchObject({ ok: true, images: 1, collected: 0, left: 5 })
    } else {
      expect([code, hint]).toEqual(['ERR_CAISSON_RESOURCE_EXHAUSTED', expect.stringMatching(/disk is full/)])
      // Not even the store itself fitted.
      if (typeof verified === 'string') expect(verified).toBe('ERR_CAISSON_RESOURCE_EXHAUSTED')
      else expect(verified).toMatchObject({ ok: true, images: 0, problems: [], left: 0 })
    }
  }
  expect([...seen].sort()).toEqual(['ERR_CAISSON_RESOURCE_EXHAUSTED', 'stored'])
}, 120_000)

const NAME = 'docker.io/library/made:1.0'

async function layoutWithImage() {
  const store = await Store.open(path.join(scratch(), 'store'))
  const archives = [
    Buffer.concat([
      member({ name: 'etc/', type: '5', mode: 0o755 }),
      member({ name: 'etc/motd', data: 'hello' }),
      end(),
    ]),
    Buffer.concat([member({ name: 'etc/.wh.motd' }), member({ name: 'etc/issue', data: 'there' }), end()]),
  ]
  const image = makeImage(archives, { Cmd: ['/bin/true'], Labels: { a: 'b' } })
  await storeImage(store, image, NAME)
  return { store, image }
}

testIf(!findProgram('skopeo') && 'no skopeo')(
  'skopeo reads the store by name, and copies an image out of it',
  async () => {
    const { store, image } = await layoutWithImage()
    const skopeo = (...args: string[]) => execFileSync('skopeo', args, { encoding: 'utf8' })
    const found = JSON.parse(skopeo('inspect', `oci:${store.directory}:${NAME}`))
    expect(found).toMatchObject({ Digest: image.manifest.digest, Labels: { a: 'b' } })
    const copy = path.join(scratch(), 'copy')
    skopeo('copy', '-q', '--insecure-policy', `oci:${store.directory}:${NAME}`, `oci:${copy}:out`)
    const again = await Store.open(copy)
    expect((await again.refs.get('out'))?.digest).toBe(image.manifest.digest)
    expect(await again.verify()).toMatchObject({ ok: true, blobs: image.blobs.size })
  },
)

testIf(!findProgram('skopeo') && 'no skopeo')('what skopeo writes into a store is there', async () => {
  const { store, image } = await layoutWithImage()
  const other = await Store.open(path.join(scratch(), 'other'))
  execFileSync('skopeo', [
    'copy',
    '-q',
    '--insecure-policy',
    `oci:${store.directory}:${NAME}`,
    `oci:${other.directory}:x`,
  ])
  expect((await other.refs.get('x'))?.digest).toBe(image.manifest.digest)
  await other.setRef('y', image.manifest)
  await other.collect()
  expect(await other.verify()).toMatchObject({ ok: true, images: 2, blobs: image.blobs.size })
})

testIf(!findProgram('umoci') && 'no umoci')('umoci lists, unpacks and changes what is in the store', async () => {
  const { store, image } = await layoutWithImage()
  // Its own rules for names are stricter.
  await store.setRef('made', image.manifest)
  const umoci = (...args: string[]) =>
    execFileSync('umoci', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  expect(umoci('list', '--layout', store.directory)).toContain('made')
  const bundle = path.join(scratch(), 'bundle')
  umoci('unpack', ...(isRoot ? [] : ['--rootless']), '--image', `${store.directory}:made`, bundle)
  expect(readdirSync(path.join(bundle, 'rootfs/etc'))).toEqual(['issue'])
  umoci('config', '--image', `${store.directory}:made`, '--tag', 'changed', '--config.label', 'c=d')
  const changed = await store.refs.get('changed')
  expect(changed?.digest).not.toBe(image.manifest.digest)
  await store.collect()
  expect(await store.verify()).toMatchObject({ ok: true, problems: [] })
  expect((await store.refs.get(NAME))?.digest).toBe(image.manifest.digest)
})

/** What a process of its own says that sees `directory` mounted read-only. */
function readOnly(directory: string, script: string): unknown {
  const mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" --input-type=module -e "$3"'
  const index = path.resolve('dist/index.js')
  const program = `import { Image, Volume, run, verifyStore } from ${JSON.stringify(index)}
    const failure = (work) => Promise.resolve(work).then(() => 'none', ({ code, cause }) => [code, cause?.code])
    console.log(JSON.stringify(await (async () => { ${script} })()))`
  const text = execFileSync('unshare', ['-m', 'sh', '-c', mount, 'sh', directory, process.execPath, program], {
    encoding: 'utf8',
    env: { ...process.env, CAISSON_ROOT: directory },
  })
  return JSON.parse(text)
}

asRoot('on a file system that is mounted read-only it is read, and nothing else', async () => {
  const directory = scratch()
  const store = await Store.open(directory)
  const image = makeImage([Buffer.concat([member({ name: 'file', data: 'x' }), end()])])
  await storeImage(store, image, 'docker.io/team/box:1')
  const archive = path.join(scratch(), 'saved.tar')
  const answers = readOnly(
    directory,
    `const image = await Image.get('team/box:1')
     await image.save(${JSON.stringify(archive)})
     return [
       (await Image.list()).map(({ tags }) => tags[0]),
       (await image.history()).length >= 0,
       (await verifyStore()).ok,
       (await Volume.list()).length,
       await failure(image.tag('other')),
       await failure(image.remove()),
       await failure(Image.prune()),
       await failure(Image.load(${JSON.stringify(archive)})),
       await failure(run(image)),
     ]`,
  )
  const refused = ['ERR_CAISSON_PERMISSION', 'EROFS']
  expect(answers).toEqual([['team/box:1'], true, true, 0, refused, refused, refused, refused, refused])
})

/** Pulls and loads that are killed, and disks that are full: what is visible is whole, and the next attempt succeeds. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { Image, verifyStore } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { busyboxImage, folder, noBusybox, tar } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { isRoot, testIf } from '../../support/needs.js'
import { makeImage, storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const withRegistry = testIf(noRegistry || noBusybox)
const LIBRARY = JSON.stringify(path.resolve('dist/index.js'))
const ROUNDS = Number(process.env.CAISSON_KILL_PULLS ?? 25)
let registry: DockerRegistry | undefined

/** Bytes that nothing makes shorter, the same for the same name. */
function noise(name: string, size: number): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < size; at += 32) parts.push(createHash('sha256').update(`${name} ${at}`).digest())
  return Buffer.concat(parts).subarray(0, size)
}

/** Files of a layer, and a link to one of the layer below. */
function layer(number: number): Buffer {
  const files = Array.from({ length: 60 }, (_, i) => ({
    name: `data/${number}/${i}`,
    data: noise(`${number} ${i}`, 3000).toString('latin1'),
  }))
  return tar(
    folder('data'),
    folder(`data/${number}`),
    ...files,
    { name: `data/${number}/same`, type: '1', link: 'bin/busybox' },
    { name: 'number', data: `${number}` },
  )
}

const name = (number: number) => `${registry?.host}/rough/box:${number}`

async function forget(): Promise<void> {
  for (const image of await Image.list()) await image.remove({ force: true })
  await Image.prune({ all: true })
}

beforeAll(async () => {
  if (noRegistry || noBusybox) return
  registry = await startRegistry()
  const { store } = await imageRoots()
  for (let number = 0; number < 4; number++) {
    await storeImage(store, busyboxImage({}, layer(number), layer(number + 1)), name(number))
    await (await Image.get(name(number))).push()
  }
  await forget()
})
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

const children = new Set<ChildProcess>()
/** What they complained of. */
const said = new Map<ChildProcess, string>()
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
})

/** Pulls, removes and prunes without end. */
function pulling(seed: number): Promise<ChildProcess> {
  const script = `
    const { Image } = await import(${LIBRARY})
    const names = ${JSON.stringify([0, 1, 2, 3].map(name))}
    // That an image is damaged, when another process has removed it, would be one.
    process.on('warning', (warning) => { throw warning })
    console.log('ready')
    for (let round = ${seed}; ; round++) {
      const name = names[round % names.length]
      await Image.pull(name)
      await Image.list()
      // Another process may have been quicker.
      if (round % 2 === 0) await Image.remove(name, { force: true }).catch(() => undefined)
      if (round % 5 === 0) await Image.prune({ all: true })
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env: process.env })
  children.add(child)
  said.set(child, '')
  child.stderr.on('data', (data) => said.set(child, `${said.get(child)}${data}`))
  return new Promise((resolve, reject) => {
    child.stdout.once('data', () => resolve(child))
    child.once('exit', (_, signal) => {
      children.delete(child)
      if (signal !== 'SIGKILL') reject(new Error(said.get(child)))
    })
  })
}

withRegistry(
  `pulls that are killed ${ROUNDS} times at any instant, beside another one: the store verifies each time`,
  async () => {
    const steady = await pulling(3)
    for (let round = 0; round < ROUNDS; round++) {
      const child = await pulling(round)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 120))
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      expect((await verifyStore()).problems).toEqual([])
    }
    expect([steady.exitCode, said.get(steady)]).toEqual([null, ''])
    const gone = new Promise((resolve) => steady.once('exit', resolve))
    steady.kill('SIGKILL')
    await gone
    for (let number = 0; number < 4; number++) {
      const expected = createHash('sha256')
      const files = Array.from({ length: 60 }, (_, i) => `${i}`)
      for (const each of files.sort()) expected.update(noise(`${number} ${each}`, 3000).toString('latin1'))
      const script = `cat /number; cat /data/${number}/[0-9]* | busybox sha256sum; busybox cmp /bin/busybox /data/${number}/same && echo linked`
      const stdout = program(`const { stdout } = await run('${name(number)}', ['sh', '-c', ${JSON.stringify(script)}])
        process.stdout.write(stdout)`)
      expect(stdout).toBe(`${number + 1}${expected.digest('hex')}  -\nlinked\n`)
    }
    program(`for (const image of await Image.list()) await image.remove({ force: true })
      await Image.prune({ all: true })`)
    expect(await verifyStore()).toMatchObject({ ok: true, blobs: 0, images: 0 })
    const data = process.env.CAISSON_ROOT as string
    expect(readdirSync(path.join(data, 'store/trash'))).toEqual([])
    for (const form of readdirSync(path.join(data, 'snapshots'))) {
      const at = path.join(data, 'snapshots', form)
      expect([readdirSync(path.join(at, 'new')), readdirSync(at).filter((each) => each.includes('sha256'))]).toEqual([
        [],
        [],
      ])
    }
  },
  240_000,
)

/** In a process of its own: what this one has used, it holds. */
function program(work: string): string {
  const script = `const { Image, run } = await import(${LIBRARY})\n${work}`
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', env: process.env })
}

/** In a process of its own, on a disk of that size. */
function onDisk(kilobytes: number, work: string) {
  const place = path.join(root, 'disk')
  mkdirSync(place, { recursive: true })
  const script = `
    const { Image, verifyStore } = await import(${LIBRARY})
    let code = 'done', hint = ''
    await (async () => { ${work} })().catch((error) => { code = error.code ?? String(error); hint = error.hint })
    const report = await verifyStore().catch((error) => ({ ok: error.code, problems: [], images: 0 }))
    const images = await Image.list().then((list) => list.length, () => 0)
    console.log(JSON.stringify({ code, hint, problems: report.problems, images }))`
  const shell = `mount -t tmpfs -o size=${kilobytes}k,mode=755 tmpfs "$1" && exec "$2" --input-type=module -e "$3"`
  const args = [isRoot ? '-m' : '-rm', 'sh', '-c', shell, 'sh', place, process.execPath, script]
  return JSON.parse(
    execFileSync('unshare', args, { encoding: 'utf8', env: { ...process.env, CAISSON_ROOT: place } }),
  ) as { code: string; hint: string; problems: unknown[]; images: number }
}

for (const way of ['pull', 'load'] as const)
  withRegistry(
    `a ${way} on a disk that is full at any point says so, and nothing is half visible`,
    async () => {
      const reference = `${registry?.host}/rough/full:1`
      const layers = ['a', 'b', 'c'].map((each) =>
        tar(folder('data'), { name: `data/${each}`, data: noise(each, 90_000).toString('latin1') }),
      )
      await storeImage((await imageRoots()).store, makeImage(layers), reference)
      const image = await Image.get(reference)
      await image.push()
      const archive = path.join(root, 'full.tar')
      await image.save(archive)
      await forget()
      const work =
        way === 'pull' ? `await Image.pull('${reference}')` : `await (await Image.load('${archive}')).rootfs()`
      const seen = new Set<string>()
      for (let size = 16; size < 4000; size = Math.ceil(size * 1.4)) {
        const { code, hint, problems, images } = onDisk(size, work)
        seen.add(code)
        expect([size, problems]).toEqual([size, []])
        if (code === 'done') expect(images).toBe(1)
        else
          expect([size, code, hint]).toEqual([
            size,
            'ERR_CAISSON_RESOURCE_EXHAUSTED',
            expect.stringMatching(/disk is full/),
          ])
        // An archive that was read is an image, whether or not it could be unpacked.
        if (code !== 'done' && way === 'pull') expect(images).toBe(0)
      }
      expect([...seen].sort()).toEqual(['ERR_CAISSON_RESOURCE_EXHAUSTED', 'done'])
    },
    120_000,
  )

/** Archives of images: read from and by other programs, and hostile ones. */
import { execFileSync, spawn } from 'node:child_process'
import {
  createReadStream,
  createWriteStream,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { CaissonError, Image, run, verifyStore } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { type Member, member } from '../../support/archive.js'
import { busyboxImage, noBusybox, tar } from '../../support/busybox-image.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { digestOf, type MadeImage, makeImage, storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const withBusybox = testIf(noBusybox)
const need = (...programs: string[]) => programs.map((name) => !findProgram(name) && `no ${name}`).find(Boolean)
const withSkopeo = testIf(noBusybox || need('skopeo'))
const withZstd = testIf(noBusybox || need('zstd'))
const withUmoci = testIf(noBusybox || need('umoci'))
const withPodman = testIf(
  noBusybox || need('podman') || (!isRoot && 'podman needs a login session of an ordinary user'),
)
const sh = (file: string, ...args: string[]) =>
  execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const POLICY = ['--insecure-policy']

let count = 0
const fresh = (name: string) => path.join(root, `${count++}-${name}`)

async function stored(name = 'docker.io/team/box:1'): Promise<Image> {
  const upper = tar({ name: 'greeting', data: 'hello from the upper layer' }, { name: 'etc/.wh.group', data: '' })
  await storeImage((await imageRoots()).store, busyboxImage({ Env: ['FROM=caisson'] }, upper), name)
  return Image.get(name)
}

afterEach(async () => {
  for (const image of await Image.list()) await image.remove({ force: true })
})
afterAll(removeScratch)

describe('an archive', () => {
  for (const format of ['oci', 'docker'] as const)
    withBusybox(`of the form ${format} gives back the same image, with its names`, async () => {
      const { id } = await stored()
      await (await Image.get(id)).tag('other:2')
      const image = await Image.get(id)
      const file = fresh('saved.tar')
      await image.save(file, { format })
      const again = fresh('again.tar')
      await image.save(createWriteStream(again), { format })
      expect(readFileSync(again).equals(readFileSync(file))).toBe(true)
      await image.remove({ force: true })
      const loaded = await Image.load(file)
      expect([loaded.id, loaded.digest, [...loaded.tags].sort()]).toEqual([
        image.id,
        image.digest,
        ['other:2', 'team/box:1'],
      ])
      expect((await run('other:2', ['cat', '/greeting'])).stdout).toBe('hello from the upper layer')
    })

  withBusybox(
    'has the name alone that the image was found by, as with docker save; several images have theirs',
    async () => {
      const image = await stored()
      await image.tag('other:2')
      const file = fresh('saved.tar')
      for (const name of ['other:2', 'team/box:1']) {
        await (await Image.get(name)).save(file, { format: 'docker' })
        const [{ RepoTags }] = JSON.parse(sh('tar', '-xOf', file, 'manifest.json'))
        expect(RepoTags).toEqual([name])
      }
      await Image.saveAll([await Image.get('other:2'), await Image.get('team/box:1')], file)
      await image.remove({ force: true })
      expect((await Image.loadAll(file)).map(({ tags }) => tags)).toEqual([['other:2', 'team/box:1']])
    },
  )

  withBusybox('goes to what is no file without replacing it, and through links', async () => {
    const image = await stored()
    const fifo = fresh('fifo')
    sh('mkfifo', fifo)
    const reader = spawn('wc', ['-c', fifo], { stdio: ['ignore', 'pipe', 'inherit'] })
    const counted = reader.stdout.toArray()
    await image.save(fifo)
    expect(lstatSync(fifo).isFIFO()).toBe(true)
    const file = fresh('file.tar')
    writeFileSync(file, '')
    const link = fresh('link.tar')
    symlinkSync(file, link)
    await image.save(link)
    expect([lstatSync(link).isSymbolicLink(), lstatSync(file).isFile()]).toEqual([true, true])
    expect(Number.parseInt(Buffer.concat(await counted).toString(), 10)).toBe(lstatSync(file).size)
    for (const to of [root, '', 5, null, {}])
      await expect(image.save(to as string)).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_CAISSON_(FILE|INVALID_ARGUMENT)$/),
      })
    expect(readdirSync(root).filter((name) => name.endsWith('.part'))).toEqual([])
  })

  test('whose stream fails is an error of ours, with that of the stream as its cause', async () => {
    const failing = new Readable({ read: () => void failing.destroy(new Error('cut off')) })
    await expect(Image.load(failing)).rejects.toMatchObject({
      code: 'ERR_CAISSON_FILE',
      cause: expect.objectContaining({ message: 'cut off' }),
    })
  })

  withZstd('that is compressed with zstd is read; a half of it is refused', async () => {
    const image = await stored()
    for (const format of ['oci', 'docker'] as const) {
      const file = fresh('saved.tar')
      await image.save(file, { format })
      sh('zstd', '-q', file)
      const bytes = readFileSync(`${file}.zst`)
      for (const source of [`${file}.zst`, bytes, createReadStream(`${file}.zst`)])
        expect((await Image.load(source)).id).toBe(image.id)
      const half = await Image.load(bytes.subarray(0, bytes.length >> 1)).then(undefined, (error) => error)
      expect(half).toBeInstanceOf(CaissonError)
    }
    expect(await verifyStore()).toMatchObject({ ok: true })
  })

  test.each([
    ['xz', '\xfd7zXZ\0'],
    ['bzip2', 'BZh91AY&SY'],
  ])('that is compressed with %s is refused by that name', async (name, start) => {
    await expect(Image.load(Buffer.from(`${start}more`, 'latin1'))).rejects.toMatchObject({
      code: 'ERR_CAISSON_IMAGE_ARCHIVE',
      message: `image archive: it is compressed with ${name}`,
    })
  })

  withBusybox('comes as a stream, compressed or not, or as bytes', async () => {
    const image = await stored()
    const file = fresh('saved.tar')
    await image.save(file, { format: 'docker' })
    const bytes = readFileSync(file)
    for (const source of [createReadStream(file), gzipSync(bytes), bytes]) {
      await image.remove({ force: true })
      expect((await Image.load(source)).id).toBe(image.id)
    }
  })

  withSkopeo('that skopeo wrote is read: docker-archive, oci-archive, an OCI directory', async () => {
    const image = await stored()
    const file = fresh('saved.tar')
    await image.save(file)
    const made: Array<[string, string]> = [
      [`docker-archive:${fresh('docker.tar')}`, ':team/box:1'],
      [`oci-archive:${fresh('oci.tar')}`, ':docker.io/team/box:1'],
      [`oci:${fresh('directory')}`, ':docker.io/team/box:1'],
    ]
    for (const [to, name] of made) {
      sh('skopeo', ...POLICY, 'copy', `oci-archive:${file}`, `${to}${name}`)
      await (await Image.get('team/box:1')).remove({ force: true })
      const loaded = await Image.load(to.slice(to.indexOf(':') + 1))
      expect([to, loaded.tags]).toEqual([to, ['team/box:1']])
      expect((await run(loaded, ['sh', '-c', 'cat /greeting; echo $FROM; cat /etc/group || true'])).stdout).toBe(
        'hello from the upper layercaisson\n',
      )
    }
  })

  withSkopeo('that we wrote, and the store itself, skopeo reads', async () => {
    const image = await stored()
    for (const [format, transport] of [
      ['oci', 'oci-archive'],
      ['docker', 'docker-archive'],
    ] as const) {
      const file = fresh('saved.tar')
      await image.save(file, { format })
      const inspected = JSON.parse(sh('skopeo', 'inspect', `${transport}:${file}`))
      expect(inspected.Env).toEqual(['FROM=caisson'])
      expect(inspected.Layers).toHaveLength(2)
    }
    const store = process.env.CAISSON_ROOT as string
    expect(JSON.parse(sh('skopeo', 'inspect', `oci:${store}:docker.io/team/box:1`)).Digest).toBe(image.digest)
  })

  withUmoci('that we wrote umoci unpacks', async () => {
    const image = await stored()
    const [file, layout, bundle] = [fresh('saved.tar'), fresh('layout'), fresh('bundle')]
    await image.save(file)
    mkdirSync(layout)
    sh('tar', '-xf', file, '-C', layout)
    sh('umoci', 'unpack', ...(isRoot ? [] : ['--rootless']), '--image', `${layout}:docker.io/team/box:1`, bundle)
    expect(readFileSync(path.join(bundle, 'rootfs/greeting'), 'utf8')).toBe('hello from the upper layer')
    expect(readdirSync(path.join(bundle, 'rootfs/etc'))).toEqual(['passwd'])
  })

  withPodman('that we wrote podman loads, and the other way round', async () => {
    const image = await stored()
    const places = ['--root', fresh('podman'), '--runroot', fresh('podman-run'), '--storage-driver', 'vfs']
    for (const format of ['oci', 'docker'] as const) {
      const file = fresh('saved.tar')
      await image.save(file, { format })
      sh('podman', ...places, 'load', '-i', file)
      expect(sh('podman', ...places, 'image', 'inspect', '--format', '{{.Id}}', 'team/box:1').trim()).toBe(
        image.id.slice(7),
      )
    }
    for (const format of ['docker-archive', 'oci-archive']) {
      const file = fresh('podman.tar')
      sh('podman', ...places, 'save', '--format', format, '-o', file, 'docker.io/team/box:1')
      await (await Image.get('team/box:1')).remove({ force: true })
      const loaded = await Image.load(file)
      expect([format, loaded.tags]).toEqual([format, ['team/box:1']])
      expect((await run(loaded, ['cat', '/greeting'])).stdout).toBe('hello from the upper layer')
    }
  })
})

/** As docker 20 saves: layers in directories, and equal ones linked. */
function oldDocker(image: MadeImage, changes: Partial<Record<string, Member | undefined>> = {}): Buffer {
  const [archive] = [...image.blobs.values()]
  const config = image.blobs.get(image.config.digest) as Buffer
  const name = `${image.config.digest.slice(7)}.json`
  const members: Record<string, Member | undefined> = {
    layer: { name: 'aaa/layer.tar', data: archive },
    link: { name: 'bbb/layer.tar', type: '2', link: '../aaa/layer.tar' },
    config: { name, data: config },
    manifest: {
      name: 'manifest.json',
      data: JSON.stringify([{ Config: name, RepoTags: ['old:1'], Layers: ['aaa/layer.tar', 'bbb/layer.tar'] }]),
    },
    ...changes,
  }
  return Buffer.concat([...Object.values(members).flatMap((one) => (one ? [member(one)] : [])), Buffer.alloc(1024)])
}

describe('an archive of the old form', () => {
  const layer = tar({ name: 'file', data: 'content' })
  const image = () => {
    const made = makeImage([layer, layer])
    // Its layers are plain there.
    made.blobs.clear()
    made.blobs.set('layer', layer)
    const document = {
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [digestOf(layer), digestOf(layer)] },
    }
    const bytes = Buffer.from(JSON.stringify(document))
    made.config.digest = digestOf(bytes)
    made.blobs.set(made.config.digest, bytes)
    return made
  }
  const failure = (bytes: Buffer) =>
    Image.load(bytes).then(
      () => undefined,
      (error: CaissonError) => error.code,
    )

  test('is read, links and all', async () => {
    const made = image()
    const loaded = await Image.load(oldDocker(made))
    expect([loaded.id, loaded.tags, loaded.layers.map(({ diffId }) => diffId)]).toEqual([
      made.config.digest,
      ['old:1'],
      [digestOf(layer), digestOf(layer)],
    ])
  })

  test.each<[string, Partial<Record<string, Member | undefined>>, string]>([
    ['with a layer missing', { layer: undefined, link: undefined }, 'ERR_CAISSON_IMAGE_ARCHIVE'],
    [
      'with another layer than promised',
      { layer: { name: 'aaa/layer.tar', data: tar({ name: 'x', data: 'y' }) } },
      'ERR_CAISSON_IMAGE_ARCHIVE',
    ],
    [
      'with a link out of it',
      { link: { name: 'bbb/layer.tar', type: '2', link: '../../../etc/passwd' } },
      'ERR_CAISSON_IMAGE_ARCHIVE',
    ],
    [
      'with a link to an absolute path',
      { link: { name: 'bbb/layer.tar', type: '1', link: '/etc/passwd' } },
      'ERR_CAISSON_IMAGE_ARCHIVE',
    ],
    ['with a member twice', { again: { name: './aaa/layer.tar', data: 'x' } }, 'ERR_CAISSON_IMAGE_ARCHIVE'],
    [
      'with documents of more bytes than memory is for',
      Object.fromEntries(
        Array.from({ length: 17 }, (_, i) => [`d${i}`, { name: `d${i}.json`, data: Buffer.alloc(4 << 20) }]),
      ),
      'ERR_CAISSON_IMAGE_ARCHIVE',
    ],
    ['with a device', { device: { name: 'dev', type: '3', major: 1, minor: 3 } }, 'ERR_CAISSON_IMAGE_ARCHIVE'],
    ['without a manifest', { manifest: undefined }, 'ERR_CAISSON_IMAGE_ARCHIVE'],
    [
      'whose manifest names what lies outside',
      { manifest: { name: 'manifest.json', data: '[{"Config":"/etc/passwd","Layers":["../../x"]}]' } },
      'ERR_CAISSON_IMAGE_ARCHIVE',
    ],
    ['whose manifest is no JSON', { manifest: { name: 'manifest.json', data: '[{' } }, 'ERR_CAISSON_MANIFEST'],
    [
      'whose manifest has a key twice',
      { manifest: { name: 'manifest.json', data: '[{"Config":"a","Config":"b","Layers":[]}]' } },
      'ERR_CAISSON_MANIFEST',
    ],
    [
      'with a blob under a wrong digest',
      { blob: { name: `blobs/sha256/${'0'.repeat(64)}`, data: 'x' } },
      'ERR_CAISSON_DIGEST',
    ],
  ])('%s is refused, and nothing of it has a name', async (_what, changes, code) => {
    expect(await failure(oldDocker(image(), changes))).toBe(code)
    expect(await Image.list()).toEqual([])
    await Image.prune()
    expect(await verifyStore()).toMatchObject({ ok: true, blobs: 0 })
  })

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['noise', Buffer.from('this is no archive at all, whatever its name says'.repeat(40))],
    ['half an archive', oldDocker(image()).subarray(0, 700)],
  ])('%s is no archive', async (_what, bytes) => {
    expect(await failure(bytes)).toBe('ERR_CAISSON_IMAGE_ARCHIVE')
  })

  test('is given up when the caller aborts', async () => {
    const endless = async function* () {
      const bytes = oldDocker(image())
      yield bytes.subarray(0, 512)
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 5))
        yield Buffer.alloc(0)
      }
    }
    const signal = AbortSignal.timeout(50)
    const error = await Image.load(endless(), { signal }).catch((reason: CaissonError) => reason)
    expect(error).toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
  })
})

describe('an OCI directory', () => {
  withBusybox('is never read through a link', async () => {
    const image = await stored()
    const [file, layout] = [fresh('saved.tar'), fresh('layout')]
    await image.save(file)
    mkdirSync(layout)
    sh('tar', '-xf', file, '-C', layout)
    await image.remove({ force: true })
    const secret = fresh('secret')
    writeFileSync(secret, readFileSync(path.join(layout, 'index.json')))
    sh('rm', path.join(layout, 'index.json'))
    symlinkSync(secret, path.join(layout, 'index.json'))
    const error = await Image.load(layout).catch((reason: CaissonError) => reason)
    expect(error).toMatchObject({ code: 'ERR_CAISSON_IMAGE_ARCHIVE' })
  })

  test('that is none is an error', async () => {
    for (const place of [scratch(), '/nowhere'])
      await expect(Image.load(place)).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_CAISSON_IMAGE_(?:ARCHIVE|NOT_FOUND)$/),
      })
  })
})

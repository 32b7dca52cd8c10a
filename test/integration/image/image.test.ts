/** Images in the store: names, lists, removal, what containers of them get, and images of containers. */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { type CaissonError, Container, Image, run, storeUsage, verifyStore, Wait } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { busyboxImage, folder, noBusybox, tar } from '../../support/busybox-image.js'
import { testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const withBusybox = testIf(noBusybox)
const NAME = 'docker.io/library/box:1'

async function put(image = busyboxImage(), name = NAME): Promise<Image> {
  await storeImage((await imageRoots()).store, image, name)
  return Image.get(name)
}

afterEach(async () => {
  for (const image of await Image.list()) await image.remove({ force: true })
})
afterAll(removeScratch)

const failure = (work: Promise<unknown>) => work.then(undefined, (error: CaissonError) => error.code)

describe('an image in the store', () => {
  withBusybox('is found by name, id and digest', async () => {
    const image = await put()
    expect(image.tags).toEqual(['box:1'])
    for (const ref of [
      'box:1',
      'library/box:1',
      NAME,
      image.id,
      image.id.slice(7, 19),
      image.digest as string,
      `box@${image.digest}`,
    ])
      expect((await Image.get(ref)).id).toBe(image.id)
    for (const ref of ['box', 'other/box:1', 'localhost:5000/box:1', '0123456789ab', `other@${image.digest}`])
      expect(await failure(Image.get(ref))).toBe('ERR_CAISSON_IMAGE_NOT_FOUND')
    expect(await failure(Image.get('Box:1'))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  })

  withBusybox('has names that come and go, and content as long as it has one', async () => {
    const image = await put()
    await image.tag('team/app')
    expect(image.tags).toEqual(['box:1', 'team/app:latest'])
    expect((await Image.list()).map(({ tags }) => tags)).toEqual([['box:1', 'team/app:latest']])
    expect(await failure((await Image.get(image.id)).remove())).toBe('ERR_CAISSON_IMAGE_IN_USE')
    await (await Image.get('box:1')).remove()
    expect((await Image.get('team/app')).tags).toEqual(['team/app:latest'])
    await (await Image.get('team/app')).remove()
    expect(await Image.list()).toEqual([])
    expect(await verifyStore()).toMatchObject({ ok: true, blobs: 0, images: 0 })
  })

  withBusybox('whose name another gets is without one, and pruned', async () => {
    const first = await put()
    const second = await put(busyboxImage({ Labels: { which: 'second' } }))
    const list = await Image.list()
    expect(list.map(({ id, tags }) => [id, tags])).toEqual([
      [first.id, []],
      [second.id, ['box:1']],
    ])
    expect((await Image.list({ dangling: true })).map(({ id }) => id)).toEqual([first.id])
    expect((await Image.list({ label: 'which=second' })).map(({ id }) => id)).toEqual([second.id])
    expect((await Image.list({ reference: 'bo*:1' })).map(({ id }) => id)).toEqual([second.id])
    const { images, bytes } = await Image.prune()
    expect(images).toEqual([first.digest])
    expect(bytes).toBeGreaterThan(0)
    expect((await Image.list()).map(({ id }) => id)).toEqual([second.id])
  })

  test('is listed by when it was made; filters that nobody knows are refused', async () => {
    const root = path.join(scratch(), 'dated')
    mkdirSync(root)
    await (await Image.fromRootfs(root)).tag('box:1')
    const later = new Date(Date.now() + 3_600_000)
    expect(await Image.list({ until: later })).toHaveLength(1)
    expect(await Image.list({ until: '2000-01-01T00:00:00Z' })).toEqual([])
    expect(await Image.list({ before: 'box:1' })).toEqual([])
    for (const filter of [{ nonsense: 1 }, { until: 'yesterday' }, { dangling: 'yes' }, { label: 1 }])
      expect(await failure(Image.list(filter as object))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    expect(await failure(Image.list({ since: 'nobody' }))).toBe('ERR_CAISSON_IMAGE_NOT_FOUND')
    for (const filter of [{ labels: 'a' }, { until: 'soon' }])
      expect(await failure(Image.prune(filter as object))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    expect((await Image.prune({ dangling: false, until: '24h' })).images).toEqual([])
    expect((await Image.prune({ dangling: false, until: later })).images).toEqual(['box:1'])
  })

  test('of a directory has the id that it is found by when it has a name', async () => {
    const root = path.join(scratch(), 'root')
    mkdirSync(root)
    const image = await Image.fromRootfs(root, { Cmd: ['/nothing'] })
    await image.tag('directory:1')
    expect((await Image.get('directory:1')).id).toBe(image.id)
    expect((await Image.get(image.id)).tags).toEqual(image.tags)
  })

  test('with options that nobody understands is refused', async () => {
    const root = scratch()
    for (const config of [{ Cmd: 'sh' }, { Env: { A: '1' } }, { Env: ['=x'] }, { cmd: ['sh'] }, null])
      expect(await failure(Image.fromRootfs(root, config as object))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    for (const options of [{ auth: 5 }, { auth: { user: 'x' } }, { onProgress: 5 }, { plattform: 'linux/amd64' }])
      expect(await failure(Image.pull('localhost:1/box', options as object))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    for (const wrong of [undefined, null, 5, {}])
      expect(await failure(Promise.resolve(run(wrong as unknown as string)))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    const build = Image.build({ dockerfile: { text: 'FROM scratch' }, signal: AbortSignal.abort() })
    expect(await failure(build)).toBe('ERR_CAISSON_ABORTED')
    const pull = 'sometimes' as 'always'
    expect(await failure(Promise.resolve(run('localhost:1/box', [], { pull })))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  })

  withBusybox('is not removed while a container is made of it, unless by force; the container goes on', async () => {
    const image = await put()
    const container = await Container.create('box:1', { command: ['sleep', '1000'] })
    await container.start()
    try {
      expect(await failure(image.remove())).toBe('ERR_CAISSON_IMAGE_IN_USE')
      expect((await Image.prune({ all: true })).images).toEqual([])
      await image.remove({ force: true })
      expect((await container.exec(['cat', '/etc/group'])).stdout).toContain('extra')
    } finally {
      await container.remove({ force: true })
    }
  })

  withBusybox('gives containers what its configuration says', async () => {
    const config = {
      Entrypoint: ['/bin/echo', 'said:'],
      Cmd: ['nothing'],
      Env: ['COLOUR=blue', 'PATH=/bin'],
      WorkingDir: '/srv/app',
      User: 'app',
      StopSignal: 'SIGUSR1',
      Labels: { kind: 'box' },
    }
    await put(busyboxImage(config, tar(folder('srv'), folder('srv/app'))))
    expect((await run('box:1')).stdout).toBe('said: nothing\n')
    expect((await run('box:1', ['hello'])).stdout).toBe('said: hello\n')
    const words = 'id -u; id -g; id -G; pwd; echo $COLOUR $HOME'
    const { stdout } = await run('box:1', ['-c', words], { entrypoint: ['sh'] })
    expect(stdout.split('\n').slice(0, 5)).toEqual(['1000', '1001', '1001 1002', '/srv/app', 'blue /home/app'])
    expect((await run('box:1', ['-c', 'id -u'], { entrypoint: ['sh'], user: 'root' })).stdout).toBe('0\n')
    const container = await Container.create('box:1')
    expect(container.labels).toEqual({ kind: 'box' })
    await container.remove()
  })

  withBusybox('stops its containers by its signal, looks after their health, and has volumes for them', async () => {
    const config = {
      Cmd: ['sh', '-c', "trap 'exit 5' USR1; trap 'exit 6' TERM; touch /data/ready; while :; do sleep 0.05; done"],
      StopSignal: 'SIGUSR1',
      Healthcheck: { Test: ['CMD', 'ls', '/data/ready'], Interval: 50_000_000, Retries: 100 },
      Volumes: { '/data': {} },
      ExposedPorts: { '80/tcp': {} },
    }
    const image = await put(busyboxImage(config, tar(folder('data'), { name: 'data/filled', data: 'by the image' })))
    expect(image.config.ExposedPorts).toEqual({ '80/tcp': {} })
    await using container = await Container.create('box:1')
    await container.start()
    await container.waitFor(Wait.healthy())
    expect((await container.exec(['cat', '/data/filled'])).stdout).toBe('by the image')
    expect(container.inspect().volumes.map(({ target }) => target)).toEqual(['/data'])
    // What lies in a volume is no change of the container.
    expect((await container.diff()).map(({ path }) => path)).not.toContain('/data/ready')
    await container.stop()
    expect((await container.wait()).exitCode).toBe(5)
  })

  withBusybox('with layers shows the upper ones over the lower ones, without what they delete', async () => {
    const upper = tar(
      { name: 'etc/.wh.group', data: '' },
      { name: 'etc/passwd', data: 'root:x:0:0::/:/bin/sh\n' },
      folder('new'),
      { name: 'new/file', data: 'new' },
    )
    const image = await put(busyboxImage({}, upper))
    expect(image.layers).toHaveLength(2)
    expect((await run(image, ['ls', '/etc'])).stdout).not.toContain('group')
    expect((await run(image, ['cat', '/new/file'])).stdout).toBe('new')
    const { images, blobs, downloads } = await storeUsage()
    const manifest = (await (await imageRoots()).store.stat(image.digest as string))?.size as number
    expect({ images, blobs, downloads }).toEqual({
      images: 1,
      blobs: { count: 4, bytes: (image.size as number) + manifest },
      downloads: { count: 0, bytes: 0 },
    })
  })

  withBusybox('pull: never takes what is here and nothing else', async () => {
    await put()
    expect((await run('box:1', ['true'], { pull: 'never' })).exitCode).toBe(0)
    expect(await failure(run('box:2', ['true'], { pull: 'never' }))).toBe('ERR_CAISSON_IMAGE_NOT_FOUND')
    const other = run('box:1', ['true'], { pull: 'never', platform: 'linux/s390x' })
    expect(await failure(other)).toBe('ERR_CAISSON_IMAGE_NOT_FOUND')
  })
})

describe('a container', () => {
  for (const storage of ['disk', 'memory'] as const)
    withBusybox(`becomes an image, with its layer in ${storage === 'disk' ? 'files' : 'memory'}`, async () => {
      await put()
      const container = await Container.create('box:1', { command: ['sleep', '1000'], storage, env: { A: 'b' } })
      await container.start()
      await container.exec(['sh', '-c', 'echo kept > /kept; rm /etc/group; mkdir /d; touch /tmp-file'])
      const image = await container.commit({
        tag: 'box:kept',
        author: 'somebody',
        message: 'said',
        config: { User: 'app' },
      })
      expect(container.state).toBe('running')
      expect(await failure(container.commit({ changes: ['USER app'] } as object))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
      await container.remove({ force: true })
      expect(image.config).toMatchObject({ Cmd: ['sleep', '1000'], Env: ['A=b'], User: 'app' })
      expect((await image.history())[0]).toMatchObject({ comment: 'said', author: 'somebody', emptyLayer: false })
      const { stdout } = await run('box:kept', ['sh', '-c', 'cat /kept; ls -d /etc/group /d; id -u'])
      expect(stdout).toBe('kept\n/d\n1000\n')
      expect((await verifyStore()).ok).toBe(true)
    })

  withBusybox('becomes an image whatever it changed: thousands of files', async () => {
    await put()
    const container = await Container.create('box:1', { command: ['sleep', '1000'] })
    await container.start()
    const name = 'a-name-that-is-as-long-as-they-are-in-packages'
    await container.exec([
      'sh',
      '-c',
      `mkdir /many; i=0; while [ $i -lt 4000 ]; do : > /many/${name}-$i; i=$((i+1)); done`,
    ])
    const image = await container.commit({ tag: 'box:many' })
    await container.remove({ force: true })
    expect((await run(image, ['sh', '-c', 'ls /many | busybox wc -l'])).stdout.trim()).toBe('4000')
  })

  withBusybox('forks into containers with its files and nothing else in common', async () => {
    await put()
    const container = await Container.create('box:1', { command: ['sleep', '1000'] })
    await container.start()
    await container.exec(['sh', '-c', 'echo before > /file'])
    const forks = await container.fork(3)
    try {
      await container.exec(['sh', '-c', 'echo after > /file'])
      const [first] = forks as [Container]
      await first.exec(['sh', '-c', 'echo mine > /file'])
      const contents = await Promise.all(forks.map(async (fork) => (await fork.exec(['cat', '/file'])).stdout))
      expect(contents).toEqual(['mine\n', 'before\n', 'before\n'])
      expect(await Image.list()).toHaveLength(1)
    } finally {
      for (const each of [container, ...forks]) await each.remove({ force: true })
    }
  })
})

withBusybox('a root file system becomes an image when it gets a name', async () => {
  const directory = scratch()
  const image = await Image.fromRootfs(tar(folder('data'), { name: 'data/x', data: 'x', uid: 5 }), { Cmd: ['none'] })
  expect([image.digest, image.size, image.layers]).toEqual([null, null, []])
  await image.tag('made:1')
  expect(await Image.get('made:1')).toMatchObject({ digest: image.digest, config: { Cmd: ['none'] } })
  await image.save(`${directory}/made.tar`)
  await image.remove()
  expect((await Image.load(`${directory}/made.tar`)).tags).toEqual(['made:1'])
  expect(await failure(Image.host().then((host) => host.tag('host:1')))).toBe('ERR_CAISSON_UNSUPPORTED')
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, Image, Network, run, Volume } from '../../../lib/index.js'
import { isRoot, testIf } from '../../support/needs.js'

const sh = (script: string) => ['sh', '-c', script]
const name = (text: string) => `test-${text}-${process.pid}`

describe('volumes', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-volumes-'))
  let image: Image
  let filled: Image
  beforeAll(async () => {
    image = await Image.host()
    // The host's programs, and a place with content of its own.
    const root = path.join(directory, 'root')
    mkdirSync(path.join(root, 'srv/data/deep'), { recursive: true })
    writeFileSync(path.join(root, 'srv/data/file'), 'from the image', { mode: 0o640 })
    symlinkSync('/etc/passwd', path.join(root, 'srv/data/link'))
    symlinkSync('/../../../etc', path.join(root, 'srv/out'))
    filled = await Image.fromRootfs(root, { Volumes: { '/srv/data': {}, '/proc/x': {}, '../up': {} } } as never)
  })
  afterAll(async () => {
    for (const volume of await Volume.list()) if (volume.name.includes(`-${process.pid}`)) await volume.remove()
    rmSync(directory, { recursive: true, force: true })
  })

  test('that an image declares are not put over what the caller mounts there, however that is written', async () => {
    const [source, root] = [path.join(directory, 'callers'), path.join(directory, 'declaring')]
    mkdirSync(source)
    writeFileSync(path.join(source, 'mine'), 'x')
    mkdirSync(path.join(root, 'bin'), { recursive: true })
    cpSync('/bin/busybox', path.join(root, 'bin/busybox'))
    const declaring = await Image.fromRootfs(root, { Volumes: { '/srv/data': {} } } as never)
    for (const target of ['/srv/data', '/srv/data/', '//srv/data']) {
      const mounts = [{ type: 'bind' as const, source, target }]
      await using container = await Container.create(declaring, { mounts, command: ['busybox', 'ls', '/srv/data'] })
      await container.start()
      expect((await container.wait()).stdout).toBe('mine\n')
    }
  })

  test('keep what was written, for the next container and for several at once', async () => {
    const source = name('kept')
    const mounts = [{ type: 'volume' as const, source, target: '/data' }]
    await run(image, sh('echo one > /data/file'), { mounts })
    const readOnly = [{ type: 'volume' as const, source, target: '/data', readOnly: true }]
    const reader = await Container.create(image, { mounts: readOnly, command: ['sleep', '60'] })
    try {
      await reader.start()
      await run(image, sh('echo two >> /data/file'), { mounts })
      expect((await reader.exec(['cat', '/data/file'])).stdout).toBe('one\ntwo\n')
      expect((await reader.exec(sh('echo three > /data/file'))).stderr).toContain('Read-only')
      const volume = await Volume.get(source)
      await expect(volume.remove()).rejects.toMatchObject({ code: 'ERR_CAISSON_IN_USE' })
      expect(await volume.usage()).toMatchObject({ files: 1, containers: [reader.id] })
    } finally {
      await reader.remove({ force: true, volumes: true })
    }
    const volume = await Volume.get(source)
    await volume.remove()
    await volume.remove()
    expect(existsSync(volume.path)).toBe(false)
    await expect(Volume.get(source)).rejects.toMatchObject({ code: 'ERR_CAISSON_VOLUME_NOT_FOUND' })
  })

  test('made by name with labels, listed, and made once', async () => {
    const labels = { test: name('labels') }
    const one = await Volume.create({ name: name('one'), labels })
    const again = await Volume.create({ name: name('one'), labels: { other: 'x' } })
    expect([again.path, again.labels]).toEqual([one.path, labels])
    const unnamed = await Volume.create({ labels })
    expect(unnamed.anonymous).toBe(true)
    const found = await Volume.list({ labels })
    expect(found.map((volume) => volume.name).sort()).toEqual([one.name, unnamed.name].sort())
    expect(await Volume.prune({ labels })).toHaveLength(2)
    expect(await Volume.list({ labels })).toEqual([])
    const used = await Volume.create({ name: name('used'), labels })
    const free = await Volume.create({ name: name('free'), labels })
    await using _ = await Container.create(image, { mounts: [{ type: 'volume', source: used.name, target: '/v' }] })
    const names = async (dangling: boolean) => (await Volume.list({ labels, dangling })).map((each) => each.name)
    const both = await Promise.all([names(true), names(true), names(false)])
    expect(both).toEqual([[free.name], [free.name], [used.name]])
    await free.remove()
    // A filter that is misspelt would be none, and take everything.
    const kept = await Volume.create({ name: name('kept') })
    for (const wrong of [{ label: 'test' }, { filters: {} }, 5]) {
      await expect(Volume.prune(wrong as never)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
      for (const { list } of [Volume, Network, Container] as Array<{ list(filter: object): Promise<unknown> }>)
        await expect(list(wrong as never)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
    }
    await Volume.prune({})
    expect((await Volume.get(kept.name)).path).toBe(kept.path)
    // Many at the same moment are one.
    const all = await Promise.all(Array.from({ length: 10 }, () => Volume.create({ name: name('race') })))
    expect(new Set(all.map((volume) => volume.created.getTime())).size).toBe(1)
    for (const wrong of [{ name: '../x' }, { name: '' }, { name: 'a/b' }, { nmae: 'x' }, { labels: 3 }])
      await expect(Volume.create(wrong as never)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })

  test('an empty one is filled from the image, once, and links in it stay links', async () => {
    const source = name('filled')
    const container = await Container.create(filled, {
      command: ['/x'],
      mounts: [
        { type: 'volume', source, target: '/srv/data' },
        { type: 'volume', source: name('out'), target: '/srv/out' },
      ],
    })
    try {
      const { path: at } = await Volume.get(source)
      expect(readdirSync(at).sort()).toEqual(['deep', 'file', 'link'])
      if (isRoot) expect(statSync(path.join(at, 'file')).mode & 0o777).toBe(0o640)
      // That link would lead out of the image: inside it, there is no such directory.
      expect(readdirSync((await Volume.get(name('out'))).path)).toEqual([])
      rmSync(path.join(at, 'file'))
    } finally {
      await container.remove()
    }
    const second = await Container.create(filled, {
      command: ['/x'],
      mounts: [{ type: 'volume', source, target: '/srv/data' }],
    })
    expect(readdirSync((await Volume.get(source)).path).sort()).toEqual(['deep', 'link'])
    await second.remove()
  })

  test('places that an image declares get one without a name, which goes when asked for', async () => {
    const before = (await Volume.list({ anonymous: true })).map((volume) => volume.name)
    const container = await Container.create(filled, { command: ['/x'] })
    const made = (await Volume.list({ anonymous: true })).filter((volume) => !before.includes(volume.name))
    // Those of them that would lie in /proc or outside are none.
    expect(made).toHaveLength(1)
    expect(readdirSync(made[0]?.path as string)).toContain('file')
    await container.remove()
    expect(existsSync(made[0]?.path as string)).toBe(true)
    await made[0]?.remove()
    const other = await Container.create(filled, { command: ['/x'] })
    await other.remove({ volumes: true })
    expect((await Volume.list({ anonymous: true })).map((volume) => volume.name)).toEqual(before)
  })

  test('options that mean nothing for them', async () => {
    const wrong = [
      { source: '../x' },
      { source: '/abs' },
      { size: '1 lot' },
      { propagation: 'shared' },
      { target: 'relative' },
    ]
    for (const each of wrong) {
      const mounts = [{ type: 'volume', source: name('wrong'), target: '/data', ...each }]
      await expect(run(image, ['true'], { mounts } as never)).rejects.toMatchObject({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
      })
    }
  })

  testIf(!isRoot && 'ranges of ids are for root')(
    'files have the ids of the container in every user namespace',
    async () => {
      const mounts = [{ type: 'volume' as const, source: name('ids'), target: '/data' }]
      const options = { mounts, security: { userns: 'auto' as const } }
      await run(image, sh('touch /data/root; touch /data/nobody; chown 65534:65534 /data/nobody'), options)
      const { path: at } = await Volume.get(name('ids'))
      expect([statSync(path.join(at, 'root')).uid, statSync(path.join(at, 'nobody')).uid]).toEqual([0, 65534])
      // Another range of ids sees the same owners, and so does a container without.
      for (const more of [options, { mounts }])
        expect((await run(image, sh('stat -c %u /data/root /data/nobody'), more)).stdout).toBe('0\n65534\n')
    },
  )

  test('a kill at any moment leaves volumes that are whole, unused, and can be removed', async () => {
    const source = name('killed')
    const script = `
      import { Container, Image, Volume } from './dist/index.js'
      const image = await Image.host()
      for (;;) {
        const mounts = [{ type: 'volume', source: '${source}', target: '/etc' }, { type: 'volume', target: '/x' }]
        const container = await Container.create(image, { mounts, command: ['true'] })
        console.log('made')
        await container.remove({ volumes: true })
        await (await Volume.get('${source}')).remove()
      }`
    for (let round = 0; round < 12; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      await once(child.stdout, 'data')
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 150))
      child.kill('SIGKILL')
      await once(child, 'exit')
      const container = await Container.create(image, {
        mounts: [{ type: 'volume', source, target: '/etc' }],
        command: ['sleep', '9'],
      })
      await container.start()
      expect((await container.exec(['id', '-un'])).stdout).toBe('root\n')
      await container.remove({ force: true })
      await (await Volume.get(source)).remove()
    }
    await Volume.prune()
  }, 60_000)
})

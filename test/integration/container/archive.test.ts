/** Archives into and out of containers. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createReadStream, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { Container, Image } from '../../../lib/index.js'
import { archive, type Member } from '../../support/archive.js'
import { findProgram, isRoot, noOthersFiles, testIf } from '../../support/needs.js'
import { compileProgram } from '../../support/program.js'
import { STATES, sleeper } from '../../support/sleeper.js'
import { look, removeScratch, scratch } from '../../support/tree.js'
import { until } from '../../support/until.js'

afterAll(removeScratch)

let image: Image
beforeAll(async () => {
  image = await Image.host()
})

async function inState(storage: 'memory' | 'disk', running: boolean): Promise<Container> {
  const container = await sleeper({ storage })
  if (running) await container.start()
  return container
}

/** What GNU tar finds in an archive. */
async function unpacked(stream: Readable): Promise<string> {
  const directory = scratch()
  execFileSync('tar', ['-C', directory, '-xp'], { input: await buffer(stream) })
  return directory
}

/** Names of the members, as GNU tar lists them. */
async function names(stream: Readable): Promise<string[]> {
  const listing = execFileSync('tar', ['-t'], { input: await buffer(stream), encoding: 'utf8' })
  return listing.split('\n').filter((line) => line !== '')
}

/** A tree of the kinds that matter, and GNU tar's archive of it. */
function sample(): { root: string; tar: Buffer } {
  const root = scratch()
  mkdirSync(path.join(root, 'sub/empty'), { recursive: true })
  writeFileSync(path.join(root, 'sub/script'), '#!/bin/sh\n', { mode: 0o755 })
  writeFileSync(path.join(root, 'sub/large'), randomBytes(3_000_000))
  writeFileSync(path.join(root, '.wh.name'), 'no whiteout here')
  symlinkSync('/etc/passwd', path.join(root, 'link'))
  execFileSync('ln', [path.join(root, 'sub/script'), path.join(root, 'hard')])
  execFileSync('mkfifo', [path.join(root, 'fifo')])
  execFileSync('chown', ['-h', '1234:5678', path.join(root, 'link'), path.join(root, 'sub/script')])
  return { root, tar: execFileSync('tar', ['-C', root, '-c', '.'], { maxBuffer: 1 << 26 }) }
}

describe('putArchive and getArchive', () => {
  const forEach = (isRoot ? test : test.skip).each(STATES)
  forEach('give back what was put: %s', async (_name, storage, running) => {
    await using container = await inState(storage, running)
    const { root, tar } = sample()
    await container.fs.mkdir('/new')
    const forms: Array<() => Uint8Array | Readable> = [() => tar, () => gzipSync(tar)]
    const file = path.join(scratch(), 'sample.tar')
    writeFileSync(file, tar)
    forms.push(() => createReadStream(file))
    for (const [i, form] of forms.entries()) {
      await container.fs.mkdir(`/new/${i}`)
      await container.putArchive(`/new/${i}`, form())
      const result = await unpacked(container.getArchive(`/new/${i}/`))
      const times = { times: 'seconds' } as const
      expect(look(path.join(result, String(i)), times)).toEqual(look(root, times))
    }
    expect((await container.fs.stat('/new/0/sub/script')).uid).toBe(1234)
    if (running) expect((await container.exec(['cat', '/new/1/.wh.name'])).stdout).toBe('no whiteout here')
  })

  test.each(STATES)('name what is packed as docker cp does: %s', async (_name, storage, running) => {
    await using container = await inState(storage, running)
    await container.fs.mkdir('/srv/d')
    await container.fs.writeFile('/srv/d/f', 'content')
    await container.fs.symlink('/srv/d', '/srv/l')
    expect(await names(container.getArchive('/srv/d'))).toEqual(['d/', 'd/f'])
    expect(await names(container.getArchive('/srv/d/f'))).toEqual(['f'])
    expect(await names(container.getArchive('/srv/l'))).toEqual(['l'])
    expect(await names(container.getArchive('/srv/l/'))).toEqual(['l/', 'l/f'])
    expect(await names(container.getArchive('/srv/l/.'))).toEqual(['f'])
    expect(await names(container.getArchive('/srv/l/f'))).toEqual(['f'])
    // Through the link on the way, which leads from the root of the container.
    await container.putArchive('/srv/l', archive({ name: 'put', data: 'x' }))
    expect(await container.fs.readFile('/srv/d/put', 'utf8')).toBe('x')
  })

  testIf(noOthersFiles || (!findProgram('bsdtar') && 'no bsdtar'))('bsdtar reads and writes them too', async () => {
    await using container = await sleeper({ storage: 'disk' })
    const { root } = sample()
    const tar = execFileSync('bsdtar', ['-C', root, '-cf', '-', '.'], { maxBuffer: 1 << 26 })
    await container.putArchive('/mnt', tar)
    const directory = scratch()
    execFileSync('bsdtar', ['-C', directory, '-xpf', '-'], { input: await buffer(container.getArchive('/mnt')) })
    expect(look(path.join(directory, 'mnt'))).toEqual(look(root))
  })

  test('leave out what the kernel makes up, and show what is mounted', async () => {
    const shared = scratch()
    writeFileSync(path.join(shared, 'file'), 'shared')
    await using container = await sleeper({ mounts: [{ type: 'bind', source: shared, target: '/srv/shared' }] })
    await container.start()
    expect(await names(container.getArchive('/srv'))).toEqual(['srv/', 'srv/shared/', 'srv/shared/file'])
    expect(await names(container.getArchive('/dev/shm'))).toEqual(['shm/'])
    const devices = await names(container.getArchive('/dev'))
    expect(devices).toEqual(expect.arrayContaining(['dev/null', 'dev/pts/']))
    expect(devices).not.toContain('dev/pts/ptmx')
    await container.putArchive('/srv/shared', archive({ name: 'new', data: 'y' }))
    expect(readFileSync(path.join(shared, 'new'), 'utf8')).toBe('y')
  })

  test('say what is wrong', async () => {
    await using container = await sleeper({ storage: 'disk' })
    const tar = archive({ name: 'x' })
    const code = (errno: string) => ({ code: 'ERR_CAISSON_FILE', cause: { code: errno } })
    await expect(container.putArchive('/none', tar)).rejects.toMatchObject(code('ENOENT'))
    await expect(container.putArchive('/etc/passwd', tar)).rejects.toMatchObject(code('ENOTDIR'))
    await expect(buffer(container.getArchive('/none'))).rejects.toMatchObject(code('ENOENT'))
    await expect(buffer(container.getArchive('/none/'))).rejects.toMatchObject(code('ENOENT'))
    await expect(buffer(container.getArchive('/etc/passwd/'))).rejects.toMatchObject(code('ENOTDIR'))
    expect(() => container.getArchive('relative')).toThrow(/absolute/)
    await expect(container.putArchive('/srv', 'text' as never)).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
    })
    await expect(container.putArchive('/srv', Buffer.from('rubbish'.repeat(200)))).rejects.toMatchObject({
      code: 'ERR_CAISSON_LAYER',
    })
    await using memory = await sleeper({ storage: 'memory' })
    await expect(memory.putArchive('/srv', tar)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    await memory.remove()
    await expect(memory.putArchive('/srv', tar)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    await using fixed = await sleeper({ readOnly: true, storage: 'disk' })
    await expect(fixed.putArchive('/srv', tar)).rejects.toMatchObject({ cause: { code: 'EROFS' } })
    await fixed.start()
    await expect(fixed.putArchive('/srv', tar)).rejects.toMatchObject({ cause: { code: 'EROFS' } })
  })

  testIf(!isRoot && 'no user namespace has devices')(
    'make device nodes only where the container is privileged',
    async () => {
      const device = archive({ name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 })
      await using container = await sleeper()
      await container.start()
      await expect(container.putArchive('/srv', device)).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER' })
      expect(await container.fs.readdir('/srv')).toEqual([])
      await using privileged = await sleeper({ security: { privileged: true } })
      await privileged.start()
      await privileged.putArchive('/srv', device)
      expect((await privileged.fs.stat('/srv/null')).isCharacterDevice()).toBe(true)
    },
  )

  test('a directory may replace something else, unless that is forbidden', async () => {
    await using container = await sleeper({ storage: 'disk' })
    await container.putArchive('/srv', archive({ name: 'a' }, { name: 'b/', type: '5', mode: 0o755 }, { name: 'b/c' }))
    const other = archive({ name: 'a/', type: '5', mode: 0o755 }, { name: 'b' })
    await expect(container.putArchive('/srv', other, { noOverwriteDirNonDir: true })).rejects.toMatchObject({
      code: 'ERR_CAISSON_LAYER',
    })
    await container.putArchive('/srv', other)
    expect((await container.fs.stat('/srv/a')).isDirectory()).toBe(true)
    expect((await container.fs.stat('/srv/b')).isFile()).toBe(true)
  })

  test('can be given up, and do not hold the container', async () => {
    await using container = await sleeper({ storage: 'disk' })
    await container.fs.writeFile('/srv/large', randomBytes(4_000_000))
    // Begun, and never read to its end: one fills what waits to be read, the other is about to.
    const begun = async (signal?: AbortSignal) => {
      const stream = container.getArchive('/srv', { signal })
      const failure = new Promise((resolve) => stream.once('error', resolve))
      await new Promise((resolve) => stream.once('readable', resolve))
      return { stream, failure }
    }
    const early = new AbortController()
    const [given, full] = [await begun(early.signal), await begun()]
    await until(() => full.stream.readableLength >= 1_000_000 && given.stream.readableLength >= 1_000_000)
    early.abort()
    expect(await given.failure).toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
    const late = await begun()
    await container.start()
    for (const { failure } of [full, late]) expect(await failure).toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    const abort = new AbortController()
    const endless = (async function* () {
      yield archive({ name: 'begun' }).subarray(0, 512)
      await new Promise(() => {})
    })()
    const put = container.putArchive('/mnt', endless, { signal: abort.signal })
    setTimeout(() => abort.abort(), 50)
    await expect(put).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
    container.getArchive('/srv').destroy()
    await container.remove({ force: true })
  })
})

test.each([
  ['running', true],
  ['stopped', false],
])('in a user namespace owners are the numbers of the archive too: %s', async (_name, running) => {
  await using container = await sleeper({
    storage: running ? 'memory' : 'disk',
    namespaces: { user: 'private' },
  })
  if (running) await container.start()
  await container.putArchive('/srv', archive({ name: 'file', uid: 33, gid: 44 }, { name: 'new/x' }))
  const listing = execFileSync('tar', ['-tv', '--numeric-owner'], {
    input: await buffer(container.getArchive('/srv/')),
    encoding: 'utf8',
  })
  expect(listing).toMatch(/ 33\/44 .* srv\/file\n.* 0\/0 .* srv\/new\/\n/)
  expect((await container.diff()).map(({ path }) => path)).toEqual(['/srv', '/srv/file', '/srv/new', '/srv/new/x'])
  if (running) expect((await container.exec(['stat', '-c', '%u:%g', '/srv/file'])).stdout).toBe('33:44\n')
  await expect(container.putArchive('/srv', archive({ name: 'far', uid: 3_000_000 }))).rejects.toMatchObject({
    code: 'ERR_CAISSON_LAYER',
  })
})

describe('a guest that swaps a directory for a link while archives come and go', () => {
  const secret = randomBytes(16).toString('hex')
  const swap = compileProgram('swap')

  /** A secret on the host, and a container in whose place for it lies something else. */
  async function swapping(link: (outside: string) => string) {
    const outside = scratch()
    writeFileSync(path.join(outside, 'file'), secret)
    const container = await Container.create(image, { command: ['/swap', '/w', 'a', 'b'], storage: 'disk' })
    await container.fs.writeFile('/swap', swap, { mode: 0o755 })
    for (const directory of ['/w/a', outside]) {
      await container.fs.mkdir(directory, { recursive: true })
      await container.fs.writeFile(`${directory}/file`, 'inside')
    }
    await container.fs.symlink(link(outside), '/w/b')
    return { outside, container }
  }

  const links: Array<[name: string, link: (outside: string) => string]> = [
    ['absolute', (outside) => outside],
    ['upwards', (outside) => `${'../'.repeat(12)}${outside.slice(1)}`],
    ['through /proc', (outside) => `/proc/1/root${outside}`],
  ]

  test.each(links)('reaches nothing outside: %s', async (_name, link) => {
    const { outside, container } = await swapping(link)
    await using _ = container
    await container.start()
    // The attack is real: by name, through the writable layer, it gets at the secret.
    const naive = path.join(container.inspect().upper as string, 'w/a/file')
    let reached = link(outside).startsWith('/proc')
    const until = Date.now() + 20_000
    while (!reached && Date.now() < until)
      try {
        reached = readFileSync(naive, 'utf8') === secret
      } catch {}
    expect(reached).toBe(true)

    const before = look(outside, { times: 'exact', directoryTimes: true })
    const tally = { put: 0, got: 0, refused: 0 }
    for (let round = 0; round < (isRoot ? 150 : 30); round++) {
      const members: Member[] = [
        { name: 'file', data: `put ${round}` },
        { name: `new/${round}`, data: 'x' },
      ]
      await container.putArchive('/w/a', archive(...members)).then(
        () => tally.put++,
        () => tally.refused++,
      )
      for (const at of ['/w/a/', '/w/a/file', '/w/a', '/w'])
        await buffer(container.getArchive(at)).then(
          (bytes) => {
            expect(bytes.includes(secret)).toBe(false)
            tally.got++
          },
          () => tally.refused++,
        )
    }
    expect(look(outside, { times: 'exact', directoryTimes: true })).toEqual(before)
    expect(tally.put).toBeGreaterThan(0)
    expect(tally.got).toBeGreaterThan(0)
    expect(container.state).toBe('running')
  })

  test('programs in the container that have the names of decompressors are not run', async () => {
    const trap = { content: '#!/bin/sh\necho > /trapped\n', mode: 0o755 }
    const files = Object.fromEntries(['gzip', 'gunzip', 'unpigz', 'xz', 'zstd', 'tar'].map((n) => [`/bin/${n}`, trap]))
    const root = scratch()
    mkdirSync(path.join(root, 'bin'))
    execFileSync('cp', [execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim(), path.join(root, 'bin/sh')])
    await using container = await Container.create(await Image.fromRootfs(root), {
      command: ['/bin/sh', '-c', 'while :; do sleep 1; done'],
      files,
    })
    await container.start()
    await container.putArchive('/', gzipSync(archive({ name: 'x', data: 'y' })))
    expect(await names(container.getArchive('/x'))).toEqual(['x'])
    expect(await container.fs.readdir('/')).not.toContain('trapped')
  })
})

import { existsSync } from 'node:fs'
import { Readable } from 'node:stream'
import { Container, Image } from '../../../lib/index.js'
import { until } from '../../support/until.js'

const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error) => error.cause?.code ?? error.code,
  )

describe('files of a container', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  const sleeper = (options = {}) => Container.create(image, { command: ['sleep', '1000'], ...options })

  test('are shown and changed, running or not', async () => {
    await using container = await Container.create(image, { command: ['sleep', '1000'], files: { '/app/a.txt': 'a' } })
    await container.fs.writeFile('/early', 'before the start')
    await container.start()
    expect(await container.fs.readFile('/early', 'utf8')).toBe('before the start')
    expect(await container.fs.readFile('/app/a.txt', 'utf8')).toBe('a')
    await container.fs.mkdir('/data/deep', { recursive: true })
    await container.fs.writeFile('/data/deep/b', Buffer.from([0, 255]), { mode: 0o600 })
    expect((await container.exec(['od', '-An', '-tx1', '/data/deep/b'])).stdout.trim()).toBe('00 ff')
    expect(await container.fs.readdir('/data')).toEqual(['deep'])
    const status = await container.fs.stat('/data/deep/b')
    expect(status).toMatchObject({ size: 2, uid: 0 })
    expect(status.mode & 0o777).toBe(0o600)
    expect(status.isFile()).toBe(true)
    await container.fs.symlink('deep/b', '/data/link')
    await container.fs.rename('/data/link', '/data/renamed')
    expect(await container.fs.readlink('/data/renamed')).toBe('deep/b')
    await container.fs.chmod('/data/renamed', 0o644)
    await container.fs.chown('/data/deep/b', 5, 6)
    expect(await container.fs.stat('/data/deep/b')).toMatchObject({ uid: 5, gid: 6 })
    await container.kill()
    expect(await container.fs.readFile('/data/renamed')).toEqual(Buffer.from([0, 255]))
    await container.fs.rm('/data', { recursive: true })
    await expect(container.fs.stat('/data')).rejects.toMatchObject({
      code: 'ERR_CAISSON_FILE',
      cause: { code: 'ENOENT' },
    })
    await container.start()
    expect((await container.exec(['ls', '/data'])).exitCode).toBe(2)
  })

  test('are listed to a number: a guest makes more than memory holds', async () => {
    await using container = await sleeper({ mounts: [{ type: 'tmpfs', target: '/many' }] })
    await container.start()
    const { fs } = container
    const many = 'mkdir -p /many/a/b && cd /many/a/b && seq 1 2000 | xargs touch'
    expect((await container.exec(['sh', '-c', many])).exitCode).toBe(0)
    const refused = {
      code: 'ERR_CAISSON_FILE',
      cause: { code: 'EFBIG' },
      stage: expect.stringContaining('/many'),
      hint: expect.stringContaining('maxEntries'),
    }
    expect(await fs.readdir('/many/a/b', { maxEntries: 2000 })).toHaveLength(2000)
    expect(await fs.readdir('/many', { recursive: true, maxEntries: 2002 })).toHaveLength(2002)
    await expect(fs.readdir('/many/a/b', { maxEntries: 1999 })).rejects.toMatchObject(refused)
    for (const maxEntries of [0, 1, 2001])
      await expect(fs.readdir('/many', { recursive: true, maxEntries })).rejects.toMatchObject(refused)
    // Few, and long.
    const long = 'a=$(printf %0250d 0); cd /many/a; rm -r b; for i in 1 2 3 4 5 6 7 8 9 10; do mkdir $a && cd $a; done'
    expect((await container.exec(['sh', '-c', long])).exitCode).toBe(0)
    expect(await fs.readdir('/many/a', { recursive: true })).toHaveLength(10)
    await expect(fs.readdir('/many/a', { recursive: true, maxEntries: 12 })).rejects.toMatchObject(refused)
    for (const maxEntries of [-1, 1.5, '9' as never])
      await expect(fs.readdir('/many', { maxEntries })).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })

  test('fail as those of fs/promises do', async () => {
    await using container = await sleeper()
    const { fs } = container
    await fs.mkdir('/data/sub', { recursive: true })
    await fs.writeFile('/data/x', Readable.from(['from ', Buffer.from('a stream')]), { mode: '640' })
    expect(await fs.readFile('/data/x', 'utf8')).toBe('from a stream')
    await fs.chmod('/data/x', '600')
    expect((await fs.stat('/data/x')).mode & 0o777).toBe(0o600)
    expect(await code(fs.rm('/data'))).toBe('EISDIR')
    expect(await code(fs.rm('/data/sub'))).toBe('EISDIR')
    expect(await code(fs.readFile('/data'))).toBe('EISDIR')
    expect(await code(fs.readFile('/data/none'))).toBe('ENOENT')
    expect(await code(fs.readFile('/data/x', { maxBytes: 12 }))).toBe('EFBIG')
    expect(await fs.readFile('/data/x', { maxBytes: 13 })).toEqual(Buffer.from('from a stream'))
    expect(await code(fs.readFile('/data/x', { maxBytes: -1 }))).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    for (const wrong of [
      fs.writeFile('/data/y', 5 as never),
      fs.chmod('/data/x', 'u+x'),
      fs.chown('/data/x', -1, 0),
      fs.writeFile('/data/y', '', { mode: 0o100000 }),
    ])
      expect(await code(wrong)).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  })

  test('have the paths of a kernel, inside the root', async () => {
    await using container = await sleeper({ files: { '/data/x': 'X', '/data/sub/y': 'Y' } })
    const { fs } = container
    await container.start()
    await fs.symlink('/data/sub', '/link')
    for (const running of [true, false]) {
      if (!running) await container.stop({ timeout: 0 })
      expect(await fs.readFile('/data/sub/../x', 'utf8')).toBe('X')
      expect(await fs.readFile('/../../data//./x', 'utf8')).toBe('X')
      // Where the link leads to is in /data.
      expect(await fs.readFile('/link/../x', 'utf8')).toBe('X')
      expect(await code(fs.readFile('/none/../data/x'))).toBe('ENOENT')
      expect(await code(fs.readFile('/data/x/../x'))).toBe('ENOTDIR')
      expect(await code(fs.readFile('/data/x/'))).toBe('ENOTDIR')
      expect(await code(fs.writeFile('/data/z/', ''))).toBe('EISDIR')
      expect((await fs.lstat('/link')).isSymbolicLink()).toBe(true)
      expect((await fs.lstat('/link/')).isDirectory()).toBe(true)
      await fs.mkdir('/data/made/')
      await fs.mkdir('/data/a/../b/c/', { recursive: true })
      await fs.rename('/data/made/', '/data/b/../moved/')
      for (const recursive of [false, true]) expect(await code(fs.rm('/data/x/', { recursive }))).toBe('ENOTDIR')
      expect(await code(fs.rm('/link/', { recursive: true }))).toBe('ENOTDIR')
      expect(await code(fs.rename('/data/x/', '/data/z'))).toBe('ENOTDIR')
      expect(await code(fs.symlink('x', '/data/z/'))).toBe('ENOENT')
      expect(await code(fs.rm('/data/sub/..', { recursive: true }))).toBe('EINVAL')
      for (const made of ['moved/', 'a', 'b//']) await fs.rm(`/data/${made}`, { recursive: true })
      expect(await fs.readdir('/data/')).toEqual(['sub', 'x'])
      await fs.symlink('/data', '/data/sub/loop').catch(() => undefined)
      expect(await fs.readdir('/data', { recursive: true })).toEqual(['sub', 'x', 'sub/loop', 'sub/y'])
      const entries = await fs.readdir('/data', { recursive: true, withFileTypes: true })
      expect(entries.map(({ parentPath, name }) => `${parentPath}/${name}`)).toContain('/data/sub/y')
    }
  })

  test('are listed to the end, whatever the guest puts in the place of a directory; or it is said why not', async () => {
    const swap = `
import ctypes, os, time
os.mkdir('/dev/shm/a'); os.mkfifo('/dev/shm/b')
libc = ctypes.CDLL(None)
while True:
    libc.renameat2(-100, b'/dev/shm/a', -100, b'/dev/shm/b', 2)
    time.sleep(0.0005)
`
    await using container = await Container.create(image, { command: ['python3', '-c', swap] })
    const { fs } = container
    await container.start()
    await until(async () => (await fs.readdir('/dev/shm')).length === 2)
    for (let round = 0; round < 500; round++)
      expect(await fs.readdir('/dev/shm', { recursive: true })).toEqual(['a', 'b'])
    const listing = code(fs.readdir('/usr', { recursive: true }))
    await container.remove({ force: true })
    expect(await listing).toBe('ERR_CAISSON_INVALID_STATE')
  })

  test('may be asked for many times at once, in every state', async () => {
    await using container = await sleeper({ files: { '/x': 'X' } })
    const { fs } = container
    const many = () => Promise.all(Array.from({ length: 16 }, (_, i) => fs.writeFile(`/made-${i}`, String(i))))
    await many()
    await container.start()
    await many()
    await container.stop({ timeout: 0 })
    await many()
    const read = await Promise.all(Array.from({ length: 16 }, (_, i) => fs.readFile(`/made-${i}`, 'utf8')))
    expect(read).toEqual(Array.from({ length: 16 }, (_, i) => String(i)))
    expect(await fs.readFile('/x', 'utf8')).toBe('X')
    await expect(fs.readFile('/x', 'utf-9' as never)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })

  test('may be asked for while it is started and stopped', async () => {
    await using container = await sleeper({ files: { '/x': 'X' } })
    const { fs } = container
    for (let round = 0; round < 10; round++) {
      const written = [fs.writeFile('/early', String(round))]
      const started = container.start()
      for (let turn = 0; turn < 20; turn++) {
        written.push(fs.writeFile(`/made-${turn}`, String(round)))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await Promise.all([started, ...written])
      expect((await container.exec(['cat', '/x', '/early', '/made-0', '/made-19'])).stdout).toBe(
        `X${round}${round}${round}`,
      )
      const read = fs.readFile('/made-7', 'utf8')
      await container.stop({ timeout: 0 })
      expect(await read).toBe(String(round))
    }
    expect(existsSync('/made-0')).toBe(false)
  })
})

import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { CaissonError } from '../../../lib/errors.js'
import { type ApplyOptions, applyLayer, LayerSink } from '../../../lib/layer/apply.js'
import { settleLayer } from '../../../lib/layer/tree.js'
import { archive, gnuLong, type Member, pax } from '../../support/archive.js'
import { isRoot, testIf } from '../../support/needs.js'
import { look, removeScratch, scratch, xattrs } from '../../support/tree.js'

afterAll(removeScratch)

const asRoot = testIf(!isRoot && 'needs root')
const mine: Partial<ApplyOptions> = isRoot ? {} : { owners: 'ignore' }

function apply(directory: string, bytes: Uint8Array, options: Partial<ApplyOptions> = {}) {
  return applyLayer({ directory, source: Readable.from([bytes]), whiteouts: 'apply', ...mine, ...options })
}

/** A new directory with members in it. */
async function unpacked(...members: Array<Member | Buffer>): Promise<string> {
  const directory = scratch()
  await apply(directory, archive(...members))
  return directory
}

describe('members', () => {
  test('files, directories, links and FIFOs, with modes and times', async () => {
    const directory = scratch()
    const result = await apply(
      directory,
      archive(
        { name: 'd/', type: '5', mode: 0o750, mtime: 1000 },
        { name: 'd/file', data: 'hello', mode: 0o4755, mtime: 2000 },
        { name: 'd/hard', type: '1', link: 'd/file' },
        { name: 'd/soft', type: '2', link: '../elsewhere', mtime: 3000 },
        { name: 'd/fifo', type: '6', mode: 0o622, mtime: 4000 },
        { name: 'closed/', type: '5', mode: 0o555, mtime: 5000 },
        { name: 'closed/file', mode: 0 },
        { name: 'empty' },
      ),
    )
    expect(look(directory, { owners: false, times: 'seconds', directoryTimes: true, content: false })).toEqual({
      d: 'dir 1000',
      'd/file': 'file 5 2000 link#0',
      'd/hard': 'file 5 2000 link#0',
      'd/soft': '-> ../elsewhere 3000',
      'd/fifo': 'fifo 4000',
      closed: 'dir 5000',
      'closed/file': 'file 0 0',
      empty: 'file 0 0',
    })
    const mode = (name: string) => (lstatSync(path.join(directory, name)).mode & 0o7777).toString(8)
    expect(['d', 'd/file', 'd/fifo', 'closed', 'closed/file', 'empty'].map(mode)).toEqual([
      '750',
      '4755',
      '622',
      '555',
      '0',
      '644',
    ])
    expect(result).toMatchObject({ entries: 8, unpackedBytes: 5, compression: 'none', xattrsDropped: 0 })
    expect(result.digest).toBe(result.diffId)
  })

  asRoot('owners and device nodes', async () => {
    const directory = await unpacked(
      { name: 'file', uid: 1000, gid: 2000, mode: 0o6755 },
      { name: 'dir', type: '5', uid: 7, gid: 8, mode: 0o2775 },
      { name: 'dir/inner', uid: 0, gid: 0 },
      { name: 'link', type: '2', link: 'x', uid: 5, gid: 6 },
      { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
      { name: 'disk', type: '4', major: 8, minor: 300, mode: 0o660, gid: 6 },
    )
    expect(look(directory, { content: false })).toEqual({
      file: 'file 0 6755 1000:2000',
      dir: 'dir 2775 7:8',
      'dir/inner': 'file 0 644 0:0',
      link: '-> x 5:6',
      null: `char ${(1 << 8) | 3} 666 0:0`,
      disk: `block ${(300 & 0xff) | (8 << 8) | ((300 & ~0xff) << 12)} 660 0:6`,
    })
  })

  test('times with fractions, before 1970, and large', async () => {
    const directory = await unpacked(
      pax([['mtime', '1700000000.123456789']]),
      { name: 'now' },
      pax([['mtime', '-1.5']]),
      { name: 'before' },
      pax([['mtime', '4294967296.000000001']]),
      { name: 'later' },
    )
    const time = (name: string) => lstatSync(path.join(directory, name), { bigint: true }).mtimeNs
    expect(time('now')).toBe(1700000000123456789n)
    expect(time('before')).toBe(-1500000000n)
    expect(time('later')).toBe(4294967296000000001n)
  })

  test('long names, of GNU and of pax, and bytes that are no UTF-8', async () => {
    const long = `${'d'.repeat(120)}/${'e'.repeat(200)}`
    const odd = Buffer.from([0x61, 0xff, 0x0a, 0x62])
    const directory = await unpacked(
      gnuLong('L', long),
      { name: 'cut', data: 'gnu' },
      pax([['path', `${long}2`]]),
      { name: 'cut', data: 'pax' },
      gnuLong('K', `${'t'.repeat(300)}`),
      { name: 'link', type: '2' },
      { name: odd, data: 'odd' },
      { prefix: 'p'.repeat(155), name: 'n'.repeat(100), data: 'ustar' },
    )
    expect(readFileSync(path.join(directory, long), 'utf8')).toBe('gnu')
    expect(readFileSync(path.join(directory, `${long}2`), 'utf8')).toBe('pax')
    expect(readlinkSync(path.join(directory, 'link'))).toBe('t'.repeat(300))
    expect(readFileSync(path.join(directory, 'p'.repeat(155), 'n'.repeat(100)), 'utf8')).toBe('ustar')
    expect(readdirSync(Buffer.from(directory), 'latin1')).toContain(odd.toString('latin1'))
  })

  test('a time of a directory survives members that come later, however many directories are open', async () => {
    const members: Member[] = []
    for (let i = 0; i < 300; i++) members.push({ name: `d${i}`, type: '5', mode: 0o755, mtime: 1000 + i })
    for (let i = 0; i < 300; i++) members.push({ name: `d${i}/deep/er/file`, mtime: 5 })
    const directory = await unpacked(...members)
    for (let i = 0; i < 300; i++) {
      expect(lstatSync(path.join(directory, `d${i}`)).mtimeMs).toBe((1000 + i) * 1000)
      expect(lstatSync(path.join(directory, `d${i}/deep`)).mtimeMs).toBe(0)
    }
  })

  asRoot('attributes: content is kept, what means something to the host is dropped', async () => {
    const directory = scratch()
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')
    const result = await apply(
      directory,
      archive(
        pax([
          ['SCHILY.xattr.security.capability', capability],
          ['SCHILY.xattr.user.note', Buffer.from([0, 1, 2, 0x3d, 0x0a])],
          ['SCHILY.xattr.user.overlay.redirect', '/etc'],
          ['SCHILY.xattr.trusted.overlay.redirect', '/etc'],
          ['SCHILY.xattr.trusted.overlay.metacopy', ''],
          ['SCHILY.xattr.security.selinux', 'x'],
          ['SCHILY.xattr.system.posix_acl_access', 'x'],
        ]),
        { name: 'ping', mode: 0o755, uid: 3 },
        pax([
          ['SCHILY.xattr.user.d', 'v'],
          ['SCHILY.xattr.trusted.overlay.opaque', 'y'],
        ]),
        { name: 'dir', type: '5', mode: 0o755 },
        pax([['SCHILY.xattr.security.capability', capability]]),
        { name: 'link', type: '2', link: 'ping' },
      ),
    )
    expect(xattrs(path.join(directory, 'ping'))).toEqual({
      'security.capability': capability.toString('hex'),
      'user.note': '0001023d0a',
    })
    expect(xattrs(path.join(directory, 'dir'))).toEqual({ 'user.d': '76' })
    expect(xattrs(path.join(directory, 'link'))).toEqual({})
    expect(result.xattrsDropped).toBe(7)
  })

  test('what comes later replaces what came before', async () => {
    const directory = await unpacked(
      { name: 'a', data: 'file' },
      { name: 'a', type: '5', mode: 0o755 },
      { name: 'a/inner', data: '1' },
      { name: 'b/deep/er', data: '1' },
      { name: 'b', data: 'file now' },
      { name: 'c', type: '2', link: 'b' },
      { name: 'c', data: 'not through the link' },
      { name: 'd', data: 'first' },
      { name: 'd2', type: '1', link: 'd' },
      { name: 'd', data: 'second' },
      { name: 'e', type: '5', mode: 0o700 },
      { name: 'e/kept' },
      { name: 'e', type: '5', mode: 0o711 },
      { name: 'f', type: '1', link: 'd' },
      { name: 'f', type: '1', link: 'f' },
    )
    expect(look(directory, { owners: false, content: false })).toEqual({
      a: 'dir',
      'a/inner': 'file 1',
      b: 'file 8',
      c: 'file 20',
      d: 'file 6 link#0',
      d2: 'file 5',
      e: 'dir',
      'e/kept': 'file 0',
      f: 'file 6 link#0',
    })
    expect(lstatSync(path.join(directory, 'e')).mode & 0o777).toBe(0o711)
  })

  test('names are taken inside the root', async () => {
    const directory = await unpacked(
      { name: '/abs', data: '1' },
      { name: './here', data: '1' },
      { name: '../up', data: '1' },
      { name: 'x/../../y//./z', data: '1' },
      { name: './', type: '5', mode: 0o711, mtime: 77 },
      { name: '..', type: '2', link: '/etc' },
      { name: '', data: '' },
    )
    expect(Object.keys(look(directory)).sort()).toEqual(['abs', 'here', 'up', 'y', 'y/z'])
    expect(lstatSync(directory).mode & 0o777).toBe(0o711)
    expect(lstatSync(directory).mtimeMs).toBe(77000)
  })

  test('a directory that was open is not used when something has taken its place', async () => {
    const outside = scratch()
    const directory = await unpacked(
      { name: 'a/b/c/file', data: '1' },
      { name: 'other/b/c', type: '5', mode: 0o755 },
      { name: 'a', type: '2', link: 'other' },
      { name: 'a/b/c/file', data: 'new' },
      { name: 'esc', type: '2', link: outside },
      { name: 'esc/evil', data: 'x' },
      { name: 'a', type: '5', mode: 0o755 },
      { name: 'a/b/c/file', data: 'last' },
    )
    expect(readFileSync(path.join(directory, 'other/b/c/file'), 'utf8')).toBe('new')
    expect(readFileSync(path.join(directory, 'a/b/c/file'), 'utf8')).toBe('last')
    expect(readdirSync(outside)).toEqual([])
    expect(existsSync(path.join(directory, outside, 'evil'))).toBe(true)
  })
})

describe('options', () => {
  asRoot('an id map moves owners, and an id that it does not have is an error', async () => {
    const directory = scratch()
    const idMap = {
      uidMap: [
        { containerID: 0, hostID: 100000, size: 1000 },
        { containerID: 65534, hostID: 165534, size: 1 },
      ],
      gidMap: [{ containerID: 0, hostID: 200000, size: 1000 }],
    }
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')
    await apply(
      directory,
      archive(
        { name: 'a', uid: 0, gid: 5 },
        { name: 'made/b', uid: 65534 },
        pax([['SCHILY.xattr.security.capability', capability]]),
        { name: 'cap', mode: 0o755 },
      ),
      { idMap },
    )
    expect(look(directory)).toMatchObject({
      a: expect.stringContaining('100000:200005'),
      made: expect.stringContaining('100000:200000'),
      'made/b': expect.stringContaining('165534:200000'),
    })
    // Version 3, for the root of the map only.
    const value = Buffer.from(xattrs(path.join(directory, 'cap'))['security.capability'] as string, 'hex')
    expect([value.length, value[3], value.readUInt32LE(20)]).toEqual([24, 3, 100000])
    await expect(apply(scratch(), archive({ name: 'x', uid: 1000 }), { idMap })).rejects.toMatchObject({
      code: 'ERR_CAISSON_LAYER',
      message: expect.stringContaining('x: its uid 1000 is not in the id map'),
    })
  })

  test('owners can be left alone', async () => {
    const directory = scratch()
    await apply(directory, archive({ name: 'a', uid: 4242, gid: 4242 }), { owners: 'ignore' })
    expect(lstatSync(path.join(directory, 'a')).uid).toBe(process.getuid?.())
  })

  test('devices can be skipped or refused', async () => {
    const bytes = archive({ name: 'null', type: '3', major: 1, minor: 3 }, { name: 'fifo', type: '6' })
    const directory = scratch()
    expect(await apply(directory, bytes, { devices: 'skip' })).toMatchObject({ devicesSkipped: 1 })
    expect(readdirSync(directory)).toEqual(['fifo'])
    await expect(apply(scratch(), bytes, { devices: 'refuse' })).rejects.toThrow('null: a device')
  })

  test('limits', async () => {
    const many = archive(...Array.from({ length: 20 }, (_, i) => ({ name: `f${i}` })))
    const limited = (bytes: Uint8Array, limits: ApplyOptions['limits']) => apply(scratch(), bytes, { limits })
    await expect(limited(many, { entries: 19 })).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER_LIMIT' })
    await limited(many, { entries: 20 })
    await expect(limited(archive({ name: 'a/b/c/d/e' }), { entries: 4 })).rejects.toThrow('more than 4')
    await expect(limited(many, { bytes: many.length - 1 })).rejects.toThrow('bytes when decompressed')
    await limited(many, { bytes: many.length })
    await expect(limited(archive({ data: '12345' }), { fileSize: 4 })).rejects.toThrow('file: a file of more than 4')
    const bomb = gzipSync(archive({ data: Buffer.alloc(8 << 20) }))
    await expect(limited(bomb, { ratio: 100 })).rejects.toThrow('100 times')
    await limited(bomb, { ratio: 1100 })
    for (const limits of [{ bytes: -1 }, { entries: 1.5 }, { ratio: -3 }])
      await expect(limited(many, limits)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })

  test('what is expected is checked', async () => {
    const bytes = gzipSync(archive({ name: 'a' }))
    const { digest, diffId, size } = await apply(scratch(), bytes)
    const expected = { digest, diffId, size }
    await apply(scratch(), bytes, { expected })
    const other = `sha256:${'0'.repeat(64)}`
    for (const wrong of [{ digest: other }, { diffId: other }, { size: size + 1 }, { size: size - 1 }])
      await expect(apply(scratch(), bytes, { expected: { ...expected, ...wrong } })).rejects.toMatchObject({
        code: 'ERR_CAISSON_DIGEST',
      })
    await expect(apply(scratch(), bytes, { expected: { digest: 'sha256:../x' } })).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
    })
  })

  test('a place inside the root, reached through links that stay inside', async () => {
    const directory = scratch()
    mkdirSync(path.join(directory, 'real'))
    symlinkSync('/real', path.join(directory, 'link'))
    await apply(directory, archive({ name: 'f', data: '1' }, { name: 'g', type: '1', link: 'f' }), {
      at: '/link',
      whiteouts: 'none',
    })
    await apply(directory, archive({ name: '../../../up' }, { name: '.wh.f' }), { at: 'link', whiteouts: 'none' })
    expect(Object.keys(look(directory))).toEqual(['link', 'real', 'real/.wh.f', 'real/f', 'real/g', 'real/up'])
    await expect(apply(directory, archive({}), { at: 'missing', whiteouts: 'none' })).rejects.toMatchObject({
      code: 'ERR_CAISSON_FILE',
      cause: { code: 'ENOENT' },
    })
  })

  test('kinds can be kept', async () => {
    const directory = scratch()
    mkdirSync(path.join(directory, 'dir'))
    writeFileSync(path.join(directory, 'file'), '')
    for (const bytes of [archive({ name: 'dir' }), archive({ name: 'file', type: '5' })])
      await expect(apply(directory, bytes, { whiteouts: 'none', replaceKind: false })).rejects.toThrow('replace')
    await apply(directory, archive({ name: 'file', data: 'new' }, { name: 'dir', type: '5', mode: 0o755 }), {
      whiteouts: 'none',
      replaceKind: false,
    })
    expect(readFileSync(path.join(directory, 'file'), 'utf8')).toBe('new')
  })

  test('wrong arguments', async () => {
    for (const options of [{ directory: '' }, { directory: -1 }, { directory: 'a\0b' }] as ApplyOptions[])
      await expect(applyLayer({ ...options, source: '/dev/null' })).rejects.toMatchObject({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
      })
    await expect(applyLayer({ directory: '/nonexistent', source: '/dev/null' })).rejects.toMatchObject({
      cause: { code: 'ENOENT', syscall: 'open', path: '/nonexistent' },
    })
    await expect(applyLayer({ directory: scratch(), source: '/nonexistent' })).rejects.toBeInstanceOf(CaissonError)
    await expect(applyLayer({ directory: scratch(), source: '/' })).rejects.toMatchObject({ cause: { code: 'EISDIR' } })
  })
})

describe('streams', () => {
  const bytes = gzipSync(
    archive(...Array.from({ length: 500 }, (_, i) => ({ name: `d${i % 7}/f${i}`, data: `${i}`.repeat(i) }))),
  )

  test('a file, a descriptor, a pipe and pieces of any size give the same', async () => {
    const file = path.join(scratch(), 'layer.tar.gz')
    writeFileSync(file, bytes)
    const sources = [
      () => file,
      () => openSync(file, 'r'),
      () => createReadStream(file, { highWaterMark: 10 }),
      () =>
        Readable.from(
          (function* () {
            for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777)
          })(),
        ),
    ]
    const results = []
    for (const source of sources) {
      const directory = scratch()
      const result = await applyLayer({ directory, source: source(), ...mine })
      results.push([result, look(directory)])
    }
    for (const result of results) expect(result).toEqual(results[0])
  })

  test('progress is told', async () => {
    const told: Array<{ bytes: number; entries: number }> = []
    const sink = new LayerSink({ directory: scratch(), ...mine, onProgress: (progress) => told.push(progress) })
    for (let at = 0; at < bytes.length; at += 4000) {
      await sink.write(bytes.subarray(at, at + 4000))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await sink.end()
    expect(told.length).toBeGreaterThan(0)
    expect(told.at(-1)?.bytes).toBeGreaterThan(4000)
  })

  test('a sink can be aborted at any time, and stops writing', async () => {
    for (const pieces of [0, 1, 3]) {
      const directory = scratch()
      const sink = new LayerSink({ directory, ...mine })
      for (let at = 0; at < pieces; at++) await sink.write(bytes.subarray(at * 1000, at * 1000 + 1000))
      const waiting = sink.write(new Uint8Array(0)).catch((error) => error)
      await sink.abort()
      await waiting
      const before = look(directory)
      await expect(sink.write(bytes)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
      await expect(sink.end()).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
      expect(look(directory)).toEqual(before)
    }
  })

  test('a signal aborts, also one that is there before, and while the source is silent', async () => {
    await expect(apply(scratch(), bytes, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_CAISSON_ABORTED',
    })
    const silent = new Readable({ read() {} })
    silent.push(bytes.subarray(0, 1000))
    await expect(
      applyLayer({ directory: scratch(), source: silent, ...mine, signal: AbortSignal.timeout(50) }),
    ).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
  })

  test('an error of the source is passed on', async () => {
    const source = Readable.from(
      (async function* () {
        yield bytes.subarray(0, 100)
        throw new Error('lost')
      })(),
    )
    await expect(applyLayer({ directory: scratch(), source, ...mine })).rejects.toThrow('lost')
  })

  test('writing fails with what is wrong with the layer', async () => {
    const sink = new LayerSink({ directory: scratch(), ...mine })
    await sink.write(Buffer.alloc(4096, 0x41))
    await expect(
      (async () => {
        for (;;) await sink.write(Buffer.alloc(65536, 0x41))
      })(),
    ).rejects.toThrow('no tar archive at all')
    await expect(sink.end()).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER' })
  })
})

describe('whiteouts', () => {
  const lower: Member[] = [
    { name: 'a/', type: '5', mode: 0o755 },
    { name: 'a/one' },
    { name: 'a/two' },
    { name: 'b/deep/file' },
    { name: 'c' },
    { name: 'link', type: '2', link: 'a' },
  ]
  const applied = async (...members: Member[]) => {
    const directory = scratch()
    await apply(directory, archive(...lower))
    await apply(directory, archive(...members))
    return Object.keys(look(directory))
  }

  test('delete what was there before, in a flat tree', async () => {
    expect(await applied({ name: '.wh.c' }, { name: '.wh.b' }, { name: 'a/.wh.one' })).toEqual(['a', 'a/two', 'link'])
    expect(await applied({ name: 'a/.wh..wh..opq' }, { name: '.wh.missing' })).toEqual([
      'a',
      'b',
      'b/deep',
      'b/deep/file',
      'c',
      'link',
    ])
    expect(await applied({ name: '.wh.link' })).toContain('a/one')
    expect(await applied({ name: 'link/.wh.one' })).not.toContain('a/one')
    expect(await applied({ name: 'nowhere/.wh.one' })).not.toContain('nowhere')
  })

  test('leave what the same layer has put there, in any order', async () => {
    const members: Member[] = [{ name: 'a/', type: '5', mode: 0o755 }, { name: 'a/new' }]
    const marks: Member[] = [{ name: 'a/.wh..wh..opq' }, { name: '.wh.a' }]
    for (const mark of marks)
      for (const order of [
        [mark, ...members],
        [...members, mark],
      ])
        expect(await applied(...order)).toEqual(['a', 'a/new', 'b', 'b/deep', 'b/deep/file', 'c', 'link'])
    expect(await applied({ name: 'b/deep/new' }, { name: '.wh.b' })).toEqual([
      'a',
      'a/one',
      'a/two',
      'b',
      'b/deep',
      'b/deep/new',
      'c',
      'link',
    ])
    expect(await applied({ name: 'c', data: 'new' }, { name: '.wh.c' })).toContain('c')
    expect(await applied({ name: '.wh..wh..opq' }, { name: 'c' })).toEqual(['c'])
  })

  test('names that are not deletions of anything are refused, whatever the mode', async () => {
    for (const whiteouts of ['apply', 'overlay'] as const)
      for (const name of ['.wh.', '.wh..', '.wh...', 'a/.wh.', 'a/.wh..', 'a/.wh...'])
        await expect(apply(scratch(), archive({ name }), { whiteouts })).rejects.toMatchObject({
          code: 'ERR_CAISSON_LAYER',
          message: expect.stringContaining(name),
        })
  })

  test("AUFS's own names are left out", async () => {
    expect(
      await applied({ name: '.wh..wh.plnk', type: '5' }, { name: '.wh..wh.plnk/1.2' }, { name: '.wh..wh.aufs' }),
    ).toHaveLength(8)
  })

  asRoot("become overlay's marks", async () => {
    const directory = scratch()
    const result = await apply(
      directory,
      archive(
        { name: '.wh.gone' },
        { name: 'd/', type: '5', mode: 0o755, mtime: 9 },
        { name: 'd/.wh..wh..opq' },
        { name: 'd/file' },
        { name: 'd/.wh.file' },
        { name: 'x/.wh.y' },
        // Deleted below, and made new: a directory that hides what was there.
        { name: '.wh.again' },
        { name: 'again/', type: '5', mode: 0o755 },
        { name: '.wh.implied' },
        { name: 'implied/file' },
        { name: 'after/', type: '5', mode: 0o755 },
        { name: '.wh.after' },
        { name: '.wh.file' },
        { name: 'file', data: '1' },
        { name: '.wh..wh..opq' },
      ),
      { whiteouts: 'overlay' },
    )
    expect(look(directory, { owners: false, content: false })).toEqual({
      gone: 'char 0',
      d: 'dir',
      'd/file': 'file 0',
      x: 'dir',
      'x/y': 'char 0',
      again: 'dir',
      implied: 'dir',
      'implied/file': 'file 0',
      after: 'dir',
      file: 'file 1',
    })
    for (const name of ['d', 'again', 'implied', 'after'])
      expect(xattrs(path.join(directory, name))).toEqual({ 'trusted.overlay.opaque': '79' })
    expect(xattrs(path.join(directory, 'x'))).toEqual({})
    expect(lstatSync(path.join(directory, 'd')).mtimeMs).toBe(9000)
    expect(result.opaqueRoot).toBe(true)
    expect(result.unsettled).toEqual(['x', '', 'implied', ''])
  })

  test("with an ordinary user's attributes", async () => {
    const directory = scratch()
    await apply(directory, archive({ name: 'd/.wh..wh..opq' }, { name: '.wh.gone' }), {
      whiteouts: 'overlay',
      overlayXattrs: 'user',
    })
    expect(xattrs(path.join(directory, 'd'))).toEqual({ 'user.overlay.opaque': '79' })
    expect(lstatSync(path.join(directory, 'gone')).isCharacterDevice()).toBe(true)
  })

  test('a device 0/0, and a link to a deletion, are refused', async () => {
    await expect(apply(scratch(), archive({ name: 'x', type: '3' }), { whiteouts: 'overlay' })).rejects.toThrow('0/0')
    await expect(
      apply(scratch(), archive({ name: '.wh.x' }, { name: 'y', type: '1', link: 'x' }), { whiteouts: 'overlay' }),
    ).rejects.toThrow('y: a hard link to a file that this layer deletes')
  })
})

describe('a layer that stands alone', () => {
  const base: Member[] = [
    { name: 'etc/', type: '5', mode: 0o751, mtime: 100, gid: isRoot ? 4 : 0 },
    { name: 'etc/deep/', type: '5', mode: 0o1777, mtime: 200 },
    { name: 'etc/passwd', data: 'root', mode: 0o640, mtime: 300 },
    { name: 'etc/soft', type: '2', link: 'passwd' },
  ]

  test('is settled with those below', async () => {
    const [lower, middle, upper] = [scratch(), scratch(), scratch()] as [string, string, string]
    await apply(lower, archive(...base), { whiteouts: 'overlay' })
    await apply(middle, archive({ name: 'etc/', type: '5', mode: 0o711, mtime: 500 }), { whiteouts: 'overlay' })
    const { unsettled } = await apply(
      upper,
      archive(
        { name: 'etc/deep/new', data: '1' },
        { name: 'copy', type: '1', link: '/etc/passwd' },
        { name: 'copy-of-link', type: '1', link: 'etc/soft' },
      ),
      { whiteouts: 'overlay' },
    )
    expect(unsettled).toHaveLength(8)
    await settleLayer({ directory: upper, lowers: [middle, lower], unsettled })
    const seen = (name: string) => {
      const status = lstatSync(path.join(upper, name))
      return `${(status.mode & 0o7777).toString(8)} ${status.mtimeMs / 1000}`
    }
    expect(seen('etc')).toBe('711 500')
    expect(seen('etc/deep')).toBe('1777 200')
    expect(seen('copy')).toBe('640 300')
    expect(readFileSync(path.join(upper, 'copy'), 'utf8')).toBe('root')
    expect(readlinkSync(path.join(upper, 'copy-of-link'))).toBe('passwd')
  })

  test('cannot link to what no layer has, or what one has deleted', async () => {
    const [lower, middle, upper] = [scratch(), scratch(), scratch()] as [string, string, string]
    await apply(lower, archive(...base), { whiteouts: 'overlay' })
    await apply(middle, archive({ name: 'etc/.wh.passwd' }), { whiteouts: 'overlay' })
    const { unsettled } = await apply(upper, archive({ name: 'copy', type: '1', link: 'etc/passwd' }), {
      whiteouts: 'overlay',
    })
    await expect(settleLayer({ directory: upper, lowers: [middle, lower], unsettled })).rejects.toMatchObject({
      cause: { code: 'ENOENT', path: 'copy' },
    })
  })

  test('a hard link to nothing is an error in a flat tree', async () => {
    await expect(apply(scratch(), archive({ name: 'x', type: '1', link: 'y' }))).rejects.toMatchObject({
      code: 'ERR_CAISSON_FILE',
      cause: { code: 'ENOENT', syscall: 'linkat', path: 'x' },
    })
  })
})

import {
  createReadStream,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { CaissonError } from '../../../lib/errors.js'
import { type ApplyOptions, applyLayer, LayerSink } from '../../../lib/layer/apply.js'
import { apply, mine } from '../../support/apply.js'
import { archive, pax } from '../../support/archive.js'
import { isRoot, testIf } from '../../support/needs.js'
import { look, removeScratch, scratch, xattrs } from '../../support/tree.js'

afterAll(removeScratch)

const asRoot = testIf(!isRoot && 'needs root')

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

  test('of digests, no more is computed than is wanted, and what is expected is checked in any case', async () => {
    const plain = archive({ name: 'a' })
    const packed = gzipSync(plain)
    const all = await apply(scratch(), packed)
    const other = `sha256:${'0'.repeat(64)}`
    const digests = async (bytes: Uint8Array, expected?: ApplyOptions['expected']) => {
      const { digest, diffId } = await apply(scratch(), bytes, { digests: false, expected })
      return [digest, diffId]
    }
    expect(await digests(packed)).toEqual(['', ''])
    expect(await digests(plain)).toEqual(['', ''])
    expect(await digests(packed, { diffId: all.diffId })).toEqual(['', all.diffId])
    expect(await digests(plain, { diffId: all.diffId })).toEqual([all.diffId, all.diffId])
    expect(await digests(packed, { digest: all.digest })).toEqual([all.digest, all.diffId])
    expect(await digests(plain, { digest: all.diffId })).toEqual([all.diffId, all.diffId])
    for (const bytes of [plain, packed])
      for (const expected of [{ digest: other }, { diffId: other }])
        await expect(digests(bytes, expected)).rejects.toMatchObject({ code: 'ERR_CAISSON_DIGEST' })
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

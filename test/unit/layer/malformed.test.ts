/** Archives that are damaged, or made so that two programs read them differently. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { type ApplyOptions, applyLayer } from '../../../lib/layer/apply.js'
import { archive, END, gnuLong, type Member, member, padded, pax } from '../../support/archive.js'
import { isRoot } from '../../support/needs.js'
import { look, removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

function apply(directory: string, bytes: Uint8Array, options: Partial<ApplyOptions> = {}) {
  const owners = isRoot ? 'set' : 'ignore'
  return applyLayer({ directory, source: Readable.from([bytes]), whiteouts: 'apply', owners, ...options })
}

const field = (at: number, bytes: string | number[]) => (header: Buffer) =>
  Buffer.from(bytes as string, 'latin1').copy(header, at)

const REFUSED: Array<[why: string, bytes: Buffer, message: RegExp]> = [
  ['nothing', Buffer.alloc(0), /end mark/],
  ['no end mark', member({}), /end mark/],
  ['half an end mark', Buffer.concat([member({}), Buffer.alloc(512)]), /half an end mark/],
  ['a member after half an end mark', Buffer.concat([Buffer.alloc(512), archive({})]), /half an end mark/],
  ['something after the end mark', Buffer.concat([archive({}), archive({ name: 'hidden' })]), /follows the end/],
  ['a header that is cut', member({}).subarray(0, 300), /too early/],
  ['data that are cut', member({ data: 'x'.repeat(2000) }).subarray(0, 1500), /file: .*too early/],
  ['padding that is cut', member({ data: 'x' }).subarray(0, 600), /too early/],
  ['a wrong checksum', archive({ damaged: true }), /checksum/],
  ['no tar archive', Buffer.from('#!/bin/sh\n'.repeat(100)), /no tar archive/],
  ['a negative size', archive({ edit: field(124, [0xff, ...Array(11).fill(0xff)]) }), /negative size/],
  [
    'a huge size',
    archive({ edit: field(124, [0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) }),
    /too large/,
  ],
  ['a size over 64 bits', archive({ edit: field(124, [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) }), /bad size/],
  ['a size that is no number', archive({ edit: field(124, '12x') }), /bad size/],
  ['a mode that is no number', archive({ edit: field(100, '99') }), /bad mode/],
  ['a negative uid', archive({ edit: field(108, [0xff, ...Array(7).fill(0xff)]) }), /negative uid/],
  ['an unknown type', archive({ type: 'Z' }), /type 'Z'/],
  ['another volume', archive({ type: 'M' }), /another volume/],
  ['data behind a link', archive({ type: '2', link: 'x', data: 'hidden' }), /data behind/],
  ['data behind a directory', archive({ type: '5', data: 'hidden' }), /data behind/],
  ['data behind a FIFO', archive({ type: '6', data: 'hidden' }), /data behind/],
  ['a link to nothing', archive({ type: '2' }), /link to nothing/],
  ['a huge device number', archive({ type: '3', major: 4096, minor: 1 }), /device number/],
  ['a name that is too long', archive(pax([['path', 'x'.repeat(256)]]), {}), /ENAMETOOLONG/],
  ['a path that is too long', archive(pax([['path', 'x/'.repeat(2100)]]), {}), /ENAMETOOLONG/],

  ['a pax header without its member', archive(pax([['path', 'x']])), /without its member/],
  ['two pax headers for one member', archive(pax([['path', 'x']]), pax([['path', 'y']]), {}), /two extended/],
  ['two long names', archive(gnuLong('L', 'x'), gnuLong('L', 'y'), {}), /two extended/],
  ['names from GNU and from pax', archive(gnuLong('L', 'x'), pax([['path', 'y']]), {}), /another one from pax/],
  ['a global header between', archive(pax([['path', 'x']]), pax([['comment', 'y']], 'g'), {}), /without its member/],
  ['a label between', archive(pax([['path', 'x']]), { type: 'V' }, {}), /without its member/],
  ['a path for all', archive(pax([['path', 'x']], 'g'), {}), /path for all/],
  ['a size for all', archive(pax([['size', '1024']], 'g'), {}), /size for all/],
  ['attributes for all', archive(pax([['SCHILY.xattr.user.a', 'b']], 'g'), {}), /for all/],
  ['two sizes', archive(pax([['size', '1024']]), { data: 'x'.repeat(512) }), /two sizes/],
  ['a pax size for a link', archive(pax([['size', '512']]), { type: '2', link: 'x' }), /data behind/],
  ['a negative pax size', archive(pax([['size', '-1']]), {}), /bad size/],
  ['a pax size of 64 bits', archive(pax([['size', '18446744073709551615']]), {}), /bad size/],
  ['a NUL in a pax path', archive(pax([['path', 'a\0b']]), {}), /NUL/],
  ['a NUL in a pax link', archive(pax([['linkpath', 'a\0b']]), { type: '2' }), /NUL/],
  ['a NUL in a pax key', archive(pax([['pa\0th', 'b']]), {}), /NUL/],
  ['a NUL in a long name', archive(gnuLong('L', 'a\0b'), {}), /NUL/],
  ['a pax record that is too long', archive({ type: 'x', data: '99 path=x\n' }, {}), /wrong length/],
  ['a pax record that is too short', archive({ type: 'x', data: '4 path=x\n' }, {}), /wrong length/],
  ['a pax record without a length', archive({ type: 'x', data: 'path=x\n' }, {}), /without a length/],
  ['a pax record without a key', archive({ type: 'x', data: '5 =x\n' }, {}), /without a key/],
  ['a pax length that overflows', archive({ type: 'x', data: '99999999999999999999 path=x\n' }, {}), /length/],
  ['a pax length with a sign', archive({ type: 'x', data: '-9 path=x\n' }, {}), /length/],
  ['a bad pax time', archive(pax([['mtime', '1.2.3']]), {}), /bad time/],
  ['many attributes', archive(pax(Array.from({ length: 600 }, (_, i) => [`SCHILY.xattr.user.${i}`, 'x'])), {}), /512/],
  ['a pax header of 2 MiB', archive({ type: 'x', data: Buffer.alloc(2 << 20, 0x61) }, {}), /1 MiB/],
  ['a long name of 2 MiB', archive({ type: 'L', data: Buffer.alloc(2 << 20, 0x61) }, {}), /1 MiB/],
  ['a pax header of 4 GiB', archive({ type: 'x', size: 0xffffffff }), /1 MiB/],

  ["star's sparse files", archive(pax([['SCHILY.filetype', 'sparse']]), {}), /star/],
  [
    'a sparse file of a version to come',
    archive(
      pax([
        ['GNU.sparse.major', '2'],
        ['GNU.sparse.realsize', '9'],
      ]),
      {},
    ),
    /unknown version/,
  ],
  ['a sparse file without a size', archive(pax([['GNU.sparse.map', '0,1']]), { data: 'x' }), /without a size/],
  [
    'a sparse map out of order',
    archive(
      pax([
        ['GNU.sparse.size', '99'],
        ['GNU.sparse.map', '9,1,0,1'],
      ]),
      { data: 'xx' },
    ),
    /out of order/,
  ],
  [
    'sparse parts that overlap',
    archive(
      pax([
        ['GNU.sparse.size', '99'],
        ['GNU.sparse.map', '0,2,1,1'],
      ]),
      { data: 'xxx' },
    ),
    /out of order/,
  ],
  [
    'a sparse part that overflows',
    archive(
      pax([
        ['GNU.sparse.size', '99'],
        ['GNU.sparse.map', '9223372036854775807,9223372036854775807'],
      ]),
      {},
    ),
    /out of order/,
  ],
  [
    'a sparse part behind the end',
    archive(
      pax([
        ['GNU.sparse.size', '9'],
        ['GNU.sparse.map', '9,1'],
      ]),
      { data: 'x' },
    ),
    /beyond/,
  ],
  [
    'a sparse map with too little data',
    archive(
      pax([
        ['GNU.sparse.size', '9'],
        ['GNU.sparse.map', '0,5'],
      ]),
      { data: 'x' },
    ),
    /does not fit/,
  ],
  [
    'a sparse map with too much data',
    archive(
      pax([
        ['GNU.sparse.size', '9'],
        ['GNU.sparse.map', '0,1'],
      ]),
      { data: 'xxxx' },
    ),
    /does not fit/,
  ],
  [
    'half a sparse part',
    archive(
      pax([
        ['GNU.sparse.size', '9'],
        ['GNU.sparse.map', '0,1,5'],
      ]),
      { data: 'x' },
    ),
    /last size/,
  ],
  [
    'sparse records out of order',
    archive(
      pax([
        ['GNU.sparse.size', '9'],
        ['GNU.sparse.numbytes', '1'],
      ]),
      { data: 'x' },
    ),
    /out of order/,
  ],
  [
    'a sparse map in the data without an end',
    archive(
      pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.realsize', '9'],
      ]),
      { data: '9\n' },
    ),
    /bad sparse map|longer than its file/,
  ],
  [
    'a sparse map in the data that is endless',
    archive(
      pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.realsize', '9'],
      ]),
      { data: '1'.repeat(1024) },
    ),
    /bad/,
  ],
  [
    '70,000 sparse parts',
    archive(
      pax([
        ['GNU.sparse.size', '999999'],
        ['GNU.sparse.map', Array.from({ length: 70000 }, (_, i) => `${i * 2},0`).join(',')],
      ]),
      {},
    ),
    /65536/,
  ],
]

test.each(REFUSED)('%s is refused', async (_why, bytes, message) => {
  await expect(apply(scratch(), bytes)).rejects.toThrow(message)
  // Compressed, and in pieces, it is the same.
  const source = Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += 500) yield bytes.subarray(at, at + 500)
    })(),
  )
  await expect(applyLayer({ directory: scratch(), source, owners: 'ignore' })).rejects.toThrow(message)
})

test('the same as GNU tar where that is asked for', async () => {
  const lenient = async (bytes: Buffer) => {
    const directory = scratch()
    await apply(directory, bytes, { end: 'lenient' })
    return readdirSync(directory)
  }
  expect(await lenient(member({ name: 'a' }))).toEqual(['a'])
  expect(await lenient(Buffer.alloc(0))).toEqual([])
  expect(await lenient(Buffer.concat([member({ name: 'a' }), Buffer.alloc(512)]))).toEqual(['a'])
  expect(await lenient(Buffer.concat([archive({ name: 'a' }), archive({ name: 'b' })]))).toEqual(['a'])
  await expect(lenient(member({ data: 'x'.repeat(2000) }).subarray(0, 1500))).rejects.toThrow('too early')
})

describe('what looks odd and is right', () => {
  const unpack = async (...members: Array<Member | Buffer>) => {
    const directory = scratch()
    await apply(directory, archive(...members))
    return directory
  }

  test('a size on a hard link, which has no data', async () => {
    const directory = await unpack(
      { name: 'a', data: 'x' },
      { name: 'b', type: '1', link: 'a', size: 0 },
      { name: 'c' },
    )
    const odd = scratch()
    const link = member({ name: 'b', type: '1', link: 'a', size: 4096 })
    await apply(odd, archive({ name: 'a', data: 'x' }, link, { name: 'c' }))
    expect(look(odd)).toEqual(look(directory))
  })

  test('a pax size is that of its member, and of no header between', async () => {
    const data = 'x'.repeat(3000)
    const directory = await unpack(
      pax([['size', '3000']]),
      gnuLong('K', 'target'),
      { name: 'a', data },
      { name: 'b', data: 'b' },
    )
    expect([readFileSync(path.join(directory, 'a'), 'utf8'), readdirSync(directory)]).toEqual([data, ['a', 'b']])
  })

  test('a size that only pax can say', async () => {
    const directory = await unpack(
      pax([['size', '1000']]),
      member({ name: 'a', size: 0 }),
      padded(Buffer.alloc(1000, 1)),
      { name: 'b' },
    )
    expect(statSync(path.join(directory, 'a')).size).toBe(1000)
  })

  test('the last of several records counts, and an empty one takes back', async () => {
    const directory = await unpack(
      pax([
        ['path', 'x'],
        ['path', 'y'],
      ]),
      { name: 'z' },
      pax([
        ['path', 'x'],
        ['path', ''],
      ]),
      { name: 'header' },
      pax([['mtime', '5']], 'g'),
      { name: 'old', mtime: 9 },
      pax([['mtime', '7']]),
      { name: 'own', mtime: 9 },
      pax([['mtime', '']], 'g'),
      { name: 'late', mtime: 9 },
    )
    const time = (name: string) => statSync(path.join(directory, name)).mtimeMs / 1000
    expect(readdirSync(directory).sort()).toEqual(['header', 'late', 'old', 'own', 'y'])
    expect(['old', 'own', 'late'].map(time)).toEqual([5, 7, 9])
  })

  test('v7: no magic, directories by their slash, signed checksums, numbers between blanks', async () => {
    const v7 = { magic: '\0\0\0\0\0\0\0\0' }
    const directory = await unpack(
      { name: 'd/', mode: 0o755, ...v7 },
      { name: 'd/f', type: '\0', data: '1', ...v7 },
      { name: 'contiguous', type: '7', data: '1' },
      { name: 'blanks', edit: field(100, '  644 \0') },
      { name: 'base256', data: 'abc', edit: field(124, [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]) },
      { name: 'before', edit: field(136, Array(12).fill(0xff)) },
    )
    expect(look(directory, { owners: false, content: false })).toEqual({
      d: 'dir',
      'd/f': 'file 1',
      contiguous: 'file 1',
      blanks: 'file 0',
      base256: 'file 3',
      before: 'file 0',
    })
    expect(statSync(path.join(directory, 'before')).mtimeMs).toBe(-1000)
    const signed = member({ name: Buffer.from([0xe9, 0xe8]) })
    let sum = 0
    for (let at = 0; at < 512; at++) sum += at >= 148 && at < 156 ? 32 : signed.readInt8(at)
    signed.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    await apply(directory, Buffer.concat([signed, END]))
    expect(readdirSync(Buffer.from(directory), 'latin1')).toContain('\xe9\xe8')
  })

  test('a newline, a terminal sequence and a lone quote in a name', async () => {
    const name = 'a\nb\u001b[31m"\''
    expect(readdirSync(await unpack({ name }))).toEqual([name])
    // An error shows none of it.
    await expect(apply(scratch(), archive({ name, type: 'Z' }))).rejects.toThrow('a\\u000ab\\u001b[31m"\'')
  })
})

test('every byte of an archive, flipped: no crash, and the same names or an error', async () => {
  const bytes = archive(
    pax([
      ['path', 'p'],
      ['mtime', '1.5'],
    ]),
    { name: 'a', data: 'hello' },
    gnuLong('L', 'long'),
    { name: 'x' },
  )
  const original = scratch()
  await apply(original, bytes)
  const names = new Set(Object.keys(look(original)))
  let refused = 0
  for (let at = 0; at < bytes.length; at += 3) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] as number) ^ (1 << (at % 8))
    const directory = scratch()
    try {
      await apply(directory, changed)
      // A checksum covers headers: only data can differ. The bodies of extended headers are data.
      expect(Object.keys(look(directory))).toHaveLength(names.size)
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_CAISSON_LAYER' })
      refused++
    }
  }
  expect(refused).toBeGreaterThan(300)
})

test('damage to a compressed archive is found', async () => {
  const bytes = gzipSync(archive({ data: 'hello'.repeat(1000) }))
  const { diffId } = await apply(scratch(), bytes)
  let same = 0
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] as number) ^ 0x10
    try {
      // Time, speed and system in the header say nothing, nor do the bits between the end of the data and the checksum.
      expect((await apply(scratch(), changed, { compression: 'gzip' })).diffId).toBe(diffId)
      same++
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_CAISSON_LAYER' })
    }
    await expect(apply(scratch(), bytes.subarray(0, at), { compression: 'gzip' })).rejects.toThrow('too early')
  }
  expect(same).toBeLessThanOrEqual(8)
})

/** Archives of other programs: what they unpack from their own, we unpack too. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  createReadStream,
  ftruncateSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { applyLayer } from '../../../lib/layer/apply.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { look, removeScratch, scratch, xattrs } from '../../support/tree.js'

afterAll(removeScratch)

const owners = isRoot ? 'set' : 'ignore'
const exact = { times: 'exact', directoryTimes: true, owners: isRoot } as const
const seconds = { ...exact, times: 'seconds' } as const

/** A tree with one of everything that GNU tar can store as this user. */
function sample(): string {
  const root = scratch()
  const at = (name: string) => path.join(root, name)
  mkdirSync(at('usr/bin'), { recursive: true })
  mkdirSync(at(`deep/${'x'.repeat(90)}/${'y'.repeat(90)}/${'z'.repeat(90)}`), { recursive: true })
  writeFileSync(at('usr/bin/program'), Buffer.alloc(300_000, 'program '))
  writeFileSync(at(`deep/${'x'.repeat(90)}/${'y'.repeat(90)}/${'z'.repeat(90)}/file`), 'deep')
  writeFileSync(at('ünï → code'), 'utf8')
  writeFileSync(Buffer.from(`${root}/not\xffutf8\x01`, 'latin1'), 'bytes')
  writeFileSync(at('new\nline'), '')
  chmodSync(at('usr/bin/program'), 0o4755)
  linkSync(at('usr/bin/program'), at('usr/bin/same'))
  symlinkSync('usr/bin', at('bin'))
  symlinkSync(`../${'l'.repeat(150)}`, at('long link'))
  execFileSync('mkfifo', [at('fifo')])
  if (isRoot) {
    chownSync(at('usr'), 1000, 2000)
    chownSync(at('ünï → code'), 3_000_000, 4_000_000)
    execFileSync('mknod', ['-m', '600', at('device'), 'c', '10', '300'])
    execFileSync('setfattr', ['-n', 'user.note', '-v', 'hello', at('usr/bin/program')])
  }
  for (const name of ['usr/bin/program', 'ünï → code']) utimesSync(at(name), 1.5, 1234567890.123456)
  lutimesSync(at('bin'), 99, 99)
  chmodSync(at('usr/bin'), 0o2755)
  utimesSync(at('usr/bin'), 5, 5)
  utimesSync(at('usr'), 6, 6)
  return root
}

describe('GNU tar', () => {
  const formats: Array<[format: string, times: typeof exact | typeof seconds, ...more: string[]]> = [
    ['gnu', seconds],
    ['oldgnu', seconds],
    ['pax', exact],
    ['pax', exact, '--xattrs'],
    ['pax', seconds, '--pax-option=delete=mtime,delete=atime,delete=ctime'],
  ]
  test.each(formats)('--format=%s', async (format, times, ...more) => {
    const root = sample()
    const file = path.join(scratch(), 'archive.tar')
    execFileSync('tar', ['-C', root, `--format=${format}`, ...more, '-cf', file, '.'])
    const mine = scratch()
    const result = await applyLayer({ directory: mine, source: file, whiteouts: 'apply', owners })
    const theirs = scratch()
    execFileSync('tar', ['-C', theirs, '-xpf', file, ...more.slice(0, 1).filter((word) => word === '--xattrs')])
    expect(look(mine, times)).toEqual(look(theirs, times))
    expect(look(mine, seconds)).toEqual(look(root, seconds))
    expect(result.diffId).toBe(`sha256:${createHash('sha256').update(readFileSync(file)).digest('hex')}`)
    if (isRoot && more.includes('--xattrs'))
      expect(xattrs(path.join(mine, 'usr/bin/program'))).toEqual({ 'user.note': Buffer.from('hello').toString('hex') })
  })

  test.each(['ustar', 'v7'])('--format=%s, of what that can say', async (format) => {
    const root = scratch()
    mkdirSync(path.join(root, 'd', 'e'.repeat(60)), { recursive: true })
    writeFileSync(path.join(root, 'd', 'e'.repeat(60), 'f'.repeat(30)), 'data')
    symlinkSync('x', path.join(root, 'link'))
    const file = path.join(scratch(), 'archive.tar')
    execFileSync('tar', ['-C', root, `--format=${format}`, '-cf', file, '.'])
    const mine = scratch()
    await applyLayer({ directory: mine, source: file, whiteouts: 'apply', owners })
    expect(look(mine, seconds)).toEqual(look(root, seconds))
  })

  test.each([
    ['gnu', ''],
    ['pax', '0.0'],
    ['pax', '0.1'],
    ['pax', '1.0'],
  ])('sparse files, --format=%s %s', async (format, version) => {
    const root = scratch()
    const sparse = (name: string, size: number, ...parts: number[]) => {
      const fd = openSync(path.join(root, name), 'w')
      for (const at of parts) writeSync(fd, Buffer.alloc(5000, at % 251), 0, 5000, at)
      ftruncateSync(fd, size)
    }
    sparse('middle', 10_000_000, 4_000_000)
    sparse('end', 5_005_000, 5_000_000)
    sparse('hole', 3_000_000)
    sparse('many', 40_000_000, ...Array.from({ length: 60 }, (_, i) => i * 600_000))
    writeFileSync(path.join(root, 'plain'), 'plain')
    const file = path.join(scratch(), 'archive.tar')
    const option = version ? [`--sparse-version=${version}`] : []
    execFileSync('tar', ['-C', root, `--format=${format}`, '-S', ...option, '-cf', file, '.'])
    expect(statSync(file).size).toBeLessThan(2_000_000)
    const mine = scratch()
    await applyLayer({ directory: mine, source: file, whiteouts: 'apply', owners })
    expect(look(mine, seconds)).toEqual(look(root, seconds))
    expect(statSync(path.join(mine, 'hole')).blocks).toBe(0)
    expect(statSync(path.join(mine, 'middle')).blocks * 512).toBeLessThan(100_000)
  })

  test('a large file and its size beyond octal digits', async () => {
    const root = scratch()
    const fd = openSync(path.join(root, 'huge'), 'w')
    ftruncateSync(fd, 9 * 1024 ** 3)
    const file = path.join(scratch(), 'archive.tar')
    execFileSync('tar', ['-C', root, '--format=pax', '-S', '-cf', file, '.'])
    const mine = scratch()
    await applyLayer({ directory: mine, source: file, whiteouts: 'apply', owners })
    expect(statSync(path.join(mine, 'huge')).size).toBe(9 * 1024 ** 3)
    const limited = applyLayer({ directory: scratch(), source: file, owners, limits: { fileSize: '8g' } })
    await expect(limited).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER_LIMIT' })
  })
})

test('node-tar', async () => {
  const root = sample()
  const file = path.join(scratch(), 'archive.tgz')
  // In a process of its own: it asks for `instanceof Date`, which jest's own Date is not.
  const script = "import * as tar from 'tar'; await tar.create(...JSON.parse(process.argv[1]))"
  const names = ['usr', 'bin', 'deep', 'ünï → code', 'long link']
  const input = JSON.stringify([{ cwd: root, file, gzip: true }, names])
  const repository = path.resolve(__dirname, '../../..')
  execFileSync(process.execPath, ['--input-type=module', '-e', script, input], { cwd: repository })
  const mine = scratch()
  await applyLayer({ directory: mine, source: createReadStream(file), whiteouts: 'apply', owners })
  // Not against GNU tar: from archives in this order it leaves directories with the time of their last member.
  const packed = Object.entries(look(root, seconds)).filter(([name]) => /^(usr|bin|deep|\xc3|long link)/.test(name))
  expect(look(mine, seconds)).toEqual(Object.fromEntries(packed))
})

const PYTHON = `
import io, sys, tarfile
form = {'pax': tarfile.PAX_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'ustar': tarfile.USTAR_FORMAT}[sys.argv[1]]
with tarfile.open(sys.argv[2], 'w:gz', format=form) as archive:
    def add(name, type=tarfile.REGTYPE, data=b'', **more):
        info = tarfile.TarInfo(name)
        info.type, info.size, info.mtime = type, len(data), 1234567
        for key, value in more.items(): setattr(info, key, value)
        archive.addfile(info, io.BytesIO(data))
    add('dir', tarfile.DIRTYPE, mode=0o755)
    add('dir/file', data=b'data' * 1000, mode=0o600)
    add('dir/hard', tarfile.LNKTYPE, linkname='dir/file')
    add('dir/soft', tarfile.SYMTYPE, linkname='file')
    add('fifo', tarfile.FIFOTYPE, mode=0o622)
    if form != tarfile.USTAR_FORMAT:
        add('n' * 200, data=b'long')
        add('to', tarfile.SYMTYPE, linkname='l' * 200)
`

testIf(!findProgram('python3') && 'no python3')("Python's tarfile", async () => {
  for (const form of ['pax', 'gnu', 'ustar']) {
    const file = path.join(scratch(), 'archive.tgz')
    execFileSync('python3', ['-c', PYTHON, form, file])
    const [mine, theirs] = [scratch(), scratch()]
    await applyLayer({ directory: mine, source: file, whiteouts: 'apply', owners })
    execFileSync('tar', ['-C', theirs, '-xpzf', file])
    expect(look(mine, seconds)).toEqual(look(theirs, seconds))
  }
})

describe('compression', () => {
  const plain = (() => {
    const words = Array.from({ length: 3000 }, (_, i) => `word${(i * 7919) % 1000} `)
    return Buffer.from(words.join('').repeat(20))
  })()

  /** An archive with this content, and what to expect of it. */
  async function roundTrip(compress: (bytes: Buffer) => Buffer) {
    const root = scratch()
    writeFileSync(path.join(root, 'words'), plain)
    writeFileSync(path.join(root, 'noise'), createHash('sha512').update('x').digest())
    const file = path.join(scratch(), 'a.tar')
    execFileSync('tar', ['-C', root, '-cf', file, '.'])
    const bytes = compress(readFileSync(file))
    const compressed = path.join(scratch(), 'a.tar.compressed')
    writeFileSync(compressed, bytes)
    const mine = scratch()
    const result = await applyLayer({ directory: mine, source: compressed, whiteouts: 'apply', owners })
    expect(look(mine)).toEqual(look(root))
    expect(result.digest).toBe(`sha256:${createHash('sha256').update(bytes).digest('hex')}`)
    expect(result.diffId).toBe(`sha256:${createHash('sha256').update(readFileSync(file)).digest('hex')}`)
    return result
  }

  test('gzip: one member, many members, and members that are cut anywhere', async () => {
    expect((await roundTrip((bytes) => gzipSync(bytes))).compression).toBe('gzip')
    for (const size of [100_000, 7_777])
      await roundTrip((bytes) => {
        const members: Buffer[] = []
        for (let at = 0; at < bytes.length; at += size) members.push(gzipSync(bytes.subarray(at, at + size)))
        return Buffer.concat(members)
      })
    // An empty member at the end, as eStargz has it.
    await roundTrip((bytes) => Buffer.concat([gzipSync(bytes), gzipSync('')]))
  })

  testIf(!findProgram('gzip') && 'no gzip')('gzip -1, -9, and with a name', async () => {
    for (const level of ['-1', '-6', '-9'])
      await roundTrip((input) => execFileSync('gzip', [level, '-c'], { input, maxBuffer: 1 << 28 }))
  })

  testIf(!findProgram('zstd') && 'no zstd')(
    'zstd at every kind of level, with and without checksum and size',
    async () => {
      for (const options of [
        ['-1'],
        ['-3', '--no-check'],
        ['-9', '--long=27'],
        ['-19'],
        ['--ultra', '-22'],
        ['--fast=5'],
      ]) {
        const result = await roundTrip((input) =>
          execFileSync('zstd', ['-q', '-c', ...options], { input, maxBuffer: 1 << 28 }),
        )
        expect(result.compression).toBe('zstd')
      }
    },
  )

  testIf(!findProgram('zstd') && 'no zstd')('several zstd frames, and frames to be skipped', async () => {
    const skippable = Buffer.concat([Buffer.from([0x5e, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from('hello')])
    await roundTrip((bytes) => {
      const frame = (input: Buffer) => execFileSync('zstd', ['-q', '-c'], { input, maxBuffer: 1 << 28 })
      return Buffer.concat([
        skippable,
        frame(bytes.subarray(0, 50_000)),
        skippable,
        frame(bytes.subarray(50_000)),
        skippable,
      ])
    })
  })

  testIf(!findProgram('zstd') && 'no zstd')(
    'a zstd window that is too large, garbage, and a dictionary are refused',
    async () => {
      const zstd = (input: Buffer, ...options: string[]) =>
        execFileSync('zstd', ['-q', '-c', ...options], { input, maxBuffer: 1 << 28 })
      const apply = (bytes: Buffer) => {
        const file = path.join(scratch(), 'a')
        writeFileSync(file, bytes)
        return applyLayer({ directory: scratch(), source: file, owners })
      }
      await expect(apply(zstd(plain, '--ultra', '--long=28', '--no-content-size'))).rejects.toMatchObject({
        code: 'ERR_CAISSON_LAYER_LIMIT',
      })
      await expect(apply(Buffer.concat([zstd(plain), Buffer.from('garbage')]))).rejects.toThrow()
      await expect(apply(Buffer.concat([gzipSync(plain), Buffer.from('garbage')]))).rejects.toThrow()
      await expect(apply(Buffer.from('28b52ffd0101', 'hex'))).rejects.toThrow()
    },
  )
})

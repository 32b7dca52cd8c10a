import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'
import { apply, unpacked } from '../../support/apply.js'
import { archive, gnuLong, type Member, pax } from '../../support/archive.js'
import { isRoot, testIf } from '../../support/needs.js'
import { look, removeScratch, scratch, xattrs } from '../../support/tree.js'

afterAll(removeScratch)

const asRoot = testIf(!isRoot && 'needs root')
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

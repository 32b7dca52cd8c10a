import { lstatSync, readFileSync, readlinkSync, truncateSync } from 'node:fs'
import path from 'node:path'
import { settleLayer } from '../../../lib/layer/tree.js'
import { apply } from '../../support/apply.js'
import { archive, type Member } from '../../support/archive.js'
import { isRoot, testIf } from '../../support/needs.js'
import { look, removeScratch, scratch, xattrs } from '../../support/tree.js'

afterAll(removeScratch)

const asRoot = testIf(!isRoot && 'needs root')

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

  test('has one copy of a file that it links to by many names, and its holes', async () => {
    const [lower, upper] = [scratch(), scratch()] as [string, string]
    await apply(lower, archive({ name: 'file' }, { name: 'again', type: '1', link: 'file' }), { whiteouts: 'overlay' })
    const size = 1024 ** 3
    truncateSync(path.join(lower, 'file'), size)
    const names = ['file', 'again', 'file'].map((link, i): Member => ({ name: `d/link${i}`, type: '1', link }))
    const { unsettled } = await apply(upper, archive({ name: 'd/', type: '5', mtime: 7 }, ...names), {
      whiteouts: 'overlay',
    })
    await settleLayer({ directory: upper, lowers: [lower], unsettled })
    const [first, ...others] = names.map(({ name }) => lstatSync(path.join(upper, String(name))))
    expect(others.map(({ ino }) => ino)).toEqual([first?.ino, first?.ino])
    expect([first?.size, first?.nlink, Number(first?.blocks) < 100]).toEqual([size, 3, true])
    expect(lstatSync(path.join(upper, 'd')).mtimeMs).toBe(7000)
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

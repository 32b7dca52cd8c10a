/** What copies select of a tree, and where it comes to lie. */
import type { CopySource } from '../../../lib/build/dockerfile/plan-types.js'
import { type ListedEntry, Listing } from '../../../lib/build/listing.js'
import { type Destination, selectSources } from '../../../lib/build/select.js'

/** `dir/` is a directory, `a -> b` a link, anything else a file. */
const tree = (...lines: string[]) =>
  new Listing(
    lines.map((line): ListedEntry => {
      const [path = '', target] = line.split(' -> ')
      if (target !== undefined) return { path, type: 'symlink', target }
      return line.endsWith('/') ? { path: line, type: 'directory' } : { path, type: 'file' }
    }),
  )

const source = (path: string, below?: string): CopySource & { kind: 'path' } => ({
  kind: 'path',
  path,
  ...(below === undefined ? {} : { below }),
  required: !/[*?[]/.test(path + (below ?? '')),
  unpack: false,
})

const select = (
  listing: Listing,
  sources: Array<CopySource & { kind: 'path' }>,
  to: string | Destination,
  excludes: string[] = [],
) =>
  selectSources(listing, sources, excludes, typeof to === 'string' ? { path: to } : to).map(
    ({ from, to, type }) => `${from} > ${to}${type === 'directory' ? '/' : ''}`,
  )

const files = tree('a.txt', 'b.txt', 'c.md', 'dir/d.txt', 'dir/sub/e.txt', 'dir/sub/f.md', 'empty/')

describe('where a source comes to lie', () => {
  test('a file takes the name of the destination, or lies in it when it is a directory', () => {
    expect(select(files, [source('/a.txt')], '/x')).toEqual(['a.txt > /x'])
    expect(select(files, [source('/a.txt')], '/x/')).toEqual(['a.txt > /x/a.txt'])
    expect(select(files, [source('/a.txt')], '/x/.')).toEqual(['a.txt > /x/a.txt'])
    expect(select(files, [source('/a.txt')], { path: '/x', existing: 'directory' })).toEqual(['a.txt > /x/a.txt'])
    expect(select(files, [source('/a.txt')], { path: '/x', existing: 'other' })).toEqual(['a.txt > /x'])
  })

  test('of a directory the content is copied', () => {
    expect(select(files, [source('/dir')], '/x')).toEqual([
      'dir > /x/',
      'dir/d.txt > /x/d.txt',
      'dir/sub > /x/sub/',
      'dir/sub/e.txt > /x/sub/e.txt',
      'dir/sub/f.md > /x/sub/f.md',
    ])
    expect(select(files, [source('/empty'), source('/a.txt')], '/x')).toEqual(['empty > /x/', 'a.txt > /x/a.txt'])
  })

  test('several files need a directory', () => {
    expect(select(files, [source('/*.txt')], '/x/')).toEqual(['a.txt > /x/a.txt', 'b.txt > /x/b.txt'])
    expect(() => select(files, [source('/*.txt')], '/x')).toThrow('"a.txt" and "b.txt" would both become /x')
    expect(() => select(files, [source('/a.txt'), source('/dir')], '/x')).toThrow('/x is not a directory')
    expect(() => select(files, [source('/dir')], { path: '/x', existing: 'other' })).toThrow('/x is not a directory')
  })
})

describe('what is selected', () => {
  test('wildcards stay within one component, and may match nothing', () => {
    expect(select(files, [source('/*/*.txt')], '/x/')).toEqual(['dir/d.txt > /x/d.txt'])
    expect(select(files, [source('/[ac].*')], '/x/')).toEqual(['a.txt > /x/a.txt', 'c.md > /x/c.md'])
    expect(select(files, [source('/nothing*')], '/x/')).toEqual([])
    expect(select(tree('a*b', 'acb'), [source('/a\\*?')], '/x/')).toEqual(['a*b > /x/a*b'])
  })

  test('what is missing is an error that says what may have been meant', () => {
    expect(() => select(files, [source('/dir/sub/g.txt')], '/x/')).toThrow(
      '"/dir/sub/g.txt": not found (did you mean e.txt?)',
    )
  })

  test('--exclude leaves out below directories, and files that a wildcard found', () => {
    expect(select(files, [source('/dir')], '/x', ['**/*.md', 'd.*'])).toEqual([
      'dir > /x/',
      'dir/sub > /x/sub/',
      'dir/sub/e.txt > /x/sub/e.txt',
    ])
    expect(select(files, [source('/dir')], '/x', ['sub', '!sub/f.md'])).toEqual([
      'dir > /x/',
      'dir/d.txt > /x/d.txt',
      'dir/sub > /x/sub/',
      'dir/sub/f.md > /x/sub/f.md',
    ])
    expect(select(files, [source('/*.txt')], '/x', ['a*'])).toEqual(['b.txt > /x'])
  })

  test('--parents keeps the path, or what is behind /./ of it', () => {
    expect(select(files, [source('/', 'dir/sub/e.txt')], '/x/')).toEqual([
      'dir > /x/dir/',
      'dir/sub > /x/dir/sub/',
      'dir/sub/e.txt > /x/dir/sub/e.txt',
    ])
    expect(select(files, [source('/dir', 'sub/*.md')], '/x/')).toEqual([
      'dir/sub > /x/sub/',
      'dir/sub/f.md > /x/sub/f.md',
    ])
    expect(select(files, [source('/', '**/*.txt')], '/x/')).toEqual([
      'a.txt > /x/a.txt',
      'b.txt > /x/b.txt',
      'dir > /x/dir/',
      'dir/d.txt > /x/dir/d.txt',
      'dir/sub > /x/dir/sub/',
      'dir/sub/e.txt > /x/dir/sub/e.txt',
    ])
    expect(() => select(files, [source('/', 'dir/none')], '/x/')).toThrow('"/dir/none": not found')
  })
})

describe('links', () => {
  test('a source that is a link is what it points at; links below stay links', () => {
    const links = tree('real/a', 'real/b -> a', 'link -> real', 'file -> real/a')
    expect(select(links, [source('/link')], '/x')).toEqual(['real > /x/', 'real/a > /x/a', 'real/b > /x/b'])
    expect(select(links, [source('/file')], '/x/')).toEqual(['real/a > /x/file'])
    expect(select(links, [source('/fil?')], '/x/')).toEqual(['real/a > /x/file'])
  })

  test('no link and no .. leads out of the tree', () => {
    const links = tree('etc/passwd', 'up -> ../../../../etc/passwd', 'root -> /etc', 'dir/up -> ../../..')
    expect(select(links, [source('/up')], '/x')).toEqual(['etc/passwd > /x'])
    expect(select(links, [source('/root/passwd')], '/x')).toEqual(['etc/passwd > /x'])
    expect(select(links, [source('/dir/up/etc/passwd')], '/x')).toEqual(['etc/passwd > /x'])
    expect(select(links, [source('/../../etc/passwd')], '/x')).toEqual(['etc/passwd > /x'])
  })

  test('links in a circle are nothing', () => {
    expect(() => select(tree('a -> b', 'b -> a'), [source('/a')], '/x')).toThrow('"/a": not found')
  })
})

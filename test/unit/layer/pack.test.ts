/** Trees packed as archives, which others read; layers packed, and compared with those below. */
import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  createWriteStream,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { applyLayer } from '../../../lib/layer/apply.js'
import { diffLayer } from '../../../lib/layer/diff.js'
import { type PackOptions, packLayer, packStream } from '../../../lib/layer/pack.js'
import { removeTree } from '../../../lib/layer/tree.js'
import { archive, type Member } from '../../support/archive.js'
import { isRoot, testIf } from '../../support/needs.js'
import { look, removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

const asRoot = testIf(!isRoot && 'needs root')
const owners = isRoot ? 'set' : 'ignore'

const packed = (options: PackOptions) => buffer(packStream(options).stream)
const list = (tar: Buffer) => execFileSync('tar', ['-t'], { input: tar, encoding: 'utf8' }).split('\n').slice(0, -1)

function tree(): string {
  const root = scratch()
  const at = (name: string) => path.join(root, name)
  mkdirSync(at(`d/${'x'.repeat(120)}/${'y'.repeat(120)}`), { recursive: true })
  writeFileSync(at(`d/${'x'.repeat(120)}/${'y'.repeat(120)}/deep`), 'deep')
  writeFileSync(at('large'), Buffer.alloc(1_000_001, 'large '))
  writeFileSync(Buffer.from(`${root}/not\xffutf8`, 'latin1'), 'bytes')
  linkSync(at('large'), at('same'))
  symlinkSync(`../${'l'.repeat(150)}`, at('link'))
  chmodSync(at('large'), 0o4711)
  utimesSync(at('large'), 7, 7)
  utimesSync(at('d'), 9, 9)
  return root
}

test('GNU tar unpacks what was packed, and the same tree gives the same bytes', async () => {
  const root = tree()
  const tar = await packed({ directory: root })
  expect((await packed({ directory: root })).equals(tar)).toBe(true)
  const theirs = scratch()
  execFileSync('tar', ['-C', theirs, '-xp'], { input: tar })
  const exact = { times: 'seconds', directoryTimes: true, owners: isRoot } as const
  expect(look(theirs, exact)).toEqual(look(root, exact))
  const mine = scratch()
  await applyLayer({ directory: mine, source: Readable.from([tar]), whiteouts: 'none', owners })
  expect(look(mine, exact)).toEqual(look(root, exact))
})

test('compressed, to a stream, with the digests of both forms', async () => {
  const file = path.join(scratch(), 'layer.tar.gz')
  const root = tree()
  const result = await packLayer({ directory: root, output: createWriteStream(file), compression: 'gzip' })
  const bytes = readFileSync(file)
  expect(result.size).toBe(bytes.length)
  expect(gunzipSync(bytes).equals(await packed({ directory: root }))).toBe(true)
  const applied = await applyLayer({ directory: scratch(), source: file, whiteouts: 'none', owners })
  expect([applied.digest, applied.diffId]).toEqual([result.digest, result.diffId])
})

test('a part of a tree, under a name', async () => {
  const root = scratch()
  mkdirSync(path.join(root, 'a/b'), { recursive: true })
  writeFileSync(path.join(root, 'a/b/c'), 'c')
  symlinkSync('/a', path.join(root, 'link'))
  expect(list(await packed({ directory: root, at: 'a' }))).toEqual(['b/', 'b/c'])
  expect(list(await packed({ directory: root, at: 'link/b', name: 'x/y' }))).toEqual(['x/y/', 'x/y/c'])
  expect(list(await packed({ directory: root, at: 'a/b/c', name: 'z' }))).toEqual(['z'])
  await expect(packed({ directory: root, at: 'a/b/c' })).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER' })
  await expect(packed({ directory: root, at: 'none', name: 'x' })).rejects.toMatchObject({ cause: { code: 'ENOENT' } })
})

test('a name that would delete something is refused in a layer', async () => {
  const root = scratch()
  writeFileSync(path.join(root, '.wh.x'), '')
  await expect(packed({ directory: root })).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER' })
  expect(list(await packed({ directory: root, layer: false }))).toEqual(['.wh.x'])
})

test('of a tree that is alive, what shrinks is filled up and what the kernel makes up is left out', async () => {
  const root = scratch()
  const size = 64 << 20
  const file = path.join(root, 'shrinking')
  writeFileSync(file, '')
  truncateSync(file, size)
  const shrink = async (live: boolean) => {
    truncateSync(file, size)
    const { stream } = packStream({ directory: root, live })
    await new Promise((resolve) => stream.once('readable', resolve))
    truncateSync(file, 10)
    return buffer(stream)
  }
  await expect(shrink(false)).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER' })
  expect((await shrink(true)).length).toBe(512 + size + 1024)
  const host = openSync('/', 'r')
  const { stream } = packStream({ directory: host, at: 'proc/sys', name: 'sys', live: true })
  closeSync(host)
  // The start itself is what was asked for; only below it such file systems count as empty.
  expect(list(await buffer(stream))).toContain('sys/kernel/')
})

test('a tree of any depth is removed, and one that is missing is no error', async () => {
  const root = scratch()
  const deep = path.join(root, 'deep')
  // Deeper than a path can say.
  execFileSync('python3', [
    '-c',
    `import os\nos.mkdir('${deep}'); os.chdir('${deep}')\nfor i in range(2000): os.mkdir('abcdef'); os.chdir('abcdef')`,
  ])
  await removeTree(deep)
  expect(look(root)).toEqual({})
  await removeTree(deep)
  await removeTree(path.join(deep, 'x/y'))
})

describe('layers', () => {
  const dir = (name: string): Member => ({ name: `${name}/`, type: '5', mode: 0o755 })
  const BELOW = [dir('etc'), { name: 'etc/a' }, { name: 'etc/b' }, dir('gone'), { name: 'gone/x' }, dir('new')]
  const ABOVE = [
    dir('etc'),
    { name: 'etc/.wh.b' },
    { name: 'etc/c', data: 'c' },
    dir('gone'),
    { name: 'gone/.wh..wh..opq' },
    { name: 'gone/y' },
    { name: '.wh.new' },
    dir('etc/sub'),
  ]

  async function layer(members: Member[]): Promise<string> {
    const directory = scratch()
    await applyLayer({ directory, source: Readable.from([archive(...members)]), whiteouts: 'overlay' })
    return directory
  }

  asRoot('are packed with their whiteouts', async () => {
    const upper = await layer(ABOVE)
    const names = list(await packed({ directory: upper, form: 'overlay' }))
    expect([...names].sort()).toEqual(ABOVE.map(({ name }) => name).sort())
  })

  asRoot('are compared with those below', async () => {
    const [upper, lower] = [await layer(ABOVE), await layer(BELOW)]
    const changes = await diffLayer({ upper, lowers: [lower] })
    expect(changes).toEqual([
      { path: '/etc', kind: 'modified' },
      { path: '/etc/b', kind: 'deleted' },
      { path: '/etc/c', kind: 'added' },
      { path: '/etc/sub', kind: 'added' },
      { path: '/gone', kind: 'modified' },
      { path: '/gone/x', kind: 'deleted' },
      { path: '/gone/y', kind: 'added' },
      { path: '/new', kind: 'deleted' },
    ])
    const only = await packed({ directory: upper, form: 'overlay', changes: changes.slice(0, 4) })
    expect(list(only)).toEqual(['etc/', 'etc/.wh.b', 'etc/c', 'etc/sub/'])
    const own = await diffLayer({ upper, lowers: [lower], own: ['/etc/c', '/gone/y', '/nothing'] })
    expect(own.map(({ path }) => path)).not.toContain('/etc/c')
    expect(own.map(({ path }) => path)).not.toContain('/gone/y')
  })

  asRoot('can be told from what overlay shows of them', async () => {
    const lower = scratch()
    for (const name of ['same', 'changed', 'removed']) {
      mkdirSync(path.join(lower, name))
      writeFileSync(path.join(lower, name, 'file'), name)
    }
    const merged = scratch()
    const [upper, work] = [scratch(), scratch()]
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`
    // In a mount namespace of its own: the host never has a mount of ours.
    const script = `mount -t overlay -o ${options} none ${merged} && cd ${merged} && rm -r removed &&
      echo more >> changed/file && cp -a same copy && exec sleep 1000`
    const child = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', script], { stdio: 'ignore' })
    try {
      const view = `/proc/${child.pid}/root${merged}`
      for (const until = Date.now() + 5000; Date.now() < until; ) {
        const names = Object.keys(look(view))
        if (names.includes('copy/file')) break
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      expect(await diffLayer({ upper: view, merged: true, lowers: [lower] })).toEqual([
        { path: '/changed', kind: 'modified' },
        { path: '/changed/file', kind: 'modified' },
        { path: '/copy', kind: 'added' },
        { path: '/copy/file', kind: 'added' },
        { path: '/removed', kind: 'deleted' },
      ])
      expect(await diffLayer({ upper, lowers: [lower] })).toHaveLength(5)
    } finally {
      child.kill('SIGKILL')
      rmSync(work, { recursive: true, force: true })
    }
  })
})

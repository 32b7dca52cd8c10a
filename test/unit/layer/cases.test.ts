/** Archives that broke other implementations, against a secret that lies outside. */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { type ApplyOptions, applyLayer } from '../../../lib/layer/apply.js'
import { archive, type Member } from '../../support/archive.js'
import { cases as tables } from '../../support/cases.js'
import { isRoot } from '../../support/needs.js'
import { look, removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

interface CaseMember {
  type: 'file' | 'dir' | 'symlink' | 'hardlink'
  name: string
  linkname?: string
  data?: string | number[]
  mode?: number
}

/** One set of a table, as one test. */
function testCases<Case>(table: string, set: string, body: (cases: Case[]) => Promise<void>): void {
  tables(table, (sets) => {
    const found = sets.find(({ name }) => name === set)
    test(set, () => body((found as { cases: unknown[] }).cases as Case[]))
  })
}

const TYPES = { file: '0', dir: '5', symlink: '2', hardlink: '1' }

function members(tar: CaseMember[]): Member[] {
  return tar.map(({ type, name, linkname, data, mode }) => ({
    type: TYPES[type],
    name,
    link: linkname,
    data: typeof data === 'string' ? data : Uint8Array.from(data ?? []),
    mode,
  }))
}

function apply(directory: string, bytes: Uint8Array, options: Partial<ApplyOptions> = {}) {
  const owners = isRoot ? 'set' : 'ignore'
  return applyLayer({ directory, source: Readable.from([bytes]), whiteouts: 'apply', owners, ...options })
}

/** A root with a secret beside it, and what must still be true of that. */
function besideSecret() {
  const parent = scratch()
  const root = path.join(parent, 'dest')
  const victim = path.join(parent, 'victim')
  mkdirSync(path.join(root, 'victim'), { recursive: true })
  mkdirSync(victim)
  const hello = path.join(victim, 'hello')
  const secret = randomBytes(16).toString('hex')
  writeFileSync(hello, secret)
  chmodSync(hello, 0o640)
  utimesSync(hello, 1000, 1000)
  return {
    root,
    check() {
      expect(look(victim, { owners: true, times: 'exact' })).toEqual({
        hello: expect.stringMatching(/^file 32 .* 640 \d+:\d+ 1000000000000$/),
      })
      expect(statSync(hello).nlink).toBe(1)
      for (const name of Object.keys(look(root)))
        if (lstatSync(path.join(root, name)).isFile())
          expect(readFileSync(path.join(root, name), 'utf8')).not.toContain(secret)
    },
  }
}

type Pre = [kind: 'dir' | 'file' | 'symlink' | 'hardlink', name: string, content?: string]
interface Breakout {
  name: string
  tar: Array<CaseMember | { raw: unknown }>
  pre?: Pre[]
  check: null | Array<string | [kind: string, ...rest: Array<string | number[]>]>
  err?: string
}

function prepare(root: string, pre: Pre[]): void {
  for (const [kind, name, content = ''] of pre) {
    const at = path.join(root, name)
    if (kind === 'dir') mkdirSync(at, { recursive: true })
    else if (kind === 'file') writeFileSync(at, content)
    else if (kind === 'symlink') symlinkSync(content, at)
    // Within the root, as if it were the real one.
    else linkSync(path.join(root, content), path.join(root, name.replace('/localetc/', '/etc/')))
  }
}

/** Follows links as a process whose root this is. */
function inside(root: string, name: string): string {
  const done: string[] = []
  const pending = name.split('/')
  for (let links = 0; pending.length > 0; ) {
    const part = pending.shift() as string
    if (part === '' || part === '.') continue
    if (part === '..') {
      done.pop()
      continue
    }
    const at = path.join(root, ...done, part)
    if (existsSync(path.dirname(at)) && lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink()) {
      if (++links > 40) throw new Error('too many links')
      const target = readlinkSync(at)
      if (target.startsWith('/')) done.length = 0
      pending.unshift(...target.split('/'))
    } else done.push(part)
  }
  return path.join(root, ...done)
}

function verify(root: string, [kind, first, second]: [string, ...Array<string | number[]>]): void {
  const at = inside(root, first as string)
  const same = () => statSync(at).ino === statSync(inside(root, second as string)).ino
  switch (kind) {
    case 'sameFile':
      expect(same()).toBe(true)
      break
    case 'notSameFile':
      expect(same()).toBe(false)
      break
    case 'sameSymlinkFile': {
      const [one, two] = [first, second].map((name) => lstatSync(path.join(root, name as string)).ino)
      expect(one).toBe(two)
      break
    }
    case 'fileValue':
      expect(readFileSync(at)).toEqual(Buffer.from(second as string))
      break
    case 'fileNotExists':
      expect(existsSync(at)).toBe(false)
      break
    default:
      throw new Error(`no such check: ${kind}`)
  }
}

async function checkBreakouts(cases: readonly Breakout[]): Promise<number> {
  let seen = 0
  for (const { name, tar, pre = [], check, err } of cases) {
    if (tar.some((member) => 'raw' in member)) continue
    const { root, check: checkSecret } = besideSecret()
    prepare(root, pre)
    const applied = apply(root, archive(...members(tar as CaseMember[])))
    if (err) await expect(applied).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER' })
    else await applied.catch((error) => Promise.reject(new Error(`${name}: ${error.message}`)))
    for (const item of check ?? []) {
      if (item === 'unbrokenCheck') verify(root, ['fileValue', '/etc/unbroken', 'unbroken'])
      else if (typeof item !== 'string') verify(root, item)
    }
    checkSecret()
    expect(existsSync('/tmp/breakout-UNIQUE')).toBe(false)
    seen++
  }
  return seen
}

testCases<Breakout>('tar-breakout', 'containerd-TestBreakouts', async (cases) => {
  expect(await checkBreakouts(cases)).toBeGreaterThan(30)
})

testCases<Breakout>('whiteouts', 'containerd-breakout-removals', async (cases) => {
  expect(await checkBreakouts(cases)).toBe(cases.length)
})

test('a hard link to a link that leads outside changes nothing there (containerd: HardlinkSymlinkChmod)', async () => {
  const outside = path.join(scratch(), 'perm400')
  writeFileSync(outside, '...', { mode: 0o400 })
  const root = scratch()
  const bytes = archive(
    { name: 'ep', type: '2', link: outside },
    { name: 'sketchylink', type: '1', link: 'ep', mode: 0o777, uid: 5 },
  )
  await apply(root, bytes)
  expect(lstatSync(outside).mode & 0o777).toBe(0o400)
  expect(lstatSync(path.join(root, 'sketchylink')).isSymbolicLink()).toBe(true)
})

for (const set of [
  'moby-TestUntarInvalidHardlink',
  'moby-TestUntarInvalidSymlink',
  'moby-TestApplyLayerInvalidFilenames',
  'moby-TestApplyLayerInvalidHardlink',
  'moby-TestApplyLayerInvalidSymlink',
  'moby-TestUntarInvalidFilenames',
])
  testCases<{ tar: CaseMember[] }>('tar-breakout', set, async (cases) => {
    for (const { tar } of cases)
      for (const whiteouts of ['apply', 'overlay', 'none'] as const) {
        const { root, check } = besideSecret()
        await apply(root, archive(...members(tar)), { whiteouts }).catch(() => {})
        check()
      }
  })

testCases<{ name: string; prefix: string }>('tar-breakout', 'umoci-symlink-scoping', async (cases) => {
  for (const { prefix } of cases) {
    const parent = scratch()
    const root = path.join(parent, 'rootfs')
    mkdirSync(root)
    symlinkSync(prefix, path.join(root, 'link'))
    await apply(root, archive({ name: 'link/file', data: 'in' }))
    expect(readFileSync(path.join(root, 'file'), 'utf8')).toBe('in')
    expect(Object.keys(look(parent))).toEqual(['rootfs', 'rootfs/file', 'rootfs/link'])
  }
})

testCases<{ change: string[]; expected: string[] }>('whiteouts', 'moby-TestApplyLayerWhiteouts', async (cases) => {
  const root = scratch()
  for (const { change, expected } of cases) {
    const layer = change.map((name) => ({ name, type: name.endsWith('/') ? '5' : '0', mode: 0o755 }))
    await apply(root, archive(...layer))
    const found = Object.entries(look(root)).map(([name, is]) => (is.startsWith('dir') ? `${name}/` : name))
    expect(found.sort()).toEqual([...expected].sort())
  }
})

testCases<{ path: string; dir: boolean; expectedErr: string | null }>(
  'whiteouts',
  'umoci-UnpackEntryWhiteout',
  async (cases) => {
    for (const { path: name, dir, expectedErr } of cases) {
      const root = scratch()
      if (!expectedErr) await apply(root, archive({ name, type: dir ? '5' : '0', mode: 0o755 }))
      const at = name.lastIndexOf('/') + 1
      const applied = apply(root, archive({ name: `${name.slice(0, at)}.wh.${name.slice(at)}` }))
      if (expectedErr) await expect(applied).rejects.toMatchObject({ code: 'ERR_CAISSON_LAYER' })
      else await applied
      expect(existsSync(path.join(root, name)) && !expectedErr).toBe(false)
    }
  },
)

interface Dentry {
  tarDentry: { path: string; ftype: string; linkname?: string }
  upper: boolean
  shouldSurvive: boolean
}

const DENTRY_TYPES: Record<string, string> = {
  TypeReg: '0',
  TypeRegA: '\0',
  TypeDir: '5',
  TypeSymlink: '2',
  TypeFifo: '6',
}

testCases<{ name: string; dentries: Dentry[] | null }>('whiteouts', 'umoci-UnpackOpaqueWhiteout', async (cases) => {
  const member = ({ tarDentry: { path: name, ftype, linkname } }: Dentry): Member => ({
    name: `d/${name}`,
    type: DENTRY_TYPES[ftype] as string,
    link: linkname,
    mode: 0o755,
  })
  for (const { name, dentries } of cases) {
    const all = dentries ?? []
    const upper = all.filter((dentry) => dentry.upper).map(member)
    for (const where of [0, upper.length]) {
      const root = scratch()
      await apply(
        root,
        archive({ name: 'd', type: '5', mode: 0o755 }, ...all.filter(({ upper }) => !upper).map(member)),
      )
      const layer = [...upper]
      layer.splice(where, 0, { name: 'd/.wh..wh..opq' })
      await apply(root, archive(...layer))
      const left = look(root)
      // Deletions in the layer itself are no files.
      for (const { tarDentry, shouldSurvive } of all.filter(({ tarDentry }) => !tarDentry.path.includes('.wh.')))
        expect([name, tarDentry.path, `d/${tarDentry.path}` in left]).toEqual([name, tarDentry.path, shouldSurvive])
    }
  }
})

interface Resolving {
  setup: Array<['dir' | 'symlink', string, string?]>
  cases: Array<{ in: string; out?: string; error?: string }>
}

testCases<Resolving>('path-resolve', 'securejoin', async (cases) => {
  for (const { setup, cases: inputs } of cases)
    for (const { in: name, out, error } of inputs) {
      // A name is cleaned by its text first, where securejoin follows the links before a "..".
      if (/[^./].*\.\./.test(name)) continue
      const root = scratch()
      for (const [kind, at, target = ''] of setup) {
        mkdirSync(path.dirname(path.join(root, at)), { recursive: true })
        if (kind === 'dir') mkdirSync(path.join(root, at), { recursive: true })
        else symlinkSync(target, path.join(root, at))
      }
      const applied = apply(root, archive({ name: `${name}/placed` }))
      if (error) await expect(applied).rejects.toMatchObject({ cause: { code: error } })
      else {
        await applied
        expect(existsSync(path.join(root, out as string, 'placed'))).toBe(true)
      }
    }
})

test('as many links on the way as the kernel follows', async () => {
  for (const [links, fine] of [
    [40, true],
    [41, false],
  ] as const) {
    const chain: Member[] = [{ name: 'dir/empty/', type: '5', mode: 0o755 }]
    for (let i = 1; i <= links; i++)
      chain.push({ name: `dir/link${i}`, type: '2', link: i === 1 ? 'empty' : `link${i - 1}` })
    const applied = apply(scratch(), archive(...chain, { name: `dir/link${links}/file` }))
    if (fine) await applied
    else await expect(applied).rejects.toMatchObject({ cause: { code: 'ELOOP' } })
  }
})

/** Paths and links inside containers, as the reference implementations resolve them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type CaissonError, Container, Image } from '../../../lib/index.js'
import { archive, type Member } from '../../support/archive.js'
import { casesOf, missingCases } from '../../support/cases.js'
import { testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

const table = testIf(missingCases)
type Made = [kind: 'dir' | 'file' | 'symlink', at: string, target?: string]

/** A container with these files alone; nothing runs in it. */
async function holding(made: readonly Made[]): Promise<Container> {
  const rooted = made.map(([kind, at, target = '']): Made => [kind, at.replace(/^\/*/, '/'), target])
  const members = rooted.flatMap(([kind, at]): Member[] => {
    if (kind === 'symlink') return []
    return [kind === 'dir' ? { name: `${at.slice(1)}/`, type: '5', mode: 0o755 } : { name: at.slice(1), data: 'x' }]
  })
  const container = await Container.create(await Image.fromRootfs(archive(...members)), { command: ['/none'] })
  // By a call each: an archive has no room for long ones.
  for (const [kind, at, target = ''] of rooted) {
    if (kind !== 'symlink') continue
    await container.fs.mkdir(path.dirname(at), { recursive: true })
    await container.fs.symlink(target, at)
  }
  return container
}

const errnoOf = (error: CaissonError) => (error.cause as NodeJS.ErrnoException | undefined)?.code ?? error.code

/** Where a path leads, by the number of the file that is there, or why it leads nowhere. */
function found(container: Container, at: string): Promise<number | string> {
  return container.fs.stat(at).then(({ ino }) => ino, errnoOf)
}

interface Resolved {
  name: string
  original: string
  expected?: string
  err?: string
  setup: Made[] | string
}

const ERRORS: Record<string, string> = {
  'too many levels of symbolic links': 'ELOOP',
  'file name too long': 'ENAMETOOLONG',
  'not a directory': 'ENOTDIR',
}

/** Of the two cases that tell in words what they need. */
function chain(original: string): Made[] {
  const links = Number(/\d+$/.exec(original)?.[0])
  const link = (i: number): Made => ['symlink', `/dir/link${i}`, i === 1 ? 'empty' : `link${i - 1}`]
  return [['dir', '/dir'], ['dir', '/dir/empty'], ...Array.from({ length: links }, (_, i) => link(i + 1))]
}

table('paths lead where containerd finds them', async () => {
  for (const { name, original, expected, err, setup } of casesOf<Resolved>(
    'path-resolve',
    'containerd-resolveInRootFS',
  )) {
    await using container = await holding(typeof setup === 'string' ? chain(original) : setup)
    const at = original.startsWith('/') ? original : `/${original}`
    const wanted = expected === undefined ? ERRORS[err as string] : await found(container, `/${expected}`)
    if (original === '') expect(await found(container, original)).toBe('ERR_CAISSON_INVALID_ARGUMENT')
    else expect([name, await found(container, at)]).toEqual([name, wanted])
  }
})

interface Joined {
  setup: Made[]
  cases: Array<{ in: string; out?: string; error?: string }>
}

table('links of programs lead where securejoin finds them', async () => {
  for (const { setup, cases } of casesOf<Joined>('path-resolve', 'securejoin')) {
    // What a path of ours may not hold, a link may: the guest's own programs follow it.
    const links = cases.map(({ in: target }, i): Made => ['symlink', `asked/${i}`, `/${target}`])
    await using container = await holding([...setup, ['dir', 'asked'], ...links])
    for (const [i, { in: name, out, error }] of cases.entries()) {
      if (out !== undefined) await container.fs.mkdir(out, { recursive: true })
      // Where the way is not there securejoin takes it for a plain one.
      const missing = out !== undefined && (await found(container, `/asked/${i}`)) === 'ENOENT'
      expect([name, missing || (await found(container, `/asked/${i}`))]).toEqual([
        name,
        missing || (error ?? (await found(container, out as string))),
      ])
    }
  }
})

interface Malicious {
  layout: Record<string, string>
  requests: string[]
}

table('an archive never holds what a link leads to outside', async () => {
  const parent = scratch()
  mkdirSync(path.join(parent, 'host'))
  writeFileSync(path.join(parent, 'host/host-file'), 'content of host-file')
  for (const { layout, requests } of casesOf<Malicious>('path-resolve', 'go-archive-malicious-symlinks')) {
    const outside = [`/${'../'.repeat(40)}${parent}/host`, path.join(parent, 'host')]
    for (const target of ['../../host', ...outside]) {
      const made = Object.entries(layout).map(
        ([at, is]): Made => (is === 'dir' ? ['dir', at.slice(5)] : ['symlink', at.slice(5), target]),
      )
      await using container = await holding(made)
      for (const request of requests) {
        const bytes = await buffer(container.getArchive(`/${request}`)).catch(errnoOf)
        expect([request, bytes.includes('content of host-file')]).toEqual([request, false])
        // The link itself may be had; there is nothing behind it.
        expect([request, typeof bytes === 'string' ? bytes : 'archive']).toEqual([
          request,
          request === 'safe/link' ? 'archive' : 'ENOENT',
        ])
      }
    }
  }
})

test('a slash behind a name means a directory, as in fs/promises', async () => {
  await using container = await holding([
    ['dir', '/d'],
    ['file', '/f'],
    ['symlink', '/l', 'd'],
  ])
  const { fs } = container
  expect((await fs.lstat('/l/')).isDirectory()).toBe(true)
  expect((await fs.stat('/d//')).isDirectory()).toBe(true)
  await fs.chmod('/l/', 0o700)
  expect((await fs.stat('/d')).mode & 0o777).toBe(0o700)
  for (const work of [
    () => fs.stat('/f/'),
    () => fs.lstat('/f/'),
    () => fs.readFile('/f/'),
    () => fs.readdir('/f/'),
    () => fs.chmod('/f/', 0o600),
    () => fs.chown('/f/', 0, 0),
    () => fs.utimes('/f/', 0, 0),
    () => fs.readlink('/f/'),
  ])
    expect(await work().catch(errnoOf)).toBe('ENOTDIR')
  // What would make a file says so.
  expect(await fs.writeFile('/f/', 'y').catch(errnoOf)).toBe('EISDIR')
  expect(await fs.readFile('/f', 'utf8')).toBe('x')
})

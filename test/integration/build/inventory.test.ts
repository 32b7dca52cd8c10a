/** What builds copy from, as the addon sees it: the same that .dockerignore's rules say in TypeScript. */
import { mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { IgnoreMatcher, type MatchState } from '../../../lib/build/dockerfile/ignore.js'
import type { Entry } from '../../../lib/build/files/entry.js'
import { Inventory } from '../../../lib/build/files/inventory.js'
import { contextOf } from '../../support/build.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)
const { signal } = new AbortController()
const take = (root: string, ignore: string[] = [], book = '') => Inventory.take(root, ignore, book, signal)

function pathsIn(inventory: Inventory, from: Entry = inventory.entry(0, '')): string[] {
  return inventory
    .entriesIn(from)
    .flatMap((entry) => [entry.path, ...(entry.kind === 'directory' ? pathsIn(inventory, entry) : [])])
}

/** The rules once more: directories that are left out are there when something in them is. */
function expected(root: string, ignore: string[]): string[] {
  const matcher = new IgnoreMatcher(ignore)
  const walk = (directory: string, above: MatchState | undefined): string[] =>
    readdirSync(path.join(root, directory), { withFileTypes: true }).flatMap((entry) => {
      const at = directory === '' ? entry.name : `${directory}/${entry.name}`
      const { matches, state } = matcher.walk(at, above)
      if (matches && !matcher.mayHoldException(at)) return []
      const below = entry.isDirectory() ? walk(at, state) : []
      return matches && below.length === 0 ? [] : [at, ...below]
    })
  return walk('', undefined)
}

test('leaves out what the patterns say, whatever they are', async () => {
  const names = ['a', 'b', 'ab', 'aé', '*', 'é', 'a.b', '-', ']', 'x\u{1f600}y']
  const files = names.flatMap((one) => names.map((two) => [`${one}1/${two}2/${one}`, ''] as const))
  const root = contextOf(Object.fromEntries([...files, ...names.map((name) => [name, ''] as const)]))
  const piece = fc.constantFrom(...names, '**', '*', '?', '/', '/', '1', '2', '[a-b]', '[^é]', '\\*', '!', '.', '..')
  const pattern = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(''))
  const marked = fc.tuple(fc.boolean(), pattern).map(([exception, text]) => (exception ? `!${text}` : text))
  await fc.assert(
    fc.asyncProperty(fc.array(marked, { minLength: 1, maxLength: 4 }), async (ignore) => {
      let wanted: string[]
      try {
        wanted = expected(root, ignore)
      } catch {
        await expect(take(root, ignore)).rejects.toMatchObject({ code: 'ERR_CAISSON_DOCKERFILE' })
        return
      }
      expect(pathsIn(await take(root, ignore)).sort()).toEqual(wanted.sort())
    }),
    { numRuns: 300 },
  )
})

test('gives the same digests with a book, without one, and with a damaged one', async () => {
  const root = contextOf(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`d${i % 7}/f${i}`, `bytes ${i}`])))
  const book = path.join(scratch(), 'book')
  const digest = async () => {
    const inventory = await take(root, [], book)
    return inventory.digests([inventory.entry(0, ''), ...inventory.entriesIn(inventory.entry(0, ''))])
  }
  const first = await digest()
  // What was written just now is not in the book yet.
  await new Promise((resolve) => setTimeout(resolve, 2_100))
  expect([await digest(), await digest()]).toEqual([first, first])
  truncateSync(book, 500)
  expect(await digest()).toEqual(first)
  writeFileSync(book, Buffer.alloc(10_000, 7))
  expect(await digest()).toEqual(first)
  mkdirSync(path.join(root, 'd1/more'))
  const changed = await digest()
  expect(changed.map((each, i) => each === first[i])).toEqual([false, true, false, true, true, true, true, true])
})

test('says of a file that it was changed, and stops when it is told to', async () => {
  const root = contextOf({ 'd/file': 'one', other: 'x'.repeat(3 << 20) })
  const inventory = await take(root)
  writeFileSync(path.join(root, 'd/file'), 'two!')
  await expect(inventory.digests([inventory.entry(0, '')])).rejects.toMatchObject({
    code: 'ERR_CAISSON_FILE',
    message: expect.stringContaining('d/file: it was changed during the build'),
  })
  await expect(take(path.join(root, 'none'))).rejects.toMatchObject({ cause: { code: 'ENOENT', syscall: 'open' } })
  await expect(Inventory.take(root, [], '', AbortSignal.abort())).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
})

test('is aborted also when its work had ended before it could be told', async () => {
  const root = contextOf({ file: '' })
  const signal = AbortSignal.abort()
  const listen = signal.addEventListener.bind(signal)
  // Between the start of the work and the look at the signal, the thread has all the time that it needs.
  signal.addEventListener = (...args: Parameters<typeof listen>) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    listen(...args)
  }
  await expect(Inventory.take(root, [], '', signal)).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
})

/** Descriptors run out: each run is whole, or an error that says so; none is half made, and the process goes on. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'

function withDescriptors(limit: number, script: string) {
  const options = { cwd: path.resolve(__dirname, '../..'), encoding: 'utf8' as const }
  const words = ['-c', `ulimit -n ${limit}; exec "$0" "$1"`, process.execPath, path.join(__dirname, script)]
  return JSON.parse(execFileSync('/bin/sh', words, options))
}

test('with descriptors for a few, forty at once either run or say what is missing', () => {
  const few = withDescriptors(96, 'few-descriptors.mjs')
  expect(few).toMatchObject({ after: 0, usable: 'usable\n' })
  expect(few.ran).toBeGreaterThan(0)
  expect(Object.keys(few.codes)).toEqual(['ERR_CAISSON_RESOURCE_EXHAUSTED'])
  expect(withDescriptors(1000, 'few-descriptors.mjs')).toMatchObject({ ran: 320, codes: {} })
}, 120_000)

test('what is only kept for later gives its descriptors to a run that has none', () => {
  const found = withDescriptors(256, 'last-descriptors.mjs')
  // Something was kept, and all else was taken.
  expect(found.before).toBeGreaterThan(6)
  expect(found.taken).toBeGreaterThan(100)
  expect(found).toMatchObject({ stdout: 'other\n', after: 'after\n' })
}, 60_000)

/** Descriptors run out: each run is whole, or an error that says so; none is half made, and the process goes on. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'

test('with descriptors for a few, forty at once either run or say what is missing', () => {
  const script = path.join(__dirname, 'few-descriptors.mjs')
  const options = { cwd: path.resolve(__dirname, '../..'), encoding: 'utf8' as const }
  const run = (limit: number) =>
    JSON.parse(execFileSync('/bin/sh', ['-c', `ulimit -n ${limit}; exec "$0" "$1"`, process.execPath, script], options))
  const few = run(128)
  expect(few).toMatchObject({ after: 0, usable: 'usable\n' })
  expect(few.ran).toBeGreaterThan(0)
  expect(Object.keys(few.codes)).toEqual(['ERR_CAISSON_RESOURCE_EXHAUSTED'])
  expect(run(1000)).toMatchObject({ ran: 320, codes: {} })
}, 120_000)

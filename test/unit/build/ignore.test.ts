/** .dockerignore against Moby's tables. */
import { IgnoreMatcher, readIgnoreFile } from '../../../lib/build/dockerfile/ignore.js'
import { table } from '../../support/table.js'

interface MatchCase {
  patterns: string[]
  path: string
  match?: boolean
  error?: boolean
}

for (const set of ['TestMatches', 'matchTests', 'single'])
  table<MatchCase>('dockerignore', set, ({ patterns, path, match, error }) => {
    const matches = () => new IgnoreMatcher(patterns).matches(path)
    if (error) expect(matches).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_DOCKERFILE' }))
    else expect([matches(), walked(patterns, path)]).toEqual([match, match])
  })

/** The same, found by walking down. */
function walked(patterns: string[], path: string): boolean {
  const matcher = new IgnoreMatcher(patterns)
  const parts = path.split('/')
  let state: ReturnType<IgnoreMatcher['walk']> | undefined
  for (let depth = 1; depth <= parts.length; depth++) {
    const part = parts.slice(0, depth).join('/')
    if (part !== '' || depth === parts.length) state = matcher.walk(part, state?.state)
  }
  return state?.matches ?? false
}

table<{ text: string; patterns: string[] }>('dockerignore', 'ignorefile', ({ text, patterns }) => {
  expect(readIgnoreFile(text)).toEqual(patterns)
})

test('a directory that is left out is looked into only where an exception may be', () => {
  const matcher = new IgnoreMatcher(['*', '!src/lib/*.ts', '!doc*'])
  expect(['src', 'src/lib', 'docs', 'node_modules', 'srcs'].map((path) => matcher.mayHoldException(path))).toEqual([
    true,
    true,
    true,
    false,
    false,
  ])
  expect(new IgnoreMatcher(['*', '!**/x']).mayHoldException('node_modules')).toBe(true)
})

test('no pattern takes long', () => {
  const stars = new IgnoreMatcher([
    `${'*a'.repeat(500)}b`,
    `${'**/a'.repeat(500)}b`,
    `${'?*'.repeat(500)}[`.slice(0, -1),
  ])
  const started = performance.now()
  expect(stars.matches(`${'a'.repeat(4000)}/c`)).toBe(true)
  expect(performance.now() - started).toBeLessThan(2000)
})

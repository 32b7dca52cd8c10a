/** Word expansion against BuildKit's own tables. */
import { type ExpansionOptions, expand, type Variables } from '../../../lib/build/dockerfile/shell.js'
import { table } from '../../support/table.js'

const DOCKERFILE_ERROR = expect.objectContaining({ code: 'ERR_CAISSON_DOCKERFILE' })

const variables = (values: Record<string, string> | string[]): Variables =>
  Array.isArray(values)
    ? new Map(values.map((value) => value.split(/=(.*)/s, 2) as [string, string]))
    : new Map(Object.entries(values))

const text = (word: string, values: Record<string, string> | string[], options?: ExpansionOptions) =>
  expand(word, variables(values), options).text

const SHELL = { PWD: '/home', SHELL: 'bash', KOREAN: '한국어', NULL: '' }

table<{ in: string; out?: string; error?: boolean }>('dockerfile-shell', 'envVarTest', (given) => {
  if (given.error) expect(() => text(given.in, SHELL)).toThrow(DOCKERFILE_ERROR)
  else expect(text(given.in, SHELL)).toBe(given.out)
})

table<{ in: string; envs: string[]; out?: string[]; error?: boolean }>('dockerfile-shell', 'wordsTest', (given) => {
  const words = () => expand(given.in, variables(given.envs)).words
  if (given.error) expect(words).toThrow(DOCKERFILE_ERROR)
  else expect(words()).toEqual(given.out)
})

interface MatchesCase {
  input: string
  envs: Record<string, string>
  expected?: string
  expectedErr?: boolean
  matches?: string[] | null
  unmatched?: string[]
}
table<MatchesCase>('dockerfile-shell', 'with-matches', (given) => {
  if (given.expectedErr) {
    expect(() => text(given.input, given.envs)).toThrow(DOCKERFILE_ERROR)
    return
  }
  const { text: result, matched, unmatched } = expand(given.input, variables(given.envs))
  expect([result, [...matched].sort(), [...unmatched].sort()]).toEqual([
    given.expected,
    given.matches ?? [],
    given.unmatched ?? [],
  ])
})

table<{ in: string; envs: string[]; out?: string; error?: string }>('dockerfile-shell', 'mandatory', (given) => {
  if (given.error) expect(() => text(given.in, given.envs)).toThrow(given.error)
  else expect(text(given.in, given.envs)).toBe(given.out)
})

describe('what the tables do not say', () => {
  test('every match of nothing is replaced, but not right behind another match', () => {
    expect(text('${A///-}', { A: 'abc' })).toBe('-a-b-c-')
    expect(text('${A//b*/-}', { A: 'abc' })).toBe('a-')
  })

  test('the shortest and the longest match, from both ends', () => {
    const A = 'one.two.three'
    expect(text('${A#*.}', { A })).toBe('two.three')
    expect(text('${A##*.}', { A })).toBe('three')
    expect(text('${A%.*}', { A })).toBe('one.two')
    expect(text('${A%%.*}', { A })).toBe('one')
    expect(text('${A#?n}', { A })).toBe('e.two.three')
    expect(text('${A/t*e/-}', { A })).toBe('one.-')
  })

  test('the escape character is the one of the directive', () => {
    expect(text('`$A \\$A', { A: 'x' }, { escape: '`' })).toBe('$A \\x')
  })

  test('words before a substitution stay', () => {
    expect(expand('80${A:-81} b', variables({})).words).toEqual(['8081', 'b'])
  })

  test('in a here-document quotes are characters', () => {
    expect(text(`it's "$A" \\$A`, { A: 'x' }, { plainQuotes: true })).toBe(`it's "x" $A`)
  })

  test('variables cannot make a word grow without end', () => {
    const A = 'a'.repeat(1024)
    expect(text('$A'.repeat(1024), { A })).toHaveLength(1024 * 1024)
    expect(() => text('$A'.repeat(1025), { A })).toThrow('longer than 1 MiB')
    expect(() => text(`\${A//a/${A}b}`, { A })).toThrow('longer than 1 MiB')
  })

  test('nesting ends in an error, not in a full stack', () => {
    const nested = (levels: number) => `${'${a:-'.repeat(levels)}x${'}'.repeat(levels)}`
    expect(text(nested(256), {})).toBe('x')
    expect(() => text(nested(257), {})).toThrow('nested more than 256 deep')
    expect(() => text('${a:-'.repeat(200_000), {})).toThrow('nested more than 256 deep')
  })
})

/** Hostile text: no other error than ours, no endless loop, no more time than the text is long. */
import fc from 'fast-check'
import { matchGlob, parseGlob } from '../../../lib/build/dockerfile/glob.js'
import { IgnoreMatcher, readIgnoreFile } from '../../../lib/build/dockerfile/ignore.js'
import { INSTRUCTION_NAMES, parseDockerfile } from '../../../lib/build/dockerfile/parser.js'
import { planBuild } from '../../../lib/build/dockerfile/plan.js'
import { expand } from '../../../lib/build/dockerfile/shell.js'
import { CaissonError } from '../../../lib/errors.js'

const BASE = { os: 'linux', architecture: 'amd64', digest: 'sha256:base', config: {}, history: [] }

/** The work, or the error when it is one of ours. */
function attempt<T>(work: () => T): T | CaissonError {
  try {
    return work()
  } catch (error) {
    if (error instanceof CaissonError) return error
    throw error
  }
}

/** Milliseconds that a plan takes; only our errors are swallowed. */
async function planned(text: string): Promise<number> {
  const started = performance.now()
  await planBuild(text, {}, async () => structuredClone(BASE)).catch((error) => {
    if (!(error instanceof CaissonError)) throw error
    expect(error.message.length).toBeLessThan(3000)
  })
  return performance.now() - started
}

const SHELL_PIECES = [
  '$',
  '{',
  '}',
  ':',
  '-',
  '+',
  '?',
  '#',
  '%',
  '/',
  '*',
  '\\',
  '`',
  '"',
  "'",
  ' ',
  '<',
  'A',
  '${A',
  '😀',
]
const shellText = fc.array(fc.constantFrom(...SHELL_PIECES), { maxLength: 40 }).map((pieces) => pieces.join(''))

test('the expander throws nothing else, and stops', () => {
  const variables = new Map([
    ['A', 'aa*?\\/}$A'],
    ['B', ''],
  ])
  fc.assert(
    fc.property(
      fc.oneof(shellText, fc.string()),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      (text, rawQuotes, rawEscapes, keepUnset) => {
        const result = attempt(() => expand(text, variables, { rawQuotes, rawEscapes, keepUnset }))
        if (!(result instanceof CaissonError)) expect(typeof result.text).toBe('string')
      },
    ),
    { numRuns: 3000 },
  )
})

test('text without anything special stays as it is', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-zA-Z0-9_.,:;=+/ é☺-]*$/), (text) => {
      expect(expand(text, new Map()).text).toBe(text)
    }),
  )
})

const lineText = fc.oneof(
  fc
    .tuple(fc.constantFrom(...INSTRUCTION_NAMES, 'FOO', 'run', '#', '# escape=`', ''), fc.oneof(shellText, fc.string()))
    .map(([name, rest]) => `${name} ${rest}`),
  fc.constantFrom(
    'FROM x',
    'FROM scratch AS a',
    'RUN <<E',
    'COPY <<E <<F /x',
    'E',
    'F',
    '\\',
    'RUN a \\',
    '[',
    'ONBUILD RUN <<E',
    'ARG A=1',
    'COPY --from=a x y',
    'RUN --mount=type=cache,target=/x y',
  ),
)

test('no file makes the parser or the planner throw anything else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(lineText, { maxLength: 12 }), fc.constantFrom('\n', '\r\n'), async (lines, ending) => {
      const text = `FROM x${ending}${lines.join(ending)}`
      attempt(() => parseDockerfile(text))
      await planned(text)
    }),
    { numRuns: 1500 },
  )
})

test('places point into the file', () => {
  fc.assert(
    fc.property(fc.array(lineText, { maxLength: 12 }), (lines) => {
      const result = attempt(() => parseDockerfile(`FROM x\n${lines.join('\n')}`))
      const count = lines.length + 1
      if (result instanceof CaissonError) expect(result.location?.line ?? 1).toBeLessThanOrEqual(count)
      else
        for (const { line, args, flags } of result.instructions)
          for (const token of [...args, ...flags]) {
            const { start, end } = line.span(token.offset, token.length)
            expect([start.line >= line.startLine, end.line <= line.endLine, start.column >= 1]).toEqual([
              true,
              true,
              true,
            ])
          }
    }),
    { numRuns: 1000 },
  )
})

test('patterns match as slowly written ones do', () => {
  const piece = fc.constantFrom('*', '**', '?', '/', 'a', 'b', '[ab]', '[^a]', '\\*')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.stringMatching(/^[ab/*]{0,8}$/), (pieces, path) => {
      const pattern = pieces.join('')
      const glob = attempt(() => parseGlob(pattern))
      if (glob instanceof CaissonError) return
      const regular = pattern.replace(/\\\*|\[\^a\]|\[ab\]|\*+|\?/g, (part) =>
        part.startsWith('*') ? '[^/]*' : part === '?' ? '[^/]' : part,
      )
      expect(matchGlob(glob, path)).toBe(new RegExp(`^${regular}$`, 's').test(path))
    }),
    { numRuns: 3000 },
  )
})

test('.dockerignore throws nothing else', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, path) => {
      attempt(() => new IgnoreMatcher(readIgnoreFile(text)).matches(path))
    }),
    { numRuns: 2000 },
  )
})

describe('time', () => {
  const MEGABYTE = 1024 * 1024
  const fast = (milliseconds: number) => expect(milliseconds).toBeLessThan(15_000)

  test.each<[string, () => string]>([
    ['one line of 1 MB', () => `FROM x\nRUN ${'a'.repeat(MEGABYTE)}`],
    ['100,000 continuations', () => `FROM x\nRUN a ${'\\\n'.repeat(100_000)}`],
    ['100,000 continued words', () => `FROM x\nENV A=1 ${'\\\n  B=$A'.repeat(100_000)}`],
    ['100,000 empty continuations', () => `FROM x\nRUN a \\\n${'\n'.repeat(100_000)}`],
    ['100,000 comments', () => `FROM x\n${'# x\n'.repeat(100_000)}`],
    ['a directive of white space', () => `# check=a${' '.repeat(60_000)}b\n# escape${' '.repeat(60_000)}x\nFROM x`],
    ['white space before an end', () => `FROM x\nRUN a${' '.repeat(60_000)}b${' '.repeat(5000)}`],
    ['100,000 instructions', () => `FROM x\n${'ENV A=$A$A\n'.repeat(100_000)}`],
    [
      '100,000 variables and commands',
      () => `FROM x\n${Array.from({ length: 100_000 }, (_, i) => `ENV A${i}=1\nRUN x`).join('\n')}`,
    ],
    [
      '10,000 stages on each other',
      () =>
        `FROM x AS s0\n${Array.from({ length: 10_000 }, (_, i) => `FROM s${i} AS s${i + 1}\nLABEL l${i}=1`).join('\n')}`,
    ],
    [
      '10,000 stages that copy',
      () =>
        `FROM x AS s0\n${Array.from({ length: 10_000 }, (_, i) => `FROM x AS s${i + 1}\nCOPY --from=s${i} a b`).join('\n')}`,
    ],
    ['a deep JSON array', () => `FROM x\nCMD ${'['.repeat(60_000)}`],
    ['quotes that do not end', () => `FROM x\n${'ENV A="\n'.repeat(10_000)}`],
    ['here-documents in one line', () => `FROM x\nRUN ${'<<A '.repeat(15_000)}\n${'A\n'.repeat(15_000)}`],
    ['a here-document of 1 MB', () => `FROM x\nCOPY <<A /x\n${'$A x\n'.repeat(200_000)}A`],
    ['ranges of ports', () => `FROM x\nEXPOSE ${'0-65535 '.repeat(8000)}`],
    ['ONBUILD again and again', () => `FROM x\n${'ONBUILD '.repeat(8000)}RUN x`],
    ['flags without end', () => `FROM x\nRUN ${'--mount=type=cache,target=/x '.repeat(2000)} y`],
    ['unknown words', () => `FROM x\nCOPY ${'$undefined_variable '.repeat(3000)} /x`],
    ['names with many separators', () => `FROM ${'a__'.repeat(20_000)}\n`],
  ])('%s', async (_, text) => fast(await planned(text())))

  test.each<[string, string, Record<string, string>]>([
    ['nested defaults', `${'${a:-'.repeat(200_000)}${'}'.repeat(200_000)}`, {}],
    ['1 MB of text', 'a b '.repeat(MEGABYTE / 4), {}],
    ['1 MB of variables', '$a'.repeat(MEGABYTE / 2), { a: 'x' }],
    ['stars in a pattern', `\${a#${'*a'.repeat(2000)}b}`, { a: 'a'.repeat(8000) }],
    ['stars from the end', `\${a%%${'a*'.repeat(2000)}}`, { a: 'a'.repeat(8000) }],
    ['every match replaced', '${a//?/bb}', { a: 'a'.repeat(500_000) }],
    ['a long pattern in a long value', `\${a//${'a'.repeat(60_000)}b/}`, { a: 'a'.repeat(500_000) }],
    ['open quotes', '"'.repeat(MEGABYTE + 1), {}],
    ['open braces', '${a'.repeat(300_000), {}],
  ])('%s', (_, text, variables) => {
    const started = performance.now()
    attempt(() => expand(text, new Map(Object.entries(variables))))
    fast(performance.now() - started)
  })
})

/** Instructions: what is refused and with what words, and what comes out. */
import type { Instruction } from '../../../lib/build/dockerfile/instruction.js'
import { readInstruction } from '../../../lib/build/dockerfile/instructions.js'
import { parseDockerfile } from '../../../lib/build/dockerfile/parser.js'
import { table } from '../../support/table.js'

function read(text: string) {
  const { source, instructions } = parseDockerfile(text)
  return instructions.map((node) => readInstruction(source, node))
}

const refused = (text: string, message: string, position: object = {}) =>
  expect(() => read(text)).toThrow(
    expect.objectContaining({
      code: 'ERR_CAISSON_DOCKERFILE',
      message: expect.stringContaining(message),
      hint: expect.stringMatching(/./),
      location: expect.objectContaining({ file: 'Dockerfile', ...position }),
    }),
  )

table<{ dockerfile: string; error: string }>('dockerfile-instructions', 'errors', (given) =>
  refused(given.dockerfile, given.error),
)
table<{ dockerfile: string; expectedError: string }>('dockerfile-instructions', 'errors-heredoc', (given) =>
  refused(given.dockerfile, given.expectedError),
)

interface CopyCase {
  dockerfile: string
  sourcesAndDest: {
    DestPath: string
    SourcePaths?: string[]
    SourceContents?: Array<{ Path: string; Data: string; Expand: boolean }>
  }
}
table<CopyCase>('dockerfile-instructions', 'copy-heredoc', ({ dockerfile, sourcesAndDest }) => {
  const [copy] = read(dockerfile)
  if (copy?.name !== 'COPY') throw new Error('no COPY')
  expect({
    destination: copy.destination.text,
    sources: copy.sources.map(({ text }) => text),
    files: copy.files,
  }).toEqual({
    destination: sourcesAndDest.DestPath,
    sources: sourcesAndDest.SourcePaths ?? [],
    files: (sourcesAndDest.SourceContents ?? []).map(({ Path, Data, Expand }) => ({
      name: Path,
      content: Data,
      expand: Expand,
    })),
  })
})

interface RunCase {
  dockerfile: string
  command: string[]
  shell: boolean
  files?: Array<{ Name: string; Data: string; Chomp?: boolean }>
}
table<RunCase>('dockerfile-instructions', 'run-heredoc', ({ dockerfile, command, shell, files = [] }) => {
  const [run] = read(dockerfile)
  if (run?.name !== 'RUN') throw new Error('no RUN')
  expect({
    command: run.command.map(({ text }) => text),
    shell: run.shellForm,
    files: run.heredocs.map(({ name, content, chomp }) => ({ Name: name, Data: content, Chomp: chomp })),
  }).toEqual({ command, shell, files: files.map((file) => ({ Chomp: false, ...file })) })
})

// Two arguments cannot come from a text: all that stands behind these is one argument.
table<string>('dockerfile-instructions', 'exactly-one-argument', (name) => {
  refused(name, `${name} requires exactly one argument`)
  expect(read(`${name} a b`)[0]).toMatchObject({ name, value: { text: 'a b' } })
})
table<string>('dockerfile-instructions', 'at-least-one-argument', (name) =>
  refused(name, `${name} requires at least one argument`),
)
table<string>('dockerfile-instructions', 'no-destination', (name) =>
  refused(
    `${name} arg1`,
    `${name} requires at least two arguments, but only one was provided. Destination could not be determined`,
  ),
)

describe('an error points at what is wrong', () => {
  test.each([
    ['FROM x\nRUM ls', 'unknown instruction: RUM (did you mean RUN?)', { line: 2, column: 1 }],
    ['FROM x\n  COPY --chwon=1 a b', 'unknown flag: --chwon (did you mean chown?)', { line: 2, column: 8 }],
    ['FROM x\nRUN --network=\\\n  bridge ls', 'invalid network mode ""', { line: 2, column: 5 }],
    ['FROM x\nRUN \\\n# comment\n  --network=bridge ls', 'invalid network mode "bridge"', { line: 4, column: 3 }],
    ['FROM x AS 1st', 'invalid name for build stage: "1st"', { line: 1, column: 11 }],
    ['FROM x y', 'FROM requires either one or three arguments', { line: 1, column: 1 }],
    ['FROM x\nHEALTHCHECK --interval=5 CMD x', 'time: missing unit in duration "5"', { line: 2, column: 13 }],
    ['FROM x\nHEALTHCHECK --timeout=1us CMD x', 'Interval "timeout" cannot be less than 1ms', { line: 2, column: 13 }],
    ['FROM x\nHEALTHCHECK --retries=-1 CMD x', '--retries cannot be negative (-1)', { line: 2, column: 13 }],
    ['FROM x\nHEALTHCHECK NONE x', 'HEALTHCHECK NONE takes no arguments', { line: 2 }],
    ['FROM x\nHEALTHCHECK CMD', 'Missing command after HEALTHCHECK CMD', { line: 2 }],
    ['FROM x\nHEALTHCHECK TCP 80', 'Unknown type "TCP" in HEALTHCHECK (try CMD)', { line: 2, column: 13 }],
    ['FROM x\nSHELL sh -c', 'SHELL requires the arguments to be in JSON form', { line: 2 }],
    ['FROM x\nVOLUME ["/a", " "]', 'VOLUME specified can not be an empty string', { line: 2, column: 15 }],
    ['FROM x\nENV a=1 b', `can't find = in "b". Must be of the form: name=value`, { line: 2 }],
    ['FROM x\nENV =1', 'ENV names can not be blank', { line: 2 }],
    ['FROM x\nARG =1', 'ARG names can not be blank', { line: 2, column: 5 }],
    ['FROM x\nCOPY --link=maybe a b', 'expecting boolean value for flag --link, not: maybe', { line: 2, column: 6 }],
    ['FROM x\nCOPY --link= a b', 'missing a value on flag: --link', { line: 2 }],
    ['FROM x\nCOPY --chown a b c', 'missing a value on flag: --chown', { line: 2 }],
    ['FROM x\nCOPY --chown=1 --chown=2 a b', 'duplicate flag specified: --chown', { line: 2, column: 16 }],
    ['FROM x\nONBUILD FROM y', "FROM isn't allowed as an ONBUILD trigger", { line: 2, column: 9 }],
    ['FROM x\nRUN <<EOF\nls', 'unterminated heredoc', { line: 2, column: 1 }],
    ['# escape=x\nFROM x', "invalid escape token 'x' does not match ` or \\", { line: 1 }],
    ['# escape=`\n# escape=`\nFROM x', 'only one escape parser directive can be used', { line: 2 }],
    ['FROM x\nCMD ["a", 1]', 'arrays must be comprised of strings only', { line: 2 }],
  ])('%j', (text, message, position) => refused(text, message, position))

  test('with an excerpt, and without what a terminal would obey', () => {
    expect(() => read('FROM x\nCOPY --chwon=1 a b')).toThrow(
      [
        'Dockerfile:2:6: unknown flag: --chwon (did you mean chown?)',
        ' 2 | COPY --chwon=1 a b',
        '   |      ^^^^^^^^^',
      ].join('\n'),
    )
    expect(() => read('FROM x\n\x1b[2JFOO')).toThrow(
      'Dockerfile:2:1: unknown instruction: \ufffd[2JFOO\n 2 | \ufffd[2JFOO',
    )
  })
})

describe('what is read', () => {
  const second = (text: string) => read(`FROM x\n${text}`)[1] as Instruction

  test('a health check', () => {
    expect(
      second('HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0s --retries=3 CMD ["a", "b"]'),
    ).toMatchObject({
      health: { Test: ['CMD', 'a', 'b'], Interval: 90e9, Timeout: 1.5e9, Retries: 3 },
    })
    expect(second('healthcheck cmd a b')).toMatchObject({ health: { Test: ['CMD-SHELL', 'a b'] } })
    expect(second('HEALTHCHECK none')).toMatchObject({ health: { Test: ['NONE'] } })
  })

  test('ONBUILD with its here-documents', () => {
    expect(second('onbuild  COPY <<a <<b /x\n1\na\n2\nb')).toMatchObject({ expression: 'COPY <<a <<b /x\n1\na\n2\nb' })
  })

  test('flags in quotes, and a bare -- behind them', () => {
    expect(second('COPY --chown="a b" --link -- --x y')).toMatchObject({
      chown: { text: 'a b' },
      link: true,
      sources: [{ text: '--x' }],
    })
  })

  test('with another escape character', () => {
    expect(read('# escape=`\nFROM x\nENV a=C:\\ `\n b=d` e')[1]).toMatchObject({
      pairs: [
        { key: { text: 'a' }, value: { text: 'C:\\' } },
        { key: { text: 'b' }, value: { text: 'd` e' } },
      ],
    })
  })
})

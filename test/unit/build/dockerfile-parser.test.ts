/** Lines, words and here-documents against BuildKit's own corpus. */
import { detectSyntax, findDirective, firstWord } from '../../../lib/build/dockerfile/directives.js'
import { heredocsOf, parseHeredoc } from '../../../lib/build/dockerfile/heredoc.js'
import { jsonStrings } from '../../../lib/build/dockerfile/json.js'
import { type ParsedInstruction, parseDockerfile } from '../../../lib/build/dockerfile/parser.js'
import { quote } from '../../../lib/build/dockerfile/text.js'
import { splitWords } from '../../../lib/build/dockerfile/words.js'
import { casesOf } from '../../support/cases.js'
import { table } from '../../support/table.js'

/** What the reference prints of a syntax tree. */
function dump(node: ParsedInstruction): string {
  const flags = node.flags.length > 0 ? ` [${node.flags.map(({ text }) => quote(text)).join(' ')}]` : ''
  const args = argumentsOf(node).map((arg) => ` ${quote(arg)}`)
  const trigger = node.trigger ? ` (${dump(node.trigger)})` : ''
  return `${node.keyword.text.toLowerCase()}${flags}${args.join('')}${trigger}`
}

function argumentsOf({ args, pairs }: ParsedInstruction): string[] {
  return pairs.length > 0
    ? pairs.flatMap(({ key, value, assigned }) => [key.text, value.text, assigned ? '=' : ''])
    : args.map(({ text }) => text)
}

interface Tree {
  name: string
  dockerfile: string
  dump: string
  nodes: Array<{ cmd: string; start: number; end: number; attrs?: { json?: boolean }; original?: string }>
  escape: string
  warnings?: string[]
}

table<Tree>('dockerfile-parser', 'testfiles', (given) => {
  const { instructions, escape: escaper } = parseDockerfile(given.dockerfile)
  expect(instructions.map((node) => `(${dump(node)})\n`).join('')).toBe(given.dump)
  expect(instructions.map(({ keyword, line, endLine, json }) => [keyword.text, line.startLine, endLine, json])).toEqual(
    given.nodes.map(({ cmd, start, end, attrs }) => [cmd, start, end, attrs?.json ?? false]),
  )
  expect(escaper).toBe(given.escape)
  expect(instructions.filter(({ line }) => line.emptyContinuation)).toHaveLength(given.warnings?.length ?? 0)
})

table<{ dockerfile: string; errorText: string }>('dockerfile-parser', 'testfiles-negative', (given) => {
  expect(() => parseDockerfile(given.dockerfile)).toThrow(
    expect.objectContaining({ code: 'ERR_CAISSON_DOCKERFILE', message: expect.stringContaining(given.errorText) }),
  )
})

table<{ dockerfile: string; astStart: number; astEnd: number; children: number[][] }>(
  'dockerfile-parser',
  'line-numbers',
  (given) => {
    const { instructions } = parseDockerfile(given.dockerfile)
    expect(instructions.map(({ line, endLine }) => [line.startLine, endLine])).toEqual(given.children)
    expect([instructions[0]?.line.startLine, instructions.at(-1)?.endLine]).toEqual([given.astStart, given.astEnd])
  },
)

table<{ dockerfile: string; warnings: number }>('dockerfile-parser', 'empty-continuation-warnings', (given) => {
  const { instructions } = parseDockerfile(given.dockerfile)
  expect(instructions.filter(({ line }) => line.emptyContinuation)).toHaveLength(given.warnings)
})

interface DirectiveCase {
  in: string
  ok: boolean
  ref?: string
  cmdline?: string
  line?: number
}
table<DirectiveCase>('dockerfile-parser', 'detect-syntax', (given) => {
  expect(detectSyntax(given.in)).toBe(given.ok ? given.ref : undefined)
  const directive = findDirective(given.in, 'syntax')
  if (given.cmdline) expect(directive?.value).toBe(given.cmdline)
  if (given.line) expect(directive?.line).toBe(given.line)
})

table<DirectiveCase>('dockerfile-parser', 'parse-directive-check', (given) => {
  const directive = findDirective(given.in, 'check')
  expect(directive && firstWord(directive.value)).toBe(given.ok ? given.ref : undefined)
  if (given.cmdline) expect(directive?.value).toBe(given.cmdline)
  if (given.line) expect(directive?.line).toBe(given.line)
})

table<{ in: string; out: string[] }>('dockerfile-parser', 'words', (given) => {
  expect(splitWords(given.in, 0, '\\').map(({ text }) => text)).toEqual(given.out)
})

table<{ in: string; out: string[] }>('dockerfile-parser', 'json-array-valid', (given) => {
  const tokens = jsonStrings(given.in, 0, given.in.length)
  expect(tokens?.map(({ text }) => text)).toEqual(given.out)
  expect(tokens?.map(({ offset, length }) => JSON.parse(given.in.slice(offset, offset + length)))).toEqual(given.out)
})

table<string>('dockerfile-parser', 'json-array-invalid', (text) => {
  expect(() => jsonStrings(text, 0, text.length)).toThrow('arrays must be comprised of strings only')
})

table<string>('dockerfile-parser', 'heredoc-valid', (word) => expect(parseHeredoc(word)?.name).toBe('EOF'))
table<string>('dockerfile-parser', 'heredoc-invalid', (word) => expect(() => parseHeredoc(word)).toThrow('matching'))
table<string>('dockerfile-parser', 'heredoc-not', (word) => expect(parseHeredoc(word)).toBeUndefined())
table<{ line: string; heredocNames: string[] | null }>('dockerfile-parser', 'heredocs-from-line', (given) => {
  expect(heredocsOf(given.line).map(({ name }) => name)).toEqual(given.heredocNames ?? [])
})

test('a line that is too long is refused, and one that is not is read', () => {
  const [given] = casesOf<{ label_value_len: number }>('dockerfile-parser', 'max-line')
  const file = (length: number) => `FROM x\nLABEL a=${'v'.repeat(length)}\n`
  expect(() => parseDockerfile(file(given?.label_value_len ?? 65536))).toThrow(
    'Dockerfile:2:1: dockerfile line greater than max allowed size of 65535',
  )
  expect(parseDockerfile(file(65535 - 'LABEL a='.length)).instructions).toHaveLength(2)
  expect(() => parseDockerfile(file(65536 - 'LABEL a='.length))).toThrow('max allowed size')
})

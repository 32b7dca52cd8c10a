import { parseDotenv, parseRawEnv } from '../../../lib/compose/dotenv.js'
import { interpolate } from '../../../lib/compose/variables.js'
import { splitCommand } from '../../../lib/compose/words.js'

const variables: Record<string, string> = { SET: 'value', EMPTY: '', OTHER: 'other', NAME_1: 'one' }
const lookup = (name: string) => variables[name]

test.each([
  ['plain', 'plain'],
  ['$SET', 'value'],
  ['${SET}', 'value'],
  ['a${SET}b$SET-c', 'avaluebvalue-c'],
  ['$NAME_1.x', 'one.x'],
  ['$$SET', '$SET'],
  ['$${SET}', '${SET}'],
  ['$$$SET', '$value'],
  ['$UNSET|', '|'],
  ['${UNSET}', ''],
  ['${SET:-x}', 'value'],
  ['${EMPTY:-x}', 'x'],
  ['${EMPTY-x}', ''],
  ['${UNSET:-x}', 'x'],
  ['${UNSET-x}', 'x'],
  ['${UNSET:-}', ''],
  ['${UNSET:-${OTHER}}', 'other'],
  ['${UNSET:-${EMPTY:-$OTHER}!}', 'other!'],
  ['${UNSET-a:b/c d}', 'a:b/c d'],
  ['${SET:+x}', 'x'],
  ['${EMPTY:+x}', ''],
  ['${EMPTY+x}', 'x'],
  ['${UNSET+x}', ''],
  ['${SET:?no}', 'value'],
  ['${EMPTY?no}', ''],
  // What is left aside is not looked up.
  ['${SET:-${UNSET:?no}}', 'value'],
  ['${UNSET:+${UNSET:?no}}', ''],
  ['{SET}', '{SET}'],
  ['${UNSET:-$$x}', '$x'],
])('%s becomes %s', (text, wanted) => {
  expect(interpolate(text, { lookup })).toBe(wanted)
})

test.each([
  ['${UNSET:?}', 'UNSET is not set'],
  ['${UNSET?}', 'UNSET is not set'],
  ['${EMPTY:?say it}', 'EMPTY is empty: say it'],
  ['${UNSET:?${OTHER} is missing}', 'UNSET is not set: other is missing'],
  ['$', 'is no variable'],
  ['a $ b', 'is no variable'],
  ['$1', 'is no variable'],
  ['${', 'is no variable'],
  ['${SET', 'is no variable'],
  ['${SET:x}', 'is no variable'],
  ['${SET!x}', 'is no variable'],
  ['${UNSET:-${SET}', 'is no variable'],
  [`${'${A:-'.repeat(40)}${'}'.repeat(40)}`, 'too deeply'],
])('%s is refused', (text, wanted) => {
  expect(() => interpolate(text, { lookup })).toThrow(wanted)
})

test('what is not set is told, unless something else is given', () => {
  const missing: string[] = []
  interpolate('$A ${B} ${C:-x} ${D+x} ${E:-$F}', { lookup, missing: (name) => missing.push(name) })
  expect(missing).toEqual(['A', 'B', 'F'])
})

test('a .env file', () => {
  const text = [
    '\ufeff# comment',
    'PLAIN=a b  # comment',
    'HASH=a#b',
    ' export EXPORTED = spaced ',
    "SINGLE='$SET \\n #'",
    'DOUBLE="$SET\\n\\$SET #" # comment',
    'LINES="a',
    'b"',
    'USES=${PLAIN}-${UNSET:-x}',
    'BARE',
    'SET',
    'EMPTY=',
    'COLON: yes',
    'QUOTE=a"b"',
  ].join('\r\n')
  expect(Object.fromEntries(parseDotenv(text, '.env', lookup))).toEqual({
    PLAIN: 'a b',
    HASH: 'a#b',
    EXPORTED: 'spaced',
    SINGLE: '$SET \\n #',
    DOUBLE: 'value\n$SET #',
    LINES: 'a\nb',
    USES: 'a b-x',
    BARE: undefined,
    SET: 'value',
    EMPTY: '',
    COLON: 'yes',
    QUOTE: 'a"b"',
  })
})

test.each([
  ['A=1\n!x', ':2:1: this is no variable'],
  ['A=1\n\nB="x\ny', ':3:1: the quote of B does not end'],
  ['A=${B:?say}', ':1:1: the variable B is not set: say'],
])('a .env file %j is refused with its line', (text, wanted) => {
  expect(() => parseDotenv(text, 'file.env', () => undefined)).toThrow(`file.env${wanted}`)
})

test('a raw file is taken as it is', () => {
  expect(Object.fromEntries(parseRawEnv('A="$X" # y\n# c\nB=\nnothing\n'))).toEqual({ A: '"$X" # y', B: '' })
})

test.each([
  ['a b  c', ['a', 'b', 'c']],
  [`sh -c 'echo "x y"; exit 1'`, ['sh', '-c', 'echo "x y"; exit 1']],
  ['a "b \\"c\\" \\n" d\\ e', ['a', 'b "c" \\n', 'd e']],
  [`''`, ['']],
  ['', []],
  [`a'b'"c"`, ['abc']],
  [`a 'b`, undefined],
  ['a "b', undefined],
  ['a \\', undefined],
])('the command %j', (text, wanted) => {
  expect(splitCommand(text)).toEqual(wanted)
})

/** Formats as docker takes them: what Go's text/template makes of the same, but for names and objects. */

import { fillTemplate } from '../../../lib/cli/template.js'
import { CaissonError } from '../../../lib/index.js'

const VALUE = {
  id: 'sha256:1',
  tags: ['a:1', 'b:2'],
  config: { Env: ['A=1', 'B=2'], Labels: { 'a.b': 'dotted', plain: 'x' }, Entrypoint: [], User: '' },
  size: 42,
  stopped: false,
  nothing: null,
}

test.each([
  ['', ''],
  ['text', 'text'],
  ['{{.id}}', 'sha256:1'],
  ['{{ .Id }}/{{.SIZE}}', 'sha256:1/42'],
  ['{{id}}', 'sha256:1'],
  ['{{.config.env}}', '["A=1","B=2"]'],
  ['{{json .tags}}', '["a:1","b:2"]'],
  ['{{json .}}', JSON.stringify(VALUE)],
  ['{{json .id}}', '"sha256:1"'],
  ['{{json .nothing}}', 'null'],
  ['{{.nothing}} {{.nothing.below}}', '<no value> <no value>'],
  ['{{index .config.Labels "a.b"}}', 'dotted'],
  ['{{index .config.Labels `a.b`}}', 'dotted'],
  ['{{index .config.Labels "none"}}', ''],
  ['{{index .tags 1}}', 'b:2'],
  ['{{index .config.Labels "say \\"}}\\""}}', ''],
  ['{{len .tags}} {{len .id}} {{len .config.Labels}}', '2 8 2'],
  ['{{join .tags ", "}}', 'a:1, b:2'],
  ['{{upper .id}} {{lower "ABC"}}', 'SHA256:1 abc'],
  ['{{range .tags}}<{{.}}>{{end}}', '<a:1><b:2>'],
  ['{{range .tags}}{{println .}}{{end}}', 'a:1\nb:2\n'],
  ['{{range .config.Entrypoint}}x{{else}}none{{end}}', 'none'],
  ['{{range .config.Labels}}{{.}};{{end}}', 'dotted;x;'],
  ['{{range .tags}}{{$.id}} {{end}}', 'sha256:1 sha256:1 '],
  ['{{if .stopped}}yes{{else}}no{{end}}', 'no'],
  ['{{if .config.Env}}{{range .config.Env}}{{if .}}[{{.}}]{{end}}{{end}}{{end}}', '[A=1][B=2]'],
  ['a {{- .size -}} b', 'a42b'],
  ['{{.size}} }} {', '42 }} {'],
])('%s', (format, says) => expect(fillTemplate(format, VALUE)).toBe(says))

test.each([
  '{{.Nmae}}',
  '{{.id.below}}',
  '{{}}',
  '{{end}}',
  '{{else}}',
  '{{range .tags}}',
  '{{range .tags}}{{else}}',
  '{{.id .size}}',
  '{{template "x"}}',
  '{{.id | printf}}',
  '{{index .tags "\\x"}}',
])('%s is an error with advice', (format) => {
  const error = (() => {
    try {
      return fillTemplate(format, VALUE)
    } catch (failure) {
      return failure
    }
  })()
  expect(error).toBeInstanceOf(CaissonError)
  expect((error as CaissonError).hint).not.toBe('')
})

test('names of objects that every object has are none', () => {
  for (const format of ['{{.constructor}}', '{{.__proto__}}', '{{.toString}}', '{{constructor .id}}'])
    expect(() => fillTemplate(format, VALUE)).toThrow(CaissonError)
  expect(fillTemplate('{{index .config.Labels "constructor"}}', VALUE)).toBe('')
})

test('whatever is written, it ends, and fails with an error of ours alone', () => {
  const pieces = ['{{', '}}', 'range', 'end', 'if', 'else', '.', '.id', '"', '`', '$', 'json', 'index', ' ', '-', '\\']
  let seed = 7
  for (let round = 0; round < 3000; round++) {
    let text = ''
    for (let i = 0; i < 14; i++) {
      seed = (seed * 1103515245 + 12345) % 2147483648
      text += pieces[(seed >> 8) % pieces.length]
    }
    try {
      expect(typeof fillTemplate(text, VALUE)).toBe('string')
    } catch (error) {
      expect([text, error]).toEqual([text, expect.any(CaissonError)])
    }
  }
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseFlags } from '../../../lib/cli/flags.js'
import { RUN_FLAGS, runOptions } from '../../../lib/cli/run-flags.js'
import { parseEnvFile } from '../../../lib/cli/values.js'

const parse = (...args: string[]) => ({ options: runOptions(parseFlags(RUN_FLAGS, args).flags) })

const refused = expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT', stage: expect.any(String) })

describe('environment files', () => {
  test('hold a variable a line, unquoted, with comments', () => {
    const text = '\uFEFF# comment\nA=1\n\n  B="two words" \r\nHERE\nGONE\nvalueOf\nC=#x\n'
    expect(parseEnvFile(text, { HERE: 'value' })).toEqual([
      ['A', '1'],
      ['B', '"two words" '],
      ['HERE', 'value'],
      ['C', '#x'],
    ])
  })

  test('are UTF-8', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
    try {
      const file = path.join(directory, 'env')
      writeFileSync(file, Buffer.from('A=\xff\n', 'latin1'))
      expect(() => parse('--env-file', file)).toThrow(refused)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test.each(['=x', 'A B=x', 'A =x'])('do not hold %j', (line) => {
    expect(() => parseEnvFile(line)).toThrow(refused)
  })

  test('come before --env, whatever the order', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
    try {
      const file = path.join(directory, 'env')
      writeFileSync(file, 'A=file\nB=file\n')
      expect(parse('-e', 'A=flag', '--env-file', file).options).toEqual({ env: { A: 'flag', B: 'file' } })
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

test('labels of files come before the others', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
  try {
    const file = path.join(directory, 'labels')
    writeFileSync(file, '# comment\na=file\n\nb\n')
    expect(parse('-l', 'a=flag', '--label-file', file).options).toEqual({ labels: { a: 'flag', b: '' } })
  } finally {
    rmSync(directory, { recursive: true })
  }
})

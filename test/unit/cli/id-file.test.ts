import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { IdFile } from '../../../lib/cli/id-file.js'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

test('holds the id, and is nobody else’s', () => {
  const file = path.join(directory, 'id')
  const ids = new IdFile(file)
  expect(() => new IdFile(file)).toThrow(`--cidfile: ${file} is there already`)
  ids.write('a')
  ids.write('b')
  ids.close()
  expect(readFileSync(file, 'utf8')).toBe('a')
  expect(() => new IdFile(file)).toThrow('--cidfile')
})

test('is gone when nothing was started', () => {
  const file = path.join(directory, 'id')
  new IdFile(file).close()
  expect(existsSync(file)).toBe(false)
  expect(() => new IdFile(path.join(directory, 'none/id'))).toThrow('--cidfile: ENOENT')
})

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { KeptCode } from '../../../lib/cli/kept-code.js'

describe('code that V8 compiled', () => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'caisson-code-'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  const code = Buffer.from('compiled')
  const keep = (command = 'run') => new KeptCode(root, command, 'program 1').write(() => code)
  const read = (command = 'run', identity = 'program 1') => new KeptCode(root, command, identity).read()

  test('is there again for the same program and command, and for no other', () => {
    expect(read()).toBeUndefined()
    keep()
    expect(read()).toEqual(code)
    expect(read('build')).toBeUndefined()
    expect(read('run', 'program 2')).toBeUndefined()
    expect(readdirSync(path.join(root, '.cache/code'))).toEqual(['run'])
  })

  test('is not taken when any byte of it is another', () => {
    keep()
    const file = path.join(root, '.cache/code/run')
    const content = readFileSync(file)
    for (let at = 0; at < content.length; at++) {
      const damaged = Buffer.from(content)
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
      writeFileSync(file, damaged)
      expect([at, read()]).toEqual([at, undefined])
    }
    for (let size = 0; size < content.length; size++) {
      writeFileSync(file, content.subarray(0, size))
      expect([size, read()]).toEqual([size, undefined])
    }
  })

  test('is kept under names of commands alone', () => {
    for (const name of ['../../evil', '/tmp/evil', '.', '', 'a b', 'a'.repeat(17)]) keep(name)
    expect(existsSync(path.join(root, '.cache'))).toBe(false)
  })

  test('costs nothing but time where it cannot be kept', () => {
    writeFileSync(path.join(root, '.cache'), '')
    expect(() => keep()).not.toThrow()
    rmSync(path.join(root, '.cache'))
    mkdirSync(path.join(root, '.cache/code/run'), { recursive: true })
    expect(() => keep()).not.toThrow()
    expect(readdirSync(path.join(root, '.cache/code'))).toEqual(['run'])
    expect(read()).toBeUndefined()
  })
})

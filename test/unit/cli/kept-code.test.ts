import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
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

  test('is taken from no other place, wherever the name of the command leads', () => {
    keep()
    // Whoever knows the program can make such a file; it would be run.
    renameSync(path.join(root, '.cache/code/run'), path.join(root, 'evil'))
    expect(read('../../evil')).toBeUndefined()
    expect(read(`../../../${path.basename(root)}/evil`)).toBeUndefined()
  })

  test('can be changed by nobody else, whatever the umask is', () => {
    const before = process.umask(0)
    try {
      keep()
    } finally {
      process.umask(before)
    }
    const modes = ['.cache', '.cache/code', '.cache/code/run'].map((name) => statSync(path.join(root, name)).mode)
    expect(modes.map((mode) => mode & 0o022)).toEqual([0, 0, 0])
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

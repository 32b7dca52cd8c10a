/** The built package where every user may read it: the project may lie in somebody's private directory. */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const root = path.resolve(__dirname, '../..')
let made: string | undefined

/** Path of its dist/index.js; removed after the tests of the file. */
export function packageForEveryone(): string {
  if (!made) {
    made = mkdtempSync(path.join(tmpdir(), 'caisson-everyone-'))
    chmodSync(made, 0o755)
    const addon = 'addon/build/Release'
    mkdirSync(path.join(made, addon), { recursive: true })
    for (const part of ['dist', 'package.json', `${addon}/caisson.node`])
      cpSync(path.join(root, part), path.join(made, part), { recursive: true })
  }
  return path.join(made, 'dist/index.js')
}

afterAll(() => {
  if (made) rmSync(made, { recursive: true, force: true })
  made = undefined
})

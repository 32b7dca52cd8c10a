/** The built package where every user may read it: the project may lie in somebody's private directory. */
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
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
    for (const name of dependencies(root, new Set()))
      cpSync(path.join(root, 'node_modules', name), path.join(made, 'node_modules', name), { recursive: true })
  }
  return path.join(made, 'dist/index.js')
}

/** What a package needs at run time, and what that needs. */
function dependencies(directory: string, found: Set<string>): Set<string> {
  const needed = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')).dependencies ?? {}
  for (const name of Object.keys(needed)) {
    const at = path.join(root, 'node_modules', name)
    if (found.has(name) || !existsSync(at)) continue
    found.add(name)
    dependencies(at, found)
  }
  return found
}

afterAll(() => {
  if (made) rmSync(made, { recursive: true, force: true })
  made = undefined
})

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

/** From the top down: a file imports from its own level and from those below it. Types may come from anywhere. */
const LEVELS: Array<[name: string, pattern: RegExp]> = [
  ['cli', /^cli\//],
  ['index', /^index\.ts$/],
  ['engine', /^engine\//],
  ['build, project', /^(build|project)\//],
  ['what users import', /^[a-z]+\.ts$/],
  ['doctor', /^doctor\//],
  ['runtime', /^runtime\//],
  ['snapshot, network, volume, cgroup, image', /^(snapshot|network|volume|cgroup|image)\//],
  ['registry', /^registry\//],
  ['store', /^store\//],
  ['layer', /^layer\//],
  ['native', /^native\//],
  ['seccomp', /^seccomp\//],
  ['compose', /^compose\//],
  ['spec, reference', /^(spec|reference)\//],
  ['util', /^util\//],
  ['errors', /^errors\.ts$/],
]

const lib = path.resolve(__dirname, '../../lib')
const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
const levelOf = (file: string) => {
  // errors.ts lies beside what users import, and below everything.
  if (file === 'errors.ts') return LEVELS.length - 1
  return LEVELS.findIndex(([, pattern]) => pattern.test(file))
}
const imports = (file: string) =>
  [...readFileSync(path.join(lib, file), 'utf8').matchAll(/^(?:import|export) (type )?[^;]*?from '([^']+)'/gm)].map(
    ([, type, from]) => ({ type: type !== undefined, from: from as string }),
  )

test.each(files)('%s is on a level, and imports nothing from above it', (file) => {
  const level = levelOf(file)
  expect(level).toBeGreaterThanOrEqual(0)
  for (const { type, from } of imports(file)) {
    if (type || !from.startsWith('.')) continue
    const target = path.join(path.dirname(file), from).replace(/\.js$/, '.ts')
    expect([target, levelOf(target) >= level]).toEqual([target, true])
  }
})

test('only native/ loads the addon, and pure folders touch no files', () => {
  for (const file of files) {
    const text = readFileSync(path.join(lib, file), 'utf8')
    // The command line's starter requires the command line.
    if (!file.startsWith('native/') && file !== 'cli/start.ts')
      expect([file, /createRequire|\.node'/.test(text)]).toEqual([file, false])
    if (/^(spec|reference|seccomp|compose|build\/dockerfile)\//.test(file))
      expect([file, /from '(node:fs|.*native\/)/.test(text)]).toEqual([file, false])
  }
})

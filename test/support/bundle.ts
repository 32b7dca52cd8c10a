/** Programs of tests that use parts of lib/ which the package does not export, in processes of their own. */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { buildSync } from 'esbuild'

const root = path.resolve(import.meta.dirname, '../..')

/** Bundles test/support/NAME.ts; gives the path of the script, which lies inside the project to find its addon. */
export function bundleProgram(name: string): string {
  const directory = path.join(root, '.cache', 'programs')
  mkdirSync(directory, { recursive: true })
  const outfile = path.join(directory, `${name}-${process.pid}.mjs`)
  buildSync({
    entryPoints: [path.join(root, 'test/support', `${name}.ts`)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  })
  return outfile
}

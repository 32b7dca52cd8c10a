/** Programs of tests that use parts of lib/ which the package does not export, in processes of their own. */
import { symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { buildSync } from 'esbuild'
import { scratch } from './tree.js'

const root = path.resolve(import.meta.dirname, '../..')

/** Bundles test/support/NAME.ts; gives the path of the script, which removeScratch() removes. */
export function bundleProgram(name: string): string {
  const directory = scratch()
  // By these it takes itself for a part of this project, and finds the addon.
  for (const link of ['addon', 'node_modules']) symlinkSync(path.join(root, link), path.join(directory, link))
  writeFileSync(path.join(directory, 'package.json'), '{"type":"module"}')
  const outfile = path.join(directory, `${name}.js`)
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

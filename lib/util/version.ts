/** The version of this package. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** From the package.json above this file, which lies in lib/util or bundled in dist. */
export function version(): string {
  let directory = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(directory, 'package.json')) && directory !== path.dirname(directory))
    directory = path.dirname(directory)
  return JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')).version
}

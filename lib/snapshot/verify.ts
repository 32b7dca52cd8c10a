/** Whether unpacked layers are what they were when they were put into place. */
import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { isMissing } from '../store/files.js'
import type { StoreProblem } from '../store/verify.js'
import { LAYER_NAME, parseFacts } from './snapshots.js'

/** Those of every form. The files in them are not read: an ordinary user may not, and a digest of them there is none. */
export async function verifySnapshots(store: string): Promise<StoreProblem[]> {
  const top = path.join(store, 'snapshots')
  const problems: StoreProblem[] = []
  for (const form of await list(top))
    for (const name of await list(path.join(top, form))) {
      const [, algorithm, encoded] = LAYER_NAME.exec(name) ?? []
      if (!algorithm) continue
      const wrong = await problemOf(path.join(top, form, name))
      if (wrong)
        problems.push({
          kind: 'snapshot',
          digest: `${algorithm}:${encoded}`,
          images: [],
          message: `the unpacked layer ${path.join(top, form, name)} ${wrong}; remove the directory, and it is unpacked again`,
        })
    }
  return problems
}

async function problemOf(at: string): Promise<string | undefined> {
  try {
    if (!parseFacts(await readFile(path.join(at, 'layer.json'), 'utf8'))) return 'has a layer.json that is none'
    if (!(await stat(path.join(at, 'fs'))).isDirectory()) return 'has no directory fs'
    return undefined
  } catch (error) {
    if (!isMissing(error)) throw error
    // It may have been collected a moment ago.
    return (await stat(at).catch(() => undefined)) ? 'is not whole' : undefined
  }
}

async function list(directory: string): Promise<string[]> {
  return readdir(directory).catch((error) => {
    if (isMissing(error)) return []
    throw error
  })
}

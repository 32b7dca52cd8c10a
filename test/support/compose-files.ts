/** Compose files of a test, in a directory of its own that goes with it, and the projects that they come to. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { CaissonError } from '../../lib/errors.js'
import { type Loaded, loadProject } from '../../lib/project/load.js'

type Variables = Record<string, string>

export class ComposeFiles {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'caisson-compose-'))

  put(files: Record<string, string>): void {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(this.directory, name)), { recursive: true })
      writeFileSync(path.join(this.directory, name), text)
    }
  }

  /** A text is `compose.yaml`; an object is no file. */
  async load(text: string | object, env: Variables = {}): Promise<Loaded> {
    if (typeof text === 'object') return loadProject(text, { env, projectName: 'p' })
    this.put({ 'compose.yaml': text })
    return loadProject(this.directory, { env, projectName: 'p' })
  }

  /** What load() throws. */
  async error(text: string | object, env: Variables = {}): Promise<CaissonError> {
    try {
      await this.load(text, env)
    } catch (error) {
      return error as CaissonError
    }
    throw new Error(`nothing is wrong with ${text}`)
  }

  remove(): void {
    rmSync(this.directory, { recursive: true })
  }
}

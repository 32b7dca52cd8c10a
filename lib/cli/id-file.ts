/** The file of --cidfile: made before anything starts, so that nobody else has it, and gone again when nothing did. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { usageError } from './usage.js'

export class IdFile {
  readonly #path: string
  readonly #fd: number
  #written = false

  constructor(path: string) {
    this.#path = path
    try {
      this.#fd = openSync(path, 'wx', 0o644)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code !== 'EEXIST') throw usageError(`--cidfile: ${message}`, 'Give a file that can be made.')
      throw usageError(`--cidfile: ${path} is there already`, 'Remove it if its container has ended, or give another.')
    }
  }

  /** The first one counts. */
  write(id: string): void {
    if (this.#written) return
    this.#written = true
    writeSync(this.#fd, id)
  }

  close(): void {
    closeSync(this.#fd)
    if (!this.#written) rmSync(this.#path, { force: true })
  }
}

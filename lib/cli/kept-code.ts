/**
 * What V8 compiled of the command line, kept in `.cache/code` of the package. It is run like the program itself, so it lies
 * where only those may write who may also write the program, and is nobody's but the owner's of the package. Losing it
 * costs time alone.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** Bytes of the digest that a file begins with. */
const DIGEST = 32
/** Nobody else may write there, whatever the umask is. */
const [DIRECTORY_MODE, FILE_MODE] = [0o755, 0o644]

export class KeptCode {
  readonly #root: string
  readonly #command: string
  readonly #identity: string

  /**
   * @param root the directory of the package.
   * @param identity of the script, and of what compiles it.
   */
  constructor(root: string, command: string, identity: string) {
    this.#root = root
    this.#command = command
    this.#identity = identity
  }

  /** undefined: there is none for this program and this Node.js, or it is damaged. */
  read(): Buffer | undefined {
    if (!this.#isCommand) return undefined
    try {
      const content = readFileSync(this.#file)
      const code = content.subarray(DIGEST)
      return this.#digest(code).equals(content.subarray(0, DIGEST)) ? code : undefined
    } catch {
      return undefined
    }
  }

  /** As `sudo` should leave no files of root's among a user's, only the owner of the package keeps any. */
  write(make: () => Uint8Array): void {
    if (!this.#isCommand) return
    const beside = `${this.#file}-${process.pid}`
    try {
      if (statSync(this.#root).uid !== process.getuid?.()) return
      const code = make()
      mkdirSync(path.dirname(beside), { recursive: true, mode: DIRECTORY_MODE })
      writeFileSync(beside, Buffer.concat([this.#digest(code), code]), { flag: 'wx', mode: FILE_MODE })
      renameSync(beside, this.#file)
    } catch {
      // A package that cannot be written, or a disk that is full.
      try {
        rmSync(beside, { force: true })
      } catch {
        // Nothing can be removed there either.
      }
    }
  }

  /** Anything else could lead to a file of somebody else's. */
  get #isCommand(): boolean {
    return /^[a-z]{1,16}$/.test(this.#command)
  }

  get #file(): string {
    return path.join(this.#root, '.cache/code', this.#command)
  }

  #digest(code: Uint8Array): Buffer {
    return createHash('sha256').update(`${this.#identity}\n`).update(code).digest()
  }
}

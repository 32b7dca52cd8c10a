/** Blobs: content by its digest. */
import { createHash } from 'node:crypto'
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import { isDigest, parseDigest } from '../spec/digest.js'
import { damaged, digestError, storeError } from './failure.js'
import { isMissing } from './files.js'
import type { Layout } from './layout.js'

export interface BlobStat {
  /** Bytes. */
  size: number
  modified: Date
}

export class Blobs {
  readonly #layout: Layout

  constructor(layout: Layout) {
    this.#layout = layout
  }

  /** undefined: the store does not have it. */
  async stat(digest: string): Promise<BlobStat | undefined> {
    try {
      const status = await stat(this.#layout.blob(digest))
      return status.isFile() ? { size: status.size, modified: status.mtime } : undefined
    } catch (error) {
      if (isMissing(error)) return undefined
      throw storeError(error, `${digest} cannot be looked at`)
    }
  }

  path(digest: string): string {
    return this.#layout.blob(digest)
  }

  async has(digest: string): Promise<boolean> {
    return (await this.stat(digest)) !== undefined
  }

  /** For reading; the caller closes it. What is read is not verified: who unpacks it does that. */
  async open(digest: string): Promise<FileHandle> {
    try {
      return await open(this.#layout.blob(digest), 'r')
    } catch (error) {
      if (isMissing(error)) throw absent(digest)
      throw storeError(error, `${digest} cannot be opened`)
    }
  }

  /** All of a small one, verified. */
  async read(digest: string, maxBytes: number): Promise<Buffer> {
    const { algorithm, encoded } = parseDigest(digest)
    const handle = await this.open(digest)
    try {
      const { size } = await handle.stat()
      if (size > maxBytes)
        throw new CaissonError(
          'ERR_CAISSON_MANIFEST',
          `${digest}: ${size} bytes are more than the ${maxBytes} allowed`,
          {
            stage: 'store',
            hint: 'No document of an image is that large: do not use this image.',
          },
        )
      const bytes = await handle.readFile()
      const actual = createHash(algorithm).update(bytes).digest('hex')
      if (actual !== encoded)
        throw digestError(
          digest,
          `the store holds ${algorithm}:${actual} in its place: the disk, or somebody, changed it`,
        )
      return bytes
    } catch (error) {
      throw storeError(error, `${digest} cannot be read`)
    } finally {
      await handle.close()
    }
  }

  /** Every file that has the name of a blob. */
  async list(): Promise<string[]> {
    const found: string[] = []
    const top = path.join(this.#layout.directory, 'blobs')
    for (const algorithm of await readdir(top))
      for (const encoded of await readdir(path.join(top, algorithm)).catch(() => [])) {
        const digest = `${algorithm}:${encoded}`
        if (isDigest(digest)) found.push(digest)
      }
    return found
  }
}

function absent(digest: string): CaissonError {
  return damaged(`${digest} is not there`, 'Pull the image again: a part of it was never fetched, or was removed.')
}

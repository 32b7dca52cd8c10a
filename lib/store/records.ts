/**
 * What builds remember: a small document by key, and the content that it is about, which stays for as long as the record
 * does. Nobody but us writes them; one that cannot be read is as good as none.
 */
import { readdir, readFile, rm, stat, utimes } from 'node:fs/promises'
import path from 'node:path'
import { isDigest, parseDigest } from '../spec/digest.js'
import { storeError } from './failure.js'
import { isMissing, writeWhole } from './files.js'
import type { Layout } from './layout.js'
import { withLock } from './lock.js'

/** What a record keeps from being collected. */
export interface Kept {
  digests: readonly string[]
  /** Unpacked layers: diff ids and chain ids. */
  snapshots: readonly string[]
}

export interface StoredRecord {
  key: string
  /** When it was last used. */
  used: Date
  value: unknown
}

export class Records {
  readonly #layout: Layout

  constructor(layout: Layout) {
    this.#layout = layout
  }

  /** What was put under a key; undefined: nothing. */
  async get(key: string): Promise<unknown> {
    try {
      const { value } = JSON.parse(await readFile(fileOf(this.#layout, key), 'utf8')) as { value: unknown }
      return value
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError) return undefined
      throw storeError(error, 'a record of a build cannot be read')
    }
  }

  /** It counts as used now. */
  async touch(key: string): Promise<void> {
    const now = new Date()
    try {
      await utimes(fileOf(this.#layout, key), now, now)
    } catch (error) {
      if (!isMissing(error)) throw storeError(error, 'a record of a build cannot be touched')
    }
  }

  /** What it keeps must be leased, or kept by something else. */
  async put(key: string, value: unknown, keeps: Kept): Promise<void> {
    const text = `${JSON.stringify({ keeps, value })}\n`
    try {
      await withLock(this.#layout.collectLock, false, () =>
        writeWhole(fileOf(this.#layout, key), text, this.#layout.ingest),
      )
    } catch (error) {
      throw storeError(error, 'a record of a build cannot be written')
    }
  }

  /** The least recently used first. */
  async list(): Promise<StoredRecord[]> {
    const found: StoredRecord[] = []
    for (const name of await readdir(this.#layout.records)) {
      const file = path.join(this.#layout.records, name)
      try {
        const { value } = JSON.parse(await readFile(file, 'utf8')) as { value: unknown }
        found.push({ key: name.replace('-', ':'), used: (await stat(file)).mtime, value })
      } catch (error) {
        if (!isMissing(error) && !(error instanceof SyntaxError)) throw error
      }
    }
    return found.sort((a, b) => a.used.getTime() - b.used.getTime())
  }

  /** What it kept is removed by the next collection. */
  async remove(key: string): Promise<void> {
    await rm(fileOf(this.#layout, key), { force: true })
  }
}

function fileOf(layout: Layout, key: string): string {
  const { algorithm, encoded } = parseDigest(key)
  return path.join(layout.records, `${algorithm}-${encoded}`)
}

/** Of all records. To be called by whoever holds the collect lock. */
export async function kept(layout: Layout): Promise<Kept[]> {
  const found: Kept[] = []
  for (const name of await readdir(layout.records)) {
    try {
      const { keeps } = JSON.parse(await readFile(path.join(layout.records, name), 'utf8')) as { keeps: Kept }
      found.push({ digests: keeps.digests.filter(isDigest), snapshots: keeps.snapshots })
    } catch (error) {
      if (!isMissing(error) && !(error instanceof SyntaxError)) throw error
    }
  }
  return found
}

/** Books of digests: what files of a context came to in builds before, a file for each directory (core/inventory/digests.h). */
import { createHash } from 'node:crypto'
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises'
import path from 'node:path'
import { isMissing } from '../store/files.js'

const directoryIn = (data: string) => path.join(data, 'build-digests')

/** The book for a directory of the host, which counts as used now. There need not be one yet. */
export async function bookOf(data: string, root: string): Promise<string> {
  const directory = directoryIn(data)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const file = path.join(directory, createHash('sha256').update(root).digest('hex'))
  const now = new Date()
  await utimes(file, now, now).catch((error) => {
    if (!isMissing(error)) throw error
  })
  return file
}

/** Losing one costs time alone. */
export interface Book {
  file: string
  bytes: number
  used: Date
  remove(): Promise<void>
}

/** All of them, and what of them was left half written. */
export async function listBooks(data: string): Promise<Book[]> {
  const directory = directoryIn(data)
  const books: Book[] = []
  const names = await readdir(directory).catch((error) => {
    if (isMissing(error)) return []
    throw error
  })
  for (const name of names) {
    const file = path.join(directory, name)
    const status = await stat(file).catch(() => undefined)
    if (status) books.push({ file, bytes: status.size, used: status.mtime, remove: () => rm(file, { force: true }) })
  }
  return books
}

/** Books of digests: what files of a context came to in builds before, a file for each directory (core/inventory/digests.h). */
import { createHash } from 'node:crypto'
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises'
import path from 'node:path'
import { isMissing } from '../store/files.js'

const directoryIn = (data: string) => path.join(data, 'build-digests')

/** The book for a directory of the host; there need not be one yet. */
export function bookOf(data: string, root: string): string {
  return path.join(directoryIn(data), createHash('sha256').update(root).digest('hex'))
}

/** It counts as used now, and can be written. */
export async function openBook(book: string): Promise<void> {
  const now = new Date()
  try {
    await utimes(book, now, now)
  } catch (error) {
    if (!isMissing(error)) throw error
    await mkdir(path.dirname(book), { recursive: true, mode: 0o700 })
  }
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

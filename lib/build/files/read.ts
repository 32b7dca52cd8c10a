/** Reads contents, wherever they are. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import type { Entry } from './entry.js'
import { FaultAt, setFault } from './fault.js'

type Source = Pick<Entry, 'path' | 'size' | 'content'>

const CHUNK = 256 * 1024

class Contents {
  readonly #buffer = Buffer.allocUnsafe(CHUNK)
  readonly #parts = new Map<string, number>()

  /** Gives the bytes of a file piece by piece; each piece is valid until the next. `most`: no more than these. */
  read({ path, size, content }: Source, take: (chunk: Buffer) => void, most = size): void {
    if (!content || content.kind === 'text') {
      take(Buffer.from(content?.text ?? '').subarray(0, most))
      return
    }
    this.#copy(path, this.#part(content.file), content.offset, Math.min(size, most), take)
  }

  #copy(path: string, fd: number, from: number, size: number, take: (chunk: Buffer) => void): void {
    for (let done = 0; done < size; ) {
      const got = setFault(path, () => readSync(fd, this.#buffer, 0, Math.min(CHUNK, size - done), from + done))
      if (got === 0) throw new FaultAt({ message: `${path} became shorter during the build`, path })
      take(this.#buffer.subarray(0, got))
      done += got
    }
  }

  #part(file: string): number {
    let fd = this.#parts.get(file)
    if (fd === undefined) {
      fd = openSync(file, 'r')
      this.#parts.set(file, fd)
    }
    return fd
  }

  close(): void {
    for (const fd of this.#parts.values()) closeSync(fd)
  }
}

/** Runs work with a reader of contents. */
export function withContents<T>(work: (contents: Contents) => T): T {
  const contents = new Contents()
  try {
    return work(contents)
  } finally {
    contents.close()
  }
}

export function digestsOf(files: readonly Source[]): string[] {
  return withContents((contents) =>
    files.map((file) => {
      const hash = createHash('sha256')
      contents.read(file, (chunk) => hash.update(chunk))
      return `sha256:${hash.digest('hex')}`
    }),
  )
}

export function beginningsOf(files: readonly Source[], bytes: number): string[] {
  return withContents((contents) =>
    files.map((file) => {
      let text = ''
      contents.read(
        file,
        (chunk) => {
          text += chunk.toString('latin1')
        },
        bytes,
      )
      return text
    }),
  )
}

export function copyTo(file: Source, fd: number): null {
  return withContents((contents) => {
    contents.read(file, (chunk) => {
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at)
    })
    return null
  })
}

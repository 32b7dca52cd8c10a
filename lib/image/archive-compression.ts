/** How an archive of images is compressed: its first bytes tell. */
import { archiveError } from './archive-reader.js'

/** zstd: RFC 8878, 3.1.1. The others are told from each other so that the error says what it is. */
const MAGIC: ReadonlyArray<[compression: string, bytes: readonly number[]]> = [
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
]
const PEEKED = 6

/** The same bytes again, and `zstd` or undefined: plain or gzip. Throws ERR_CAISSON_IMAGE_ARCHIVE for what nobody here reads. */
export async function peeked(
  source: AsyncIterable<Uint8Array>,
): Promise<{ compression?: 'zstd'; chunks: AsyncIterable<Uint8Array> }> {
  const rest = source[Symbol.asyncIterator]()
  let first = Buffer.alloc(0)
  while (first.length < PEEKED) {
    const { done, value } = await rest.next()
    if (done) break
    first = Buffer.concat([first, Buffer.from(value.buffer, value.byteOffset, value.length)])
  }
  if (first.length === 0) throw archiveError('there is nothing in it')
  const [compression] = MAGIC.find(([, bytes]) => bytes.every((byte, at) => first[at] === byte)) ?? []
  if (compression !== undefined && compression !== 'zstd') {
    await rest.return?.()
    throw archiveError(`it is compressed with ${compression}`, `Decompress it first; plain, gzip and zstd are read.`)
  }
  return { ...(compression ? { compression } : {}), chunks: again(first, rest) }
}

async function* again(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield first
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}

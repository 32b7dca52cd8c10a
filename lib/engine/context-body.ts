/**
 * The body of a build as an archive. Docker's own client leaves the last block of the last file unfilled when it adds a
 * Dockerfile to a context (`-f` beside it, or from the standard input), which is no end of an archive.
 */
import type { Readable } from 'node:stream'

const BLOCK = 512
/** Bytes at the end in which the header of the last file is looked for. */
const KEPT = 128 * 1024

/** Whoever stops reading has the connection still, for the answer. */
export async function* contextBody(body: Readable): AsyncGenerator<Buffer> {
  let size = 0
  let kept = 0
  const last: Buffer[] = []
  for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    kept += chunk.length
    last.push(chunk)
    for (let first = last[0]; first && kept - first.length >= KEPT; first = last[0]) {
      kept -= first.length
      last.shift()
    }
    yield chunk
  }
  const over = size % BLOCK
  if (over > 0 && isWhole(Buffer.concat(last), over)) yield Buffer.alloc(BLOCK - over)
}

/** There is a header that has as many bytes behind it as it says: nothing of the file is missing. */
function isWhole(end: Buffer, over: number): boolean {
  for (let at = end.length - over - BLOCK; at >= 0; at -= BLOCK) {
    if (end.toString('latin1', at + 257, at + 262) !== 'ustar') continue
    const size = /^[0-7]+/.exec(end.toString('latin1', at + 124, at + 136))?.[0]
    if (size !== undefined && Number.parseInt(size, 8) === end.length - at - BLOCK) return true
  }
  return false
}

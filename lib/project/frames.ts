/** Pieces of several kinds over one connection: a byte says which, four how many bytes follow (big-endian), then these. */
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'

export const KIND = { stdin: 0, resize: 1, signal: 2, stdout: 3, stderr: 4, ended: 5, failed: 6 } as const
type Kind = (typeof KIND)[keyof typeof KIND]

const HEAD = 5
/** Bytes of a piece; longer ones are sent in parts. */
const LARGEST = 64 * 1024

interface Frame {
  kind: number
  data: Buffer
}

/** Resolves when more can be taken, or nobody takes anything any more. A piece without bytes is one, too. */
export async function sendFrame(socket: Socket, kind: Kind, data: string | Uint8Array): Promise<void> {
  const bytes = Buffer.from(data)
  let at = 0
  do {
    const part = bytes.subarray(at, at + LARGEST)
    const head = Buffer.alloc(HEAD)
    head.writeUInt8(kind)
    head.writeUInt32BE(part.length, 1)
    if (socket.destroyed) return
    if (!socket.write(Buffer.concat([head, part]))) await taken(socket)
    at += LARGEST
  } while (at < bytes.length)
}

/** Resolves when it takes more, or nothing any more. */
export function taken(to: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (to.destroyed || !to.writableNeedDrain) return resolve()
    const leave = () => {
      to.off('drain', leave).off('close', leave).off('error', leave)
      resolve()
    }
    to.on('drain', leave).on('close', leave).on('error', leave)
  })
}

/** Ends with the connection. Throws when what comes is none of these. */
export async function* framesOf(socket: Socket): AsyncGenerator<Frame, void, undefined> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    while (rest.length >= HEAD) {
      const length = rest.readUInt32BE(1)
      if (length > LARGEST) throw new Error('a piece is too long')
      if (rest.length < HEAD + length) break
      yield { kind: rest[0] as number, data: rest.subarray(HEAD, HEAD + length) }
      rest = rest.subarray(HEAD + length)
    }
  }
}

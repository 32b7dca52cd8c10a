/**
 * Connections that clients ask for (`Upgrade: tcp`), to be the streams of a program. Node hands such a connection over
 * with what came behind the headers: the body, when there is one, and then what is for the program.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type Duplex, PassThrough, type Readable } from 'node:stream'
import { BODY_MAX } from './body.js'
import { ApiError, badRequest } from './failure.js'

export interface Upgraded {
  socket: Duplex
  /** What comes behind the body. */
  input: Readable
  body(): Promise<Buffer>
}

/** A response on a connection that Node has given away; with its end the connection ends. */
export function responseOn(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket as Socket)
  response.once('finish', () => {
    response.detachSocket(socket as Socket)
    // What else it sends is not wanted, but its end is behind that.
    socket.unpipe()
    socket.resume()
    socket.end()
  })
  return response
}

export function upgradedOf(request: IncomingMessage, socket: Duplex, head: Buffer): Upgraded {
  const input = new PassThrough()
  socket.on('error', () => input.destroy())
  noticeGone(socket as Socket)
  const { 'content-length': declared, 'transfer-encoding': encoding } = request.headers
  let reading: Promise<Buffer> | undefined
  const body = () => {
    reading ??= readBody(socket, head, declared, encoding).then(({ bytes, rest }) => {
      if (rest.length > 0) input.write(rest)
      socket.pipe(input)
      return bytes
    })
    return reading
  }
  return { socket, input, body }
}

/** Milliseconds between looks whether a client that writes no more still reads. */
const LOOK = 1000
/** The same for TCP, where its kernel is asked. */
const LOOK_FAR = 30_000

/**
 * A client that has gone looks like one that only writes no more, until something is written to it, and a quiet program
 * may never print. On a socket of this machine to write nothing is enough.
 */
function noticeGone(socket: Socket): void {
  if (socket.remoteAddress !== undefined) {
    socket.setKeepAlive(true, LOOK_FAR)
    return
  }
  socket.once('end', () => {
    const timer = setInterval(() => {
      if (socket.writable && socket.writableLength === 0) socket.write('')
    }, LOOK)
    timer.unref()
    socket.once('close', () => clearInterval(timer))
  })
}

async function readBody(
  socket: Duplex,
  head: Buffer,
  declared: string | undefined,
  encoding: string | undefined,
): Promise<{ bytes: Buffer; rest: Buffer }> {
  // Where such a body ends only its parser could tell, and Node's has let go of the connection.
  if (encoding !== undefined) throw badRequest('a request for the connection needs a Content-Length')
  const wanted = Number(declared ?? 0)
  if (!Number.isSafeInteger(wanted) || wanted < 0) throw badRequest('the Content-Length is no length')
  if (wanted > BODY_MAX) throw new ApiError(413, `the body has more than ${BODY_MAX} bytes`)
  const chunks = [head]
  let size = head.length
  while (size < wanted) {
    const chunk = await nextChunk(socket)
    if (!chunk) throw badRequest('the body ends too early')
    chunks.push(chunk)
    size += chunk.length
  }
  const all = Buffer.concat(chunks)
  return { bytes: all.subarray(0, wanted), rest: all.subarray(wanted) }
}

function nextChunk(socket: Duplex): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const settle = (chunk?: Buffer) => {
      socket.pause()
      socket.off('data', settle).off('end', none).off('close', none)
      resolve(chunk)
    }
    const none = () => settle()
    socket.on('data', settle).once('end', none).once('close', none)
    socket.resume()
  })
}

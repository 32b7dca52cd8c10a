/** Files that others name: what is no file of a disk may have no end, or keep whoever reads it waiting for ever. */
import * as fs from 'node:fs'
import { Socket } from 'node:net'
import { promisify } from 'node:util'

/** Bytes of a text; more than any that is taken, whatever its characters. */
const TEXT_MOST = 16 * 1024 * 1024
const CHUNK = 64 * 1024
/** /dev/null, as which people name a file that says nothing. */
const NULL_DEVICE = 0x103
/** A pipe opens at once, whether somebody writes to it or not. */
const FLAGS = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY

// By number: a socket takes a descriptor over, and whoever opens a pipe twice may miss its end.
const open = promisify(fs.open)
const stat = promisify(fs.fstat)
const read = promisify(fs.read)
const close = promisify(fs.close)

/** Rejects as readFile() of node:fs/promises does, with EFBIG, and with EINVAL where it is no file. */
export const readText = async (file: string) => (await readAtMost(file, TEXT_MOST)).toString('utf8')

/** One that the caller names itself may also be a pipe, as `<(...)` of a shell is. */
export const readGivenText = async (file: string) => (await readAtMost(file, TEXT_MOST, true)).toString('utf8')

/** The same for bytes. */
export async function readAtMost(file: string, most: number, pipes = false): Promise<Buffer> {
  const fd = await open(file, FLAGS)
  let ours = true
  try {
    const status = await stat(fd)
    const isNull = status.isCharacterDevice() && status.rdev === NULL_DEVICE
    // A directory says itself that it is one.
    if (status.isFile() || status.isDirectory() || isNull) return await gather(chunksOf(fd), most)
    if (!pipes || !status.isFIFO()) throw failure('EINVAL', `${file} is no regular file`)
    // Waits on the event loop: libuv's few threads are not for what may take a while.
    const arriving = new Socket({ fd, readable: true, writable: false })
    ours = false
    return await gather(arriving, most)
  } finally {
    if (ours) await close(fd)
  }
}

async function* chunksOf(fd: number): AsyncGenerator<Buffer> {
  for (;;) {
    const { bytesRead, buffer } = await read(fd, Buffer.allocUnsafe(CHUNK), 0, CHUNK, null)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}

async function gather(source: AsyncIterable<Buffer>, most: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > most) throw failure('EFBIG', `it has more than ${most} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const failure = (code: string, message: string) => Object.assign(new Error(message), { code })

/** Of an error of these: there is something, and it is no text. */
export function isNoText(error: unknown): boolean {
  // A socket cannot be opened.
  return ['EFBIG', 'EINVAL', 'ENXIO'].includes((error as NodeJS.ErrnoException | undefined)?.code ?? '')
}

/** Files of text that others name: what is a device has no end. */
import { open } from 'node:fs/promises'

/** Bytes; more than any that is taken, whatever its characters. */
const MOST = 16 * 1024 * 1024
const CHUNK = 64 * 1024

/** Rejects as readFile() of node:fs/promises does, and with EFBIG. */
export async function readText(file: string): Promise<string> {
  const handle = await open(file)
  try {
    const chunks: Buffer[] = []
    for (let size = 0; ; ) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, null)
      if (bytesRead === 0) return Buffer.concat(chunks).toString('utf8')
      size += bytesRead
      if (size > MOST) throw Object.assign(new Error(`it has more than ${MOST} bytes`), { code: 'EFBIG' })
      chunks.push(buffer.subarray(0, bytesRead))
    }
  } finally {
    await handle.close()
  }
}

/** Of an error of it. */
export function isTooLong(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'EFBIG'
}

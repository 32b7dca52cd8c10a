/** Files that others name: what is a device has no end. */
import { open } from 'node:fs/promises'

/** Bytes of a text; more than any that is taken, whatever its characters. */
const TEXT_MOST = 16 * 1024 * 1024
const CHUNK = 64 * 1024

/** Rejects as readFile() of node:fs/promises does, and with EFBIG. */
export const readText = async (file: string) => (await readAtMost(file, TEXT_MOST)).toString('utf8')

/** The same for bytes. */
export async function readAtMost(file: string, most: number): Promise<Buffer> {
  const handle = await open(file)
  try {
    const chunks: Buffer[] = []
    for (let size = 0; ; ) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, null)
      if (bytesRead === 0) return Buffer.concat(chunks)
      size += bytesRead
      if (size > most) throw Object.assign(new Error(`it has more than ${most} bytes`), { code: 'EFBIG' })
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

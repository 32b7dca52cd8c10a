/** Downloads of ADD. */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CaissonError } from '../errors.js'
import type { Workspace } from './workspace.js'

export interface Downloaded {
  file: string
  size: number
  /** sha256. */
  digest: string
  /** Seconds since 1970; 0: the server did not say. */
  mtime: number
}

/** @param checksum `sha256:...`, or of another algorithm that Node has. */
export async function download(space: Workspace, url: string, checksum?: string): Promise<Downloaded> {
  const response = await fetch(url, { signal: space.signal }).catch((error: Error) => {
    const cause = error.cause instanceof Error ? error.cause : error
    throw failed(url, cause.message, cause)
  })
  if (!response.ok || !response.body) throw failed(url, `the server answered ${response.status} ${response.statusText}`)
  const file = await space.path()
  const hash = createHash('sha256')
  const wanted = checksum === undefined ? undefined : createHash(checksum.slice(0, checksum.indexOf(':')))
  let size = 0
  const count = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      size += chunk.length
      hash.update(chunk)
      wanted?.update(chunk)
      callback(null, chunk)
    },
  })
  const body = Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0])
  await pipeline(body, count, createWriteStream(file, { mode: 0o600 }), { signal: space.signal })
  const actual = wanted?.digest('hex')
  if (checksum !== undefined && actual !== checksum.slice(checksum.indexOf(':') + 1))
    throw new CaissonError('ERR_CAISSON_DIGEST', `${url}: what came is ${actual}, not ${checksum}`, {
      stage: 'copy',
      hint: 'The file at that address is another one now: look why, before the checksum is changed.',
    })
  const modified = Date.parse(response.headers.get('last-modified') ?? '')
  const mtime = Number.isNaN(modified) ? 0 : Math.floor(modified / 1000)
  return { file, size, digest: `sha256:${hash.digest('hex')}`, mtime }
}

function failed(url: string, why: string, cause?: Error): CaissonError {
  return new CaissonError('ERR_CAISSON_FILE', `${url}: ${why}`, {
    stage: 'copy',
    hint: 'Check the address, and whether this machine reaches it.',
    cause,
  })
}

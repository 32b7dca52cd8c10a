/**
 * Downloads: of ADD, and of contexts at an address. Nothing of the caller's is shown to a server, and none leads us to where
 * it could not go by itself.
 */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { CaissonError } from '../errors.js'
import { DEFAULT_LIMITS } from '../layer/options.js'
import { type AddressKind, outermost } from '../registry/address.js'
import { kindOf, locationOf, REDIRECTS } from '../registry/endpoint.js'
import { timeoutOptions } from '../registry/options.js'
import { proxyFor } from '../registry/proxy.js'
import { type HttpResponse, Transport } from '../registry/transport.js'
import { fileError } from './files/failure.js'
import type { Workspace } from './workspace.js'

export interface Downloaded {
  file: string
  size: number
  /** sha256. */
  digest: string
  /** Seconds since 1970; 0: the server did not say. */
  mtime: number
}

export interface DownloadOptions {
  /** `sha256:...`, or of another algorithm that Node has. */
  checksum?: string
  /** Whoever wrote a Dockerfile may be a stranger. */
  namedBy: 'caller' | 'dockerfile'
  /** Bytes. Default: as many as a layer may have. */
  most?: number
}

/** As Go's client has it. */
const REDIRECTS_MAX = 10

export async function download(
  space: Workspace,
  address: string,
  { checksum, namedBy, most = DEFAULT_LIMITS.bytes }: DownloadOptions,
): Promise<Downloaded> {
  const transport = new Transport(timeoutOptions({}))
  try {
    const response = await ask(transport, new URL(address), namedBy, space.signal)
    const { status, headers } = response
    if (status < 200 || status > 299) throw failed(address, `the server answered ${status}`)
    const file = await space.path()
    const hash = createHash('sha256')
    const wanted = checksum === undefined ? undefined : createHash(checksum.slice(0, checksum.indexOf(':')))
    let size = 0
    const counted = async function* () {
      if (Number(headers['content-length']) > most) throw tooLarge(address, most)
      for await (const chunk of response.body.chunks()) {
        size += chunk.length
        if (size > most) throw tooLarge(address, most)
        hash.update(chunk)
        wanted?.update(chunk)
        yield chunk
      }
    }
    await pipeline(counted, createWriteStream(file, { mode: 0o600 }), { signal: space.signal })
    const actual = wanted?.digest('hex')
    if (checksum !== undefined && actual !== checksum.slice(checksum.indexOf(':') + 1))
      throw new CaissonError('ERR_CAISSON_DIGEST', `${address}: what came is ${actual}, not ${checksum}`, {
        stage: 'copy',
        hint: 'The file at that address is another one now: look why, before the checksum is changed.',
      })
    const modified = Date.parse(headers['last-modified'] ?? '')
    const mtime = Number.isNaN(modified) ? 0 : Math.floor(modified / 1000)
    return { file, size, digest: `sha256:${hash.digest('hex')}`, mtime }
  } catch (error) {
    throw explained(address, error as NodeJS.ErrnoException)
  } finally {
    transport.close()
  }
}

/** The answer, wherever the server leads to; to no metadata service, whoever names that. */
async function ask(
  transport: Transport,
  first: URL,
  namedBy: DownloadOptions['namedBy'],
  signal: AbortSignal,
): Promise<HttpResponse> {
  let url = first
  // What a Dockerfile names may be near us: its author could have meant any server of the caller's.
  let from: AddressKind | undefined = namedBy === 'caller' ? undefined : 'loopback'
  for (let hops = 0; ; hops++) {
    const target = { url, verify: true, proxy: proxyFor(url, process.env), from }
    const response = await transport.send({ method: 'GET', target, signal })
    if (!REDIRECTS.has(response.status)) return response
    if (hops === REDIRECTS_MAX) throw failed(first.href, `it is redirected more than ${REDIRECTS_MAX} times`)
    url = locationOf(response)
    await response.body.discard()
    const kind = kindOf(target, response)
    from = from === undefined || hops === 0 ? kind : outermost(from, kind)
  }
}

function explained(address: string, error: NodeJS.ErrnoException): Error {
  const { code, syscall, errno, message } = error
  // Of our own disk.
  if (!(error instanceof CaissonError)) return fileError({ message, path: address, code, syscall, errno })
  if (error.stage !== 'registry' || error.code === 'ERR_CAISSON_ABORTED') return error
  return failed(address, message, error)
}

function failed(address: string, why: string, cause?: Error): CaissonError {
  return new CaissonError('ERR_CAISSON_FILE', `${address}: ${why}`, {
    stage: 'copy',
    hint: 'Check the address, where it leads to, and whether this machine reaches it.',
    cause,
  })
}

function tooLarge(address: string, most: number): CaissonError {
  return new CaissonError('ERR_CAISSON_LAYER_LIMIT', `${address}: more than ${most} bytes`, {
    stage: 'copy',
    hint: 'No layer may be that large: check the address.',
  })
}

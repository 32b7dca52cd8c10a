/** Blobs, streamed into a target. A transfer that breaks goes on where it ended. */
import type { Descriptor } from '../spec/descriptor.js'
import { parseDigest } from '../spec/digest.js'
import { isForeignLayer } from '../spec/media-types.js'
import type { BlobTarget } from './content.js'
import type { Endpoint, RegistryRequest } from './endpoint.js'
import { digestError, isTransient, protocolError, RegistryError, throwIfAborted } from './failure.js'
import { Inflow } from './inflow.js'
import { pause, type RetryOptions } from './retry.js'
import { repositoryScope } from './scopes.js'
import type { HttpResponse } from './transport.js'

export interface DownloadOptions {
  retry: RetryOptions
  /** Bytes that are there, of all. */
  onProgress?: (bytes: number) => void
  signal?: AbortSignal
}

/** However often it makes a little progress first: a server that breaks more often wants to keep us. */
const BREAKS_MAX = 50

/**
 * Fills and commits `target`. When it throws, the target is as it was left: whoever made it aborts it.
 *
 * @param endpoints those that may have it, in order. One that does not is left for the next.
 */
export async function downloadBlob(
  endpoints: readonly Endpoint[],
  repository: string,
  descriptor: Descriptor,
  target: BlobTarget,
  options: DownloadOptions,
): Promise<void> {
  checkBlob(descriptor)
  const inflow = new Inflow(target)
  for (const [index, endpoint] of endpoints.entries()) {
    try {
      await transfer(endpoint, repository, descriptor, inflow, options)
      break
    } catch (error) {
      throwIfAborted(options.signal)
      // What came from a mirror that lies may be in the target: only its owner can start over.
      if (index === endpoints.length - 1 || inflow.failed) throw error
    }
  }
  await inflow.drained()
  await target.commit()
}

/** Throws for what is not to be had from a registry. */
export function checkBlob({ digest, size, mediaType, urls }: Descriptor): void {
  parseDigest(digest)
  if (!Number.isSafeInteger(size) || size < 0) throw digestError(digest, `${size} is no size`)
  if (isForeignLayer(mediaType))
    throw new RegistryError('ERR_CAISSON_UNSUPPORTED', `${digest}: a foreign layer (${mediaType})`, {
      hint: `It is not in the registry but ${urls?.length ? 'at an address that the manifest names' : 'elsewhere'}, and is not fetched from there: use an image without such layers.`,
    })
}

async function transfer(
  endpoint: Endpoint,
  repository: string,
  descriptor: Descriptor,
  inflow: Inflow,
  { retry, onProgress, signal }: DownloadOptions,
): Promise<void> {
  let failures = 0
  for (let breaks = 0; inflow.offset < descriptor.size || (descriptor.size === 0 && breaks === 0); ) {
    throwIfAborted(signal)
    const before = inflow.offset
    try {
      const response = await open(endpoint, repository, descriptor, inflow.offset, signal)
      await receive(response, descriptor, inflow, onProgress)
      if (inflow.offset < descriptor.size)
        throw digestError(descriptor.digest, `it ends after ${inflow.offset} of ${descriptor.size} bytes`)
      return
    } catch (error) {
      failures = inflow.offset > before ? 1 : failures + 1
      breaks++
      if (!isTransient(error) || failures >= retry.attempts || breaks >= BREAKS_MAX) throw error
      await pause(failures, retry, error, signal)
    }
  }
}

async function open(
  endpoint: Endpoint,
  repository: string,
  { digest }: Descriptor,
  offset: number,
  signal?: AbortSignal,
): Promise<HttpResponse> {
  const request: RegistryRequest = {
    method: 'GET',
    to: `/v2/${repository}/blobs/${digest}`,
    scopes: [repositoryScope(repository, 'pull')],
    headers: offset > 0 ? { Range: `bytes=${offset}-` } : {},
    signal,
  }
  return endpoint.expect(request, offset > 0 ? [200, 206] : [200], `blob ${digest}`)
}

async function receive(
  response: HttpResponse,
  { digest, size }: Descriptor,
  inflow: Inflow,
  onProgress: DownloadOptions['onProgress'],
): Promise<void> {
  const { headers, body, url, status } = response
  const start = status === 206 ? rangeStart(response, size) : 0
  /** What is sent once more, by a server that does not know ranges. */
  let skip = inflow.offset - start
  const length = headers['content-length']
  const encoding = headers['content-encoding'] ?? 'identity'
  try {
    if (encoding !== 'identity') throw protocolError(url, `it sends a blob encoded as ${encoding}, unasked`)
    if (skip < 0) throw protocolError(url, `it sends from byte ${start} on, not ${inflow.offset}`)
    if (length !== undefined && start + Number(length) !== size)
      throw digestError(digest, `${start + Number(length)} bytes are offered; ${size} were promised`)
    for await (const chunk of body.chunks()) {
      const dropped = Math.min(skip, chunk.length)
      skip -= dropped
      if (inflow.offset + chunk.length - dropped > size) throw digestError(digest, `more than ${size} bytes come`)
      if (chunk.length === dropped) continue
      await inflow.push(dropped === 0 ? chunk : chunk.subarray(dropped))
      onProgress?.(inflow.offset)
    }
  } catch (error) {
    body.destroy()
    throw error
  }
}

/** `bytes 100-199/200` (RFC 9110, 14.4). */
function rangeStart({ headers, url }: HttpResponse, size: number): number {
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '')
  if (!match || (match[3] !== '*' && Number(match[3]) !== size))
    throw protocolError(url, `a part of a blob comes with the range ${headers['content-range'] ?? 'none'}`)
  return Number(match[1])
}

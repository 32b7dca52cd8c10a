/** Blobs, written to a registry: mounted from another repository, in one request, or in chunks that can be resumed. */
import type { Descriptor } from '../spec/descriptor.js'
import type { BlobSource } from './content.js'
import { checkBlob } from './download.js'
import { type Endpoint, locationOf } from './endpoint.js'
import { isTransient, protocolError, statusOf } from './failure.js'
import { COMMIT_TIMEOUT } from './options.js'
import { pause, type RetryOptions, retrying } from './retry.js'
import { mergeScopes, repositoryScope } from './scopes.js'
import type { HttpResponse } from './transport.js'

export interface UploadOptions {
  retry: RetryOptions
  /** A repository of the same registry that may have it. */
  mountFrom?: string
  /** Larger blobs go in chunks of this size. */
  chunkSize: number
  onProgress?: (bytes: number) => void
  signal?: AbortSignal
}

export type Uploaded = 'exists' | 'mounted' | 'uploaded'

/** Below this a broken upload is cheaper to repeat than to resume; and some registries take no chunks. */
export const CHUNK_SIZE = 64 * 1024 * 1024
/** However often a little progress is made first. */
const BREAKS_MAX = 50
const CHUNK_MOST = 1024 * 1024 * 1024

export async function uploadBlob(
  endpoint: Endpoint,
  repository: string,
  descriptor: Descriptor,
  source: BlobSource,
  options: UploadOptions,
): Promise<Uploaded> {
  checkBlob(descriptor)
  const upload = new Upload(endpoint, repository, descriptor, source, options)
  if (await upload.exists()) return 'exists'
  for (let attempt = 1, whole = false; ; attempt++) {
    try {
      const opened = await upload.begin()
      if (opened === 'mounted') return opened
      if (whole || descriptor.size <= options.chunkSize) await upload.sendWhole()
      else await upload.sendChunks()
      return 'uploaded'
    } catch (error) {
      // A registry that takes no chunks says so in one of these ways.
      const noChunks = error instanceof ChunksRefused && !whole
      if (noChunks) whole = true
      else if (!isTransient(error) || attempt >= options.retry.attempts) throw error
      else await pause(attempt, options.retry, error, options.signal)
    }
  }
}

class ChunksRefused extends Error {}

class Upload {
  readonly #endpoint: Endpoint
  readonly #repository: string
  readonly #descriptor: Descriptor
  readonly #source: BlobSource
  readonly #options: UploadOptions
  readonly #scopes: string[]
  #location: URL | undefined
  #chunkSize: number

  constructor(
    endpoint: Endpoint,
    repository: string,
    descriptor: Descriptor,
    source: BlobSource,
    options: UploadOptions,
  ) {
    this.#endpoint = endpoint
    this.#repository = repository
    this.#descriptor = descriptor
    this.#source = source
    this.#options = options
    this.#chunkSize = options.chunkSize
    this.#scopes = [repositoryScope(repository, 'pull', 'push')]
  }

  async exists(): Promise<boolean> {
    const { retry, signal } = this.#options
    const response = await retrying(
      () =>
        this.#endpoint.expect(
          { method: 'HEAD', to: this.#path(`/blobs/${this.#descriptor.digest}`), scopes: this.#scopes, signal },
          [200, 404],
          this.#what('looking for it'),
        ),
      retry,
      signal,
    )
    await response.body.discard()
    return response.status === 200
  }

  async begin(): Promise<'mounted' | 'begun'> {
    const { mountFrom, signal } = this.#options
    const mounting = mountFrom !== undefined && mountFrom !== this.#repository
    const query = mounting ? `?${new URLSearchParams({ mount: this.#descriptor.digest, from: mountFrom })}` : ''
    const scopes = mounting ? mergeScopes(this.#scopes, [repositoryScope(mountFrom, 'pull')]) : this.#scopes
    const request = { method: 'POST' as const, to: this.#path(`/blobs/uploads/${query}`), scopes, body: empty, signal }
    const response = await this.#endpoint.expect(request, [201, 202], this.#what('beginning an upload'))
    await response.body.discard()
    if (response.status === 201 && mounting) return 'mounted'
    if (response.status !== 202) throw protocolError(response.url, 'it answers 201 to the beginning of an upload')
    this.#location = locationOf(response)
    const least = Number(response.headers['oci-chunk-min-length'] ?? 0)
    if (least > this.#chunkSize && least <= CHUNK_MOST) this.#chunkSize = least
    return 'begun'
  }

  /** One PUT with all of it. */
  async sendWhole(): Promise<void> {
    await this.#commit(0)
  }

  async sendChunks(): Promise<void> {
    const { size } = this.#descriptor
    const { retry, signal } = this.#options
    let offset = 0
    let failures = 0
    let breaks = 0
    while (offset < size) {
      const end = Math.min(offset + this.#chunkSize, size)
      try {
        const before = offset
        offset = await this.#sendChunk(offset, end)
        // One that takes chunks and never has more than before would keep us for ever.
        failures = offset > before ? 0 : failures + 1
        if (failures >= retry.attempts)
          throw protocolError(this.#uploading(), `it takes chunks, and has ${offset} bytes`)
      } catch (error) {
        if (offset === 0 && [400, 404, 405, 411, 415, 501].includes(statusOf(error) ?? 0)) throw new ChunksRefused()
        const outOfStep = statusOf(error) === 416
        const hopeless = ++failures >= retry.attempts || ++breaks >= BREAKS_MAX
        if (hopeless || (!isTransient(error) && !outOfStep)) throw error
        await pause(failures, retry, error, signal)
        offset = await this.#received()
      }
    }
    await this.#commit(size)
  }

  /** Returns how far the registry is. */
  async #sendChunk(offset: number, end: number): Promise<number> {
    const response = await this.#endpoint.expect(
      {
        method: 'PATCH',
        to: this.#uploading(),
        scopes: this.#scopes,
        headers: { 'Content-Type': 'application/octet-stream', 'Content-Range': `${offset}-${end - 1}` },
        body: () => ({ length: end - offset, chunks: this.#chunks(offset, end) }),
        signal: this.#options.signal,
        responseTimeout: COMMIT_TIMEOUT,
      },
      [202, 201, 204],
      this.#what(`bytes ${offset} to ${end}`),
    )
    return this.#advanced(response, end)
  }

  /** Asks how much has arrived. */
  async #received(): Promise<number> {
    const request = {
      method: 'GET' as const,
      to: this.#uploading(),
      scopes: this.#scopes,
      signal: this.#options.signal,
    }
    return this.#advanced(await this.#endpoint.expect(request, [204, 200, 202], this.#what('its state')), 0)
  }

  async #advanced(response: HttpResponse, otherwise: number): Promise<number> {
    await response.body.discard()
    if (response.headers.location !== undefined) this.#location = locationOf(response)
    const match = /^(?:bytes=)?0-(\d+)$/.exec(String(response.headers.range ?? ''))
    if (!match) return otherwise
    // Nothing, and one byte, look the same: 0-0.
    const there = match[1] === '0' ? 0 : Number(match[1]) + 1
    if (there > this.#descriptor.size) throw protocolError(response.url, `it has ${there} bytes, more than were sent`)
    return there
  }

  /** Sends what is missing, and has the registry verify the whole. */
  async #commit(offset: number): Promise<void> {
    const { digest, size } = this.#descriptor
    const to = new URL(this.#uploading())
    to.searchParams.set('digest', digest)
    const response = await this.#endpoint.expect(
      {
        method: 'PUT',
        to,
        scopes: this.#scopes,
        headers: { 'Content-Type': 'application/octet-stream' },
        body: () => (offset === size ? empty() : { length: size - offset, chunks: this.#chunks(offset, size) }),
        signal: this.#options.signal,
        responseTimeout: COMMIT_TIMEOUT,
      },
      [201, 204],
      this.#what('writing it'),
    )
    await response.body.discard()
  }

  async *#chunks(offset: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    let at = offset
    for await (const chunk of this.#source.read(offset)) {
      const part = at + chunk.length > end ? chunk.subarray(0, end - at) : chunk
      yield part
      at += part.length
      this.#options.onProgress?.(at)
      if (at === end) return
    }
    if (at < end) throw new RangeError(`${this.#descriptor.digest}: the source ends after ${at} of ${end} bytes`)
  }

  #uploading(): URL {
    return this.#location as URL
  }

  #path(rest: string): string {
    return `/v2/${this.#repository}${rest}`
  }

  #what(step: string): string {
    return `blob ${this.#descriptor.digest}: ${step}`
  }
}

function empty(): Uint8Array {
  return new Uint8Array(0)
}

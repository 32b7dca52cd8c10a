/** A client of registries (OCI distribution specification 1.1): what others use of this folder. */
import type { Reference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import type { Platform } from '../spec/platform.js'
import { type Chosen, chooseManifest } from './choose.js'
import type { BlobSource, BlobTarget } from './content.js'
import { downloadBlob } from './download.js'
import type { Endpoint } from './endpoint.js'
import { RegistryError, throwIfAborted } from './failure.js'
import { type FetchedManifest, getManifest, headManifest, nameOf, putManifest } from './manifests.js'
import { type RegistryClientOptions, retryOptions } from './options.js'
import { type RetryOptions, retrying } from './retry.js'
import { Servers } from './servers.js'
import { listTags } from './tags.js'
import { CHUNK_SIZE, type Uploaded, uploadBlob } from './upload.js'

export interface TransferOptions {
  /** Bytes that are transferred, of all. */
  onProgress?: (bytes: number) => void
  signal?: AbortSignal
}

export interface ResolveOptions {
  platform?: Platform
  signal?: AbortSignal
  /** Documents that are there, by digest; verified. They are not fetched. */
  stored?: (digest: string) => Promise<Buffer | undefined>
}

export interface Resolved extends Chosen {
  /** What the name means: the index, or else the manifest. */
  root: Descriptor
}

export class RegistryClient implements Disposable {
  readonly #servers: Servers
  readonly #retry: RetryOptions

  constructor(options: RegistryClientOptions = {}) {
    this.#servers = new Servers(options)
    this.#retry = retryOptions(options)
  }

  /** Whether the registry knows who we are: ERR_CAISSON_REGISTRY_AUTH when not. */
  async logIn(registry: string, signal?: AbortSignal): Promise<void> {
    const endpoint = await this.#servers.origin(registry, '')
    const ask = async () => {
      const response = await endpoint.expect({ method: 'GET', to: '/v2/', scopes: [], signal }, [200], 'the login')
      await response.body.discard()
    }
    await retrying(ask, this.#retry, signal)
  }

  /** What a name means now; undefined when the registry does not say without sending it. */
  head(reference: Reference, signal?: AbortSignal): Promise<Descriptor | undefined> {
    return this.#pulling(reference, (endpoint) => headManifest(endpoint, reference, signal), signal)
  }

  /** A manifest or index as it is; `expected` is what an index said of it. */
  fetchManifest(reference: Reference, expected?: Descriptor, signal?: AbortSignal): Promise<FetchedManifest> {
    return this.#pulling(reference, (endpoint) => getManifest(endpoint, reference, expected, signal), signal)
  }

  /** The manifest for a platform (default: this machine's). */
  async resolve(reference: Reference, { platform, signal, stored }: ResolveOptions = {}): Promise<Resolved> {
    const root = await this.#root(reference, stored, signal)
    const fetched = async (child: Descriptor): Promise<FetchedManifest> => {
      const bytes = await stored?.(child.digest)
      if (!bytes) return this.fetchManifest({ ...reference, tag: undefined, digest: child.digest }, child, signal)
      return { descriptor: { mediaType: child.mediaType, digest: child.digest, size: bytes.length }, bytes }
    }
    return { ...(await chooseManifest(root, reference, platform, fetched)), root: root.descriptor }
  }

  /**
   * Fills and commits `target`; when it throws, whoever made the target aborts it.
   *
   * @param options `skip`: so many of the servers, the first ones, are not asked.
   */
  async fetchBlob(
    reference: Reference,
    descriptor: Descriptor,
    target: BlobTarget,
    { onProgress, signal, skip = 0 }: TransferOptions & { skip?: number } = {},
  ): Promise<void> {
    const { registry, repository } = reference
    const endpoints = await this.#servers.forPull(registry, repository)
    await downloadBlob(endpoints.slice(skip), repository, descriptor, target, {
      retry: this.#retry,
      onProgress,
      signal,
    })
  }

  async pushBlob(
    reference: Reference,
    descriptor: Descriptor,
    source: BlobSource,
    options: TransferOptions & { mountFrom?: string; chunkSize?: number } = {},
  ): Promise<Uploaded> {
    const { registry, repository } = reference
    const { chunkSize = CHUNK_SIZE } = options
    const endpoint = await this.#servers.origin(registry, repository)
    return uploadBlob(endpoint, repository, descriptor, source, { ...options, chunkSize, retry: this.#retry })
  }

  /** Under the reference's tag, or for manifests that an index names, their digest. */
  async pushManifest(
    reference: Reference,
    manifest: FetchedManifest,
    under: 'tag' | 'digest' = 'tag',
    signal?: AbortSignal,
  ): Promise<void> {
    const endpoint = await this.#servers.origin(reference.registry, reference.repository)
    await retrying(() => putManifest(endpoint, reference, manifest, under, signal), this.#retry, signal)
  }

  async tags(reference: Reference, signal?: AbortSignal): Promise<string[]> {
    const { registry, repository } = reference
    const endpoint = await this.#servers.origin(registry, repository)
    return retrying(() => listTags(endpoint, repository, signal), this.#retry, signal)
  }

  /** Cuts all connections. */
  close(): void {
    this.#servers.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** How many are asked for what is pulled: mirrors, and the registry itself. */
  async countServers({ registry, repository }: Reference): Promise<number> {
    return (await this.#servers.forPull(registry, repository)).length
  }

  /** What is there is found by a HEAD, which costs nothing of the rate limits of registries. */
  async #root(reference: Reference, stored: ResolveOptions['stored'], signal?: AbortSignal): Promise<FetchedManifest> {
    if (stored) {
      const descriptor = await this.head(reference, signal)
      const bytes = descriptor && (await stored(descriptor.digest))
      if (descriptor && bytes) return { descriptor: { ...descriptor, size: bytes.length }, bytes }
      if (descriptor) return this.fetchManifest({ ...reference, digest: descriptor.digest }, undefined, signal)
    }
    return this.fetchManifest(reference, undefined, signal)
  }

  /** Asks the mirrors in their order, then the registry; what the registry itself says counts in the end. */
  async #pulling<T>(reference: Reference, ask: (endpoint: Endpoint) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const endpoints = await this.#servers.forPull(reference.registry, reference.repository)
    for (const endpoint of endpoints) {
      try {
        // A mirror that is in trouble is not waited for: there is another server.
        const retry = endpoint.mirror ? { ...this.#retry, attempts: 1 } : this.#retry
        return await retrying(() => ask(endpoint), retry, signal)
      } catch (error) {
        throwIfAborted(signal)
        if (!endpoint.mirror) throw error
      }
    }
    throw new RegistryError('ERR_CAISSON_REGISTRY', `${nameOf(reference)}: nobody to ask`)
  }
}

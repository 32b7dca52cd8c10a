/**
 * The store: content by digest, names of images, leases, and the collection of what nobody needs. Any number of
 * processes may use one at the same time.
 */
import { type FileHandle, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Descriptor } from '../spec/descriptor.js'
import { roots } from '../util/roots.js'
import { type BlobStat, Blobs } from './blobs.js'
import { type Collected, collect, type Sweeper } from './collect.js'
import { discardDamaged } from './discard.js'
import { storeError } from './failure.js'
import { type Expected, type Ingest, startIngest } from './ingest.js'
import { Layout } from './layout.js'
import { Lease } from './lease.js'
import { Records } from './records.js'
import { Refs } from './refs.js'
import { type Spool, startSpool } from './spool.js'
import { type StoreReport, verify } from './verify.js'

export interface IngestOptions {
  /** Protects the content from now on. */
  lease?: Lease
  signal?: AbortSignal
  /** Begins anew, and does not continue an interrupted download. */
  fresh?: boolean
  /** Reads what is there already, and takes the new content for it when it is damaged. */
  repair?: boolean
}

export interface Amount {
  count: number
  bytes: number
}

/** What lies on the disk. */
export interface ContentUsage {
  /** Manifests, configurations, and layers as they came. */
  blobs: Amount
  /** Under way, or interrupted. */
  downloads: Amount
}

export class Store {
  /** The directory of the OCI image layout. */
  readonly directory: string
  readonly refs: Refs
  readonly records: Records
  readonly #layout: Layout
  readonly #blobs: Blobs

  private constructor(layout: Layout) {
    this.directory = layout.directory
    this.#layout = layout
    this.#blobs = new Blobs(layout)
    this.refs = new Refs(layout)
    this.records = new Records(layout)
  }

  /** Opens the store, and makes it where there is none. */
  static async open(directory: string = roots().data): Promise<Store> {
    try {
      return new Store(await Layout.open(directory))
    } catch (error) {
      throw storeError(error, `${directory} cannot be opened`)
    }
  }

  has(digest: string): Promise<boolean> {
    return this.#blobs.has(digest)
  }

  /** undefined: the store does not have it. */
  stat(digest: string): Promise<BlobStat | undefined> {
    return this.#blobs.stat(digest)
  }

  /** The content of a document, verified. */
  read(digest: string, maxBytes: number): Promise<Buffer> {
    return this.#blobs.read(digest, maxBytes)
  }

  /** For reading large content, which the reader has to verify; the caller closes it. */
  open(digest: string): Promise<FileHandle> {
    return this.#blobs.open(digest)
  }

  /** Where the content lies, for programs that take a path; never written to. */
  path(digest: string): string {
    return this.#layout.blob(digest)
  }

  /** Takes content in. While another process brings the same, it waits, and then finds it. */
  async ingest(expected: Expected, { lease, repair, ...options }: IngestOptions = {}): Promise<Ingest> {
    await lease?.add({ digest: expected.digest })
    if (repair) await this.discardDamaged(expected.digest)
    return startIngest(this.#layout, expected, () => this.has(expected.digest), options)
  }

  /** Takes content away when it is not what its name says: it can be stored anew then. Whether it was so. */
  discardDamaged(digest: string): Promise<boolean> {
    return discardDamaged(this.#layout, this.#blobs, digest)
  }

  /** Takes in what is in memory: a document. */
  async write(descriptor: Pick<Descriptor, 'digest'>, bytes: Uint8Array, options?: IngestOptions): Promise<void> {
    const expected = { digest: descriptor.digest, size: bytes.length }
    const ingest = await this.ingest(expected, { ...options, fresh: true })
    try {
      await ingest.write(bytes)
      await ingest.commit()
    } catch (error) {
      await ingest.abort()
      throw error
    }
  }

  /** Takes in content whose digest nobody knows yet. */
  spool(lease: Lease, { repair = false }: Pick<IngestOptions, 'repair'> = {}): Promise<Spool> {
    const isThere = async (digest: string) => {
      if (repair) await this.discardDamaged(digest)
      return this.has(digest)
    }
    return startSpool(this.#layout, isThere, lease)
  }

  lease(): Promise<Lease> {
    return Lease.create(this.#layout)
  }

  /** Gives an image its name, which another image may have had. Its manifest must be there. */
  setRef(name: string, descriptor: Descriptor): Promise<void> {
    return this.refs.set(name, descriptor, (digest) => this.has(digest))
  }

  /** Removes what no image and no lease needs. */
  collect(options: { sweepers?: readonly Sweeper[]; partialAge?: number } = {}): Promise<Collected> {
    return collect(this.#layout, this.#blobs, this.refs, options.sweepers ?? [], options.partialAge)
  }

  /** Reads everything. What is wrong is in the report. */
  async verify(signal?: AbortSignal): Promise<StoreReport> {
    try {
      return await verify(this.#layout, this.#blobs, this.refs, signal)
    } catch (error) {
      throw storeError(error, 'the verification failed')
    }
  }

  async usage(): Promise<ContentUsage> {
    let bytes = 0
    const digests = await this.#blobs.list()
    for (const digest of digests) bytes += (await this.stat(digest))?.size ?? 0
    const downloads = { count: 0, bytes: 0 }
    for (const name of await readdir(this.#layout.ingest).catch((): string[] => [])) {
      // One may end meanwhile.
      const status = await stat(path.join(this.#layout.ingest, name)).catch(() => undefined)
      if (!status) continue
      downloads.count++
      downloads.bytes += status.size
    }
    return { blobs: { count: digests.length, bytes }, downloads }
  }
}

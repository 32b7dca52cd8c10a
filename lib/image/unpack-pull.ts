/** Layers of an image that is being pulled, unpacked while they come. */
import type { LayerReceiver, LayerUnpacker } from '../registry/pull.js'
import { type LayerBytes, type LayerToUnpack, unpackLayers } from '../snapshot/unpack.js'
import { chainIds } from '../spec/chain-id.js'
import { parseImageConfig } from '../spec/image-config.js'
import type { Manifest } from '../spec/manifest.js'
import { type Deferred, deferred } from '../util/deferred.js'
import type { ImageRoots } from './rootfs.js'

/** As many as are fetched at the same time: one that waited for its turn would hold up its download. */
const CONCURRENCY = 8

export class PullUnpacker implements LayerUnpacker {
  readonly #roots: ImageRoots
  readonly #diffIds: readonly string[]
  readonly #chain: readonly string[]
  readonly #sources: Array<Deferred<LayerBytes>>
  readonly #unpacked: Array<Deferred<void>>
  readonly #stopping = new AbortController()
  readonly #all: Promise<unknown>
  readonly #later: () => Promise<unknown>
  /** A download was given up: perhaps only for another try, so what is missing is unpacked when all is here. */
  #broken = false

  constructor(roots: ImageRoots, { layers }: Manifest, config: Uint8Array, signal?: AbortSignal) {
    this.#roots = roots
    this.#diffIds = parseImageConfig(config, layers.length).rootfs.diff_ids
    this.#later = () => roots.unpack(layers, this.#diffIds, signal)
    this.#chain = chainIds(this.#diffIds)
    this.#sources = layers.map(() => quiet(deferred()))
    this.#unpacked = layers.map(() => quiet(deferred()))
    const first = new Map<string, number>()
    const toUnpack = layers.map(({ digest, size }, index): LayerToUnpack => {
      const before = first.get(digest)
      first.set(digest, before ?? index)
      const source = () => (this.#sources[index] as Deferred<LayerBytes>).promise
      // What is in the image twice comes once.
      const again = async () => {
        await this.#unpacked[before as number]?.promise
        return roots.store.path(digest)
      }
      return { diffId: this.#diffIds[index] as string, digest, size, source: before === undefined ? source : again }
    })
    this.#all = unpackLayers(roots.snapshots, toUnpack, {
      lease: roots.lease,
      signal: this.#stopping.signal,
      concurrency: CONCURRENCY,
      onDone: (index) => this.#unpacked[index]?.resolve(),
    }).catch((error) => {
      for (const layer of this.#unpacked) layer.reject(error)
      throw error
    })
    this.#all.catch(() => undefined)
  }

  async receive(_layer: unknown, index: number): Promise<LayerReceiver | undefined> {
    if (this.#broken) return undefined
    const [chainId, diffId] = [this.#chain[index] as string, this.#diffIds[index] as string]
    await this.#roots.lease.add({ snapshot: diffId }, { snapshot: chainId })
    if (await this.#roots.snapshots.find(chainId, diffId)) return undefined
    const chunks = new Chunks()
    this.#sources[index]?.resolve(chunks)
    const done = this.#unpacked[index]?.promise as Promise<void>
    // It may have been unpacked by another meanwhile, or have failed: then nobody takes the chunks.
    done.then(
      () => chunks.close(),
      () => chunks.close(),
    )
    return {
      write: (chunk) => chunks.push(chunk),
      end: async () => {
        chunks.end()
        await this.#settled(done)
      },
      abort: async () => {
        this.#broken = true
        chunks.fail(new Error('the download ended'))
        await this.stop()
      },
    }
  }

  async stored({ digest }: { digest: string }, index: number): Promise<void> {
    this.#sources[index]?.resolve(this.#roots.store.path(digest))
    await this.#settled(this.#unpacked[index]?.promise)
  }

  async #settled(unpacked: Promise<void> | undefined): Promise<void> {
    await unpacked?.catch((error) => {
      if (!this.#broken) throw error
    })
  }

  /** All layers are there. */
  async done(): Promise<void> {
    await (this.#broken ? this.#later() : this.#all)
  }

  /** Nothing is unpacked any more when this is resolved. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    for (const source of this.#sources) source.reject(new Error('the pull ended'))
    await this.#all.catch(() => undefined)
  }
}

function quiet<T>(made: Deferred<T>): Deferred<T> {
  made.promise.catch(() => undefined)
  return made
}

/** What one side pushes and the other takes; the pusher waits until it is taken. */
class Chunks implements AsyncIterable<Uint8Array> {
  #waiting: Array<{ chunk: Uint8Array; taken: () => void }> = []
  #wake: (() => void) | undefined
  #end = false
  #failure: Error | undefined

  push(chunk: Uint8Array): Promise<void> {
    if (this.#end) return Promise.resolve()
    return new Promise((taken) => {
      this.#waiting.push({ chunk, taken })
      this.#wake?.()
    })
  }

  end(): void {
    this.#end = true
    this.#wake?.()
  }

  fail(error: Error): void {
    this.#failure ??= error
    this.#wake?.()
  }

  /** Nobody takes any more. */
  close(): void {
    this.#end = true
    for (const { taken } of this.#waiting.splice(0)) taken()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#failure) throw this.#failure
      const next = this.#waiting.shift()
      if (next) {
        yield next.chunk
        next.taken()
      } else if (this.#end) return
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }
}

/**
 * The layers of one image on their way to disk, each from a file or from chunks as they come. They are unpacked at the
 * same time, in whatever order they come; only what one of them needs from those below it (hard links, directories that
 * it does not name) waits for them, in the background.
 */
import { availableParallelism } from 'node:os'
import { CaissonError } from '../errors.js'
import { type AppliedLayer, type ApplyOptions, applyLayer, LayerSink } from '../layer/apply.js'
import type { LayerLimits } from '../layer/options.js'
import { settleLayer } from '../layer/tree.js'
import { chainIds } from '../spec/chain-id.js'
import type { Lease } from '../store/lease.js'
import { type Deferred, deferred } from '../util/deferred.js'
import { Slots } from './slots.js'
import { bootId, type FoundLayer, type LayerFacts, type NewLayer, type Snapshots } from './snapshots.js'
import { leaseLayers } from './stack.js'

/** What an archive comes from: a path, a descriptor (closed by its owner), or chunks. */
export type LayerBytes = string | number | AsyncIterable<Uint8Array>

/** What the archive of a layer is known to be; anything else is refused. */
export interface LayerPromise {
  digest?: string
  size?: number
  /** Bytes of the archive as it comes. */
  onProgress?: (progress: { bytes: number; entries: number }) => void
}

export interface UnpackingOptions {
  /** Holds the layers from now on. */
  lease: Lease
  limits?: LayerLimits
  signal?: AbortSignal
  /** Not synced to disk, a layer counts until the machine goes down. Default true. */
  sync?: boolean
  /** Layers at the same time that come from files. Default: as many as there are processors. */
  concurrency?: number
}

/** Takes one layer while it comes. */
export interface LayerReceiver {
  /** Resolved when the chunk was read; until then its memory must stay as it is. */
  write(chunk: Uint8Array): Promise<void>
  /** After the last chunk: resolved when the layer is verified and unpacked. */
  end(): Promise<void>
  /** What there is of it is removed. */
  abort(): Promise<void>
}

export class Unpacking {
  readonly #snapshots: Snapshots
  readonly #diffIds: readonly string[]
  readonly #chain: readonly string[]
  readonly #options: UnpackingOptions
  readonly #slots: Slots
  readonly #layers: Array<Deferred<FoundLayer>>
  readonly #stopping = new AbortController()
  readonly #stop = () => this.#stopping.abort()
  /** All that has to end before nothing goes on any more. */
  readonly #works = new Set<Promise<unknown>>()
  #failure: { error: unknown } | undefined

  private constructor(snapshots: Snapshots, diffIds: readonly string[], options: UnpackingOptions) {
    this.#snapshots = snapshots
    this.#diffIds = diffIds
    this.#chain = chainIds(diffIds)
    this.#options = options
    this.#slots = new Slots(options.concurrency ?? availableParallelism())
    this.#layers = diffIds.map(() => deferred())
    options.signal?.addEventListener('abort', this.#stop, { once: true })
    if (options.signal?.aborted) this.#stop()
  }

  /** `diffIds`: the lowest first. */
  static async begin(snapshots: Snapshots, diffIds: readonly string[], options: UnpackingOptions): Promise<Unpacking> {
    const other = diffIds.find((diffId) => !isSha256(diffId))
    if (other !== undefined)
      throw new CaissonError('ERR_CAISSON_UNSUPPORTED', `layer: ${other.slice(0, 40)}: no diff id by sha256`, {
        stage: 'layer',
        hint: 'Diff ids of layers are computed by sha256 alone: have the image made anew, as by skopeo or docker.',
      })
    await leaseLayers(options.lease, diffIds)
    return new Unpacking(snapshots, diffIds, options)
  }

  /** Aborted when a layer has failed, and the others need not come any more. */
  get signal(): AbortSignal {
    return this.#stopping.signal
  }

  /**
   * Unpacks a layer unless it is there, and waits while another process does. Resolved when it is unpacked: whether by
   * us. `source` is called only when it is needed.
   */
  take(index: number, source: () => LayerBytes | Promise<LayerBytes>, promise: LayerPromise = {}): Promise<boolean> {
    return this.#watched(async () => {
      if (await this.#find(index)) return false
      const made = await this.#snapshots.begin(this.#chain[index] as string, this.signal)
      return this.#keeping(made, async () => {
        if (await this.#find(index)) return false
        const directory = await made.directory()
        const applied = await this.#slots.use(async () =>
          applyLayer({ ...this.#applyOptions(index, directory, promise), source: await source() }),
        )
        this.#publishLater(index, made, directory, applied)
        return true
      })
    })
  }

  /**
   * For a layer whose chunks are about to come. undefined: it is there, or another process unpacks it; `take` it from
   * the store then.
   */
  receive(index: number, promise: LayerPromise = {}): Promise<LayerReceiver | undefined> {
    return this.#watched(async () => {
      if (await this.#find(index)) return undefined
      const made = await this.#snapshots.tryBegin(this.#chain[index] as string)
      if (!made) return undefined
      return this.#keeping(made, async () => {
        if (await this.#find(index)) return undefined
        const directory = await made.directory()
        return this.#receiver(index, made, directory, new LayerSink(this.#applyOptions(index, directory, promise)))
      })
    })
  }

  #receiver(index: number, made: NewLayer, directory: string, sink: LayerSink): LayerReceiver {
    let open = true
    return {
      write: (chunk) => sink.write(chunk).catch((error) => this.#fail(error)),
      end: () =>
        this.#watched(async () => {
          open = false
          await this.#keeping(made, async () => {
            this.#publishLater(index, made, directory, await sink.end())
            return true
          })
        }),
      abort: async () => {
        if (!open) return
        open = false
        await sink.abort()
        await made.end()
      },
    }
  }

  /** Whether a layer was begun, or is there. */
  has(index: number): boolean {
    return (this.#layers[index] as Deferred<FoundLayer>).settled || this.#publishing.has(index)
  }
  readonly #publishing = new Set<number>()

  /** When all layers were taken or received: all of them, the lowest first, in place. */
  async finish(): Promise<FoundLayer[]> {
    try {
      const layers = await Promise.all(this.#layers.map(({ promise }) => promise))
      await this.#idle()
      return layers
    } catch (error) {
      await this.stop()
      return this.#fail(error)
    }
  }

  /** Gives up; resolved when nothing is written any more. What is whole stays for the next attempt. */
  async stop(): Promise<void> {
    this.#stop()
    await this.#idle()
  }

  async #idle(): Promise<void> {
    while (this.#works.size > 0) await Promise.allSettled(this.#works)
    this.#options.signal?.removeEventListener('abort', this.#stop)
  }

  /** The first failure stops the others, and is the one that counts. */
  #watched<T>(work: () => Promise<T>): Promise<T> {
    const done = work()
    this.#works.add(done)
    done.then(
      () => this.#works.delete(done),
      (error) => {
        this.#works.delete(done)
        this.#failure ??= { error }
        this.#stop()
        for (const layer of this.#layers) layer.reject(error)
      },
    )
    return done.catch((error) => this.#fail(error))
  }

  /** What was stopped by it is no reason of its own. */
  #fail(error: unknown): never {
    throw this.#failure?.error ?? error
  }

  /** Ends what was begun, unless `work` says that it goes on. */
  async #keeping<T>(made: NewLayer, work: () => Promise<T>): Promise<T> {
    let goesOn = false
    try {
      const result = await work()
      goesOn = Boolean(result)
      return result
    } finally {
      if (!goesOn) await made.end()
    }
  }

  async #find(index: number): Promise<boolean> {
    if (this.signal.aborted) throw this.#failure?.error ?? aborted(this.#options.signal)
    const found = await this.#snapshots.find(this.#chain[index] as string, this.#diffIds[index] as string)
    if (found) this.#layers[index]?.resolve(found)
    return found !== undefined
  }

  #applyOptions(index: number, directory: string, { digest, size, onProgress }: LayerPromise): ApplyOptions {
    const { owners, overlayXattrs } = this.#snapshots.form
    return {
      directory,
      whiteouts: 'overlay',
      overlayXattrs,
      owners,
      // As containers have their own.
      devices: 'skip',
      limits: this.#options.limits,
      // Of other algorithms the addon knows nothing; the store has verified such a digest, and what is unpacked has its diff id.
      expected: { diffId: this.#diffIds[index], digest: isSha256(digest) ? digest : undefined, size },
      digests: false,
      sync: this.#options.sync !== false,
      signal: this.signal,
      onProgress,
    }
  }

  #publishLater(index: number, made: NewLayer, directory: string, applied: AppliedLayer): void {
    this.#publishing.add(index)
    this.#watched(async () => {
      try {
        this.#layers[index]?.resolve(await this.#publish(index, made, directory, applied))
      } finally {
        await made.end()
      }
    }).catch(() => undefined)
  }

  async #publish(index: number, made: NewLayer, directory: string, applied: AppliedLayer): Promise<FoundLayer> {
    const { unpackedBytes: bytes, entries, opaqueRoot, unsettled } = applied
    const facts: LayerFacts = { diffId: this.#diffIds[index] as string, bytes, entries, opaqueRoot }
    const unsynced = this.#options.sync === false ? { boot: bootId() } : {}
    if (unsettled.length === 0) return made.publish(true, { ...facts, ...unsynced })
    // Who holds the lock of a chain waits for shorter chains alone, so no two wait for each other.
    const below = await Promise.all(this.#layers.slice(0, index).map(({ promise }) => promise))
    await settleLayer({
      directory,
      lowers: below.map((layer) => layer.directory).reverse(),
      unsettled,
      overlayXattrs: this.#snapshots.form.overlayXattrs,
    })
    // What settling changed was not synced: this one counts until the machine goes down.
    return made.publish(false, { ...facts, boot: bootId() })
  }
}

const isSha256 = (digest: string | undefined) => digest?.startsWith('sha256:') === true

function aborted(signal: AbortSignal | undefined): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', 'layer: cancelled', {
    stage: 'layer',
    cause: signal?.reason instanceof Error ? signal.reason : undefined,
  })
}

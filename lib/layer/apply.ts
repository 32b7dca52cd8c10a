/**
 * Applying a tar archive to a directory: a layer of an image, a root file system, files for a container.
 *
 * The addon decompresses, hashes and unpacks on threads of its own. The archive may be anything; what it says never
 * leads out of the directory. When it fails, what was unpacked so far is still there: unpack to a place that nobody
 * sees, and remove it then.
 */
import { CaissonError, invalidArgument } from '../errors.js'
import type { NativeApplied, NativeApply, NativeRunning } from '../native/layer.js'
import { cancelled, finished, textToBytes } from './failure.js'
import {
  checkedLocation,
  cleanPath,
  type IdMap,
  type LayerLimits,
  nativeIdMap,
  nativeLimits,
  type OverlayXattrs,
} from './options.js'
import { layers } from './performer.js'

export type Compression = 'none' | 'gzip' | 'zstd'

export interface ApplyOptions {
  /** Path or descriptor of the directory that is the root for all names, and exists. */
  directory: string | number
  /** Default `auto`: by the first bytes. */
  compression?: 'auto' | Compression
  /**
   * What members named `.wh.NAME` and `.wh..wh..opq` do. `overlay` (default): they become overlay's own marks, so that
   * the layer stands alone and layers can be unpacked at the same time. `apply`: they delete what is in the directory
   * from before. `none`: they are names like others.
   */
  whiteouts?: 'overlay' | 'apply' | 'none'
  overlayXattrs?: OverlayXattrs
  /** Directory inside the root that names are relative to. Links in it stay inside the root. */
  at?: string
  /** `set` (default) or, for users who may not, `ignore`: everything belongs to this process's user. */
  owners?: 'set' | 'ignore'
  /** Ids in the archive to ids on this machine. An id that it does not have is an error. */
  idMap?: IdMap
  /** Device nodes; FIFOs are always made. Default `make`. */
  devices?: 'make' | 'skip' | 'refuse'
  /** Whether a directory may replace something else, and the other way round. Default true. */
  replaceKind?: boolean
  /**
   * `strict` (default): the archive ends with two blocks of zeros, and nothing but zeros follows. `lenient`: as GNU tar,
   * the end of the input, or one such block, is enough, and what follows is not looked at (it still counts for the
   * digest).
   */
  end?: 'strict' | 'lenient'
  limits?: LayerLimits
  /** What the archive must be; anything else is ERR_CAISSON_DIGEST. */
  expected?: { digest?: string; diffId?: string; size?: number }
  /** Compute also those digests that nothing is expected of. Default true. */
  digests?: boolean
  /** Whether all is on the disk when the promise is resolved (syncfs). Default false. */
  sync?: boolean
  signal?: AbortSignal
  /** Every 50 ms or so. Bytes are those of the archive as it comes. */
  onProgress?: (progress: { bytes: number; entries: number }) => void
}

/** What only the layers below can settle: see settleLayer(). */
export type Unsettled = readonly string[]

export type AppliedLayer = NativeApplied

const DIGEST = /^sha256:[0-9a-f]{64}$/

function nativeOptions(options: ApplyOptions): NativeApply {
  const { expected = {}, idMap, limits, at } = options
  for (const key of ['digest', 'diffId'] as const)
    if (expected[key] !== undefined && !DIGEST.test(expected[key]))
      throw invalidArgument(`expected.${key}`, expected[key], 'sha256: and 64 hexadecimal digits')
  return {
    directory: checkedLocation(options.directory, 'directory'),
    compression: options.compression,
    whiteouts: options.whiteouts,
    overlayXattrs: options.overlayXattrs,
    ...(at === undefined ? {} : { base: textToBytes(cleanPath(at)) }),
    owners: options.owners !== 'ignore',
    devices: options.devices,
    replaceKind: options.replaceKind,
    lenientEnd: options.end === 'lenient',
    digests: options.digests,
    digest: expected.digest,
    diffId: expected.diffId,
    size: expected.size,
    sync: options.sync,
    ...nativeIdMap(idMap),
    ...nativeLimits(limits),
  }
}

function start(options: ApplyOptions, source?: string | number): NativeRunning<NativeApplied> {
  const { onProgress } = options
  const request = nativeOptions(options)
  if (source !== undefined) request.source = source
  return layers().apply(request, onProgress && ((bytes, entries) => onProgress({ bytes, entries })))
}

/** Applies an archive from a file (a path or a descriptor, which is read from where it stands) or a stream. */
export async function applyLayer(
  options: ApplyOptions & { source: string | number | AsyncIterable<Uint8Array> },
): Promise<AppliedLayer> {
  const { source, signal } = options
  if (typeof source === 'object') {
    const sink = new LayerSink(options)
    return sink.consume(source)
  }
  const work = start(options, checkedLocation(source, 'source'))
  return finished(work, () => layers().cancel(work.handle), 'layer', signal)
}

/** Bytes that have been given to the addon and not been read, before write() makes the caller wait. */
const IN_FLIGHT = 1024 * 1024

/** Applies an archive whose bytes come piece by piece. */
export class LayerSink {
  readonly #work: NativeRunning<NativeApplied>
  readonly #result: Promise<AppliedLayer>
  #ended = false

  constructor(options: ApplyOptions) {
    this.#work = start(options)
    this.#result = finished(this.#work, () => layers().cancel(this.#work.handle), 'layer', options.signal)
    // Whoever waits for it sees the failure; nobody has to.
    this.#result.catch(() => {})
  }

  /**
   * Resolved when the chunk has been read; until then its memory must stay as it is. Several may be under way. Rejects
   * with what went wrong with the layer.
   */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#ended) throw new CaissonError('ERR_CAISSON_INVALID_STATE', 'layer: write after end', { stage: 'layer' })
    if (!(await layers().write(this.#work.handle, chunk))) await this.#failure()
  }

  /** After the last chunk. */
  end(): Promise<AppliedLayer> {
    this.#ended = true
    layers().end(this.#work.handle)
    return this.#result
  }

  /** Stops. Resolved when nothing is written to the directory any more. */
  async abort(): Promise<void> {
    this.#ended = true
    layers().cancel(this.#work.handle)
    await this.#result.catch(() => {})
  }

  /** Writes all chunks, with as many under way as keep the threads busy, and ends. */
  async consume(chunks: AsyncIterable<Uint8Array>): Promise<AppliedLayer> {
    const iterator = chunks[Symbol.asyncIterator]()
    // The source may be silent when the layer has failed, or was aborted.
    let failed = false
    let interrupt: (() => void) | undefined
    this.#result.catch(() => {
      failed = true
      interrupt?.()
    })
    let waiting = 0
    let room: (() => void) | undefined
    try {
      for (;;) {
        const next = await new Promise<IteratorResult<Uint8Array> | undefined>((resolve, reject) => {
          interrupt = () => resolve(undefined)
          iterator.next().then(resolve, reject)
          if (failed) interrupt()
        })
        if (next === undefined) break
        if (next.done) return await this.end()
        const chunk = next.value
        if (!(chunk instanceof Uint8Array)) throw invalidArgument('source', chunk, 'a stream of bytes')
        waiting += chunk.length
        const written = () => {
          waiting -= chunk.length
          room?.()
        }
        this.write(chunk).then(written, written)
        while (waiting > IN_FLIGHT)
          await new Promise<void>((resolve) => {
            room = resolve
          })
      }
    } catch (error) {
      await this.abort()
      stop(chunks, iterator)
      throw error
    }
    stop(chunks, iterator)
    return this.#result
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) await this.abort()
  }

  async #failure(): Promise<never> {
    await this.#result
    throw cancelled('layer')
  }
}

/** Gives up a source that may never answer. */
function stop(chunks: AsyncIterable<Uint8Array>, iterator: AsyncIterator<Uint8Array>): void {
  if ('destroy' in chunks && typeof chunks.destroy === 'function') chunks.destroy()
  else void iterator.return?.()?.catch?.(() => {})
}

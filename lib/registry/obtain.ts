/** One blob, by whatever way is the shortest: it is there, somebody is fetching it, or we fetch it. */
import type { Reference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import type { Lease } from '../store/lease.js'
import type { RegistryClient } from './client.js'
import type { BlobTarget } from './content.js'
import { isSpoilt, throwIfAborted } from './failure.js'
import type { PartProgress } from './progress.js'
import type { LayerReceiver, PullStore } from './pull.js'
import { Shared } from './shared.js'

export interface Wanted {
  store: PullStore
  client: RegistryClient
  reference: Reference
  descriptor: Descriptor
  progress: PartProgress
  lease: Lease | undefined
  signal?: AbortSignal
}

export interface Obtained {
  /** It was in the store. */
  existed: boolean
  /** Has had all of it, and waits for its end. */
  receiver?: LayerReceiver
}

type Receive = () => Promise<LayerReceiver | undefined> | undefined

/** Downloads of this process, by store. */
const underWay = new WeakMap<PullStore, Map<string, Shared>>()

export async function obtain(wanted: Wanted, receive: Receive): Promise<Obtained> {
  const { store, descriptor, progress, lease, signal } = wanted
  const { digest } = descriptor
  let joined = false
  const downloads = underWay.get(store) ?? new Map<string, Shared>()
  underWay.set(store, downloads)
  for (;;) {
    throwIfAborted(signal)
    const other = downloads.get(digest)
    if (!other) break
    // That of another may fail for reasons of its own, such as its credentials: then we try ourselves.
    joined = await other
      .wait(signal, (bytes) => progress.to('downloading', bytes))
      .then(
        () => true,
        () => false,
      )
    if (joined) break
  }
  await lease?.add({ digest })
  if (await store.has(digest)) return { existed: !joined }
  const raced = downloads.get(digest)
  if (raced) return obtain(wanted, receive)
  return download(wanted, downloads, receive)
}

async function download(wanted: Wanted, downloads: Map<string, Shared>, receive: Receive): Promise<Obtained> {
  const { descriptor, progress, signal } = wanted
  const broken = new AbortController()
  const tee = new Tee(receive, () => broken.abort())
  const shared = new Shared((signal, tell) => fetchInto(wanted, tee, signal, tell))
  downloads.set(descriptor.digest, shared)
  void shared.settled.then(() => downloads.delete(descriptor.digest))
  try {
    const either = signal ? AbortSignal.any([signal, broken.signal]) : broken.signal
    await shared.wait(either, (bytes) => progress.to(bytes < descriptor.size ? 'downloading' : 'verifying', bytes))
    return { existed: tee.existed, receiver: tee.release() }
  } catch (error) {
    // Others may go on with the download; what is unpacked of it here is nobody's.
    const failure = tee.failure
    await tee.drop()
    throw failure?.error ?? error
  }
}

async function fetchInto(
  { store, client, reference, descriptor, lease }: Wanted,
  tee: Tee,
  signal: AbortSignal,
  tell: (bytes: number) => void,
): Promise<void> {
  const { digest, size } = descriptor
  const servers = await client.countServers(reference)
  /** Those that are not asked any more. */
  let skip = 0
  for (let fresh = false; ; fresh = true) {
    const ingest = await store.ingest({ digest, size }, { lease, signal, fresh })
    if (ingest.present) {
      tee.existed = true
      return
    }
    const resumed = ingest.offset > 0
    const another = resumed || skip + 1 < servers
    const spoilt = new AbortController()
    try {
      const target = resumed ? ingest : await tee.into(ingest, another ? () => spoilt.abort() : undefined)
      const either = AbortSignal.any([signal, spoilt.signal])
      await client.fetchBlob(reference, descriptor, target, { signal: either, onProgress: tell, skip })
      return
    } catch (error) {
      await ingest.abort()
      await tee.drop()
      if (!another || signal.aborted || !isSpoilt(spoilt.signal.aborted ? tee.failure?.error : error)) throw error
      // What was there from before may be what is wrong; else it is the first of the servers, or a later one: each gets
      // its turn, and the registry's own word is the last one.
      if (!resumed) skip++
    }
  }
}

/** Gives what comes to the store and to whoever unpacks it, at the pace of the slower one. */
class Tee {
  readonly #receive: Receive
  readonly #onFailure: () => void
  #receiver: LayerReceiver | undefined
  failure: { error: unknown } | undefined
  existed = false

  constructor(receive: Receive, onFailure: () => void) {
    this.#receive = receive
    this.#onFailure = onFailure
  }

  /** `onSpoilt`: called when it cannot be unpacked because of what it is, and there is another way to get it. */
  async into(target: BlobTarget, onSpoilt?: () => void): Promise<BlobTarget> {
    this.failure = undefined
    this.#receiver = await this.#receive()
    if (!this.#receiver) return target
    return {
      offset: target.offset,
      write: async (chunk) => {
        await Promise.all([target.write(chunk), this.#give(chunk, onSpoilt)])
      },
      commit: () => target.commit(),
      abort: () => target.abort(),
    }
  }

  async #give(chunk: Uint8Array, onSpoilt: (() => void) | undefined): Promise<void> {
    try {
      await this.#receiver?.write(chunk)
    } catch (error) {
      if (!this.#receiver) return
      this.failure ??= { error }
      if (onSpoilt && isSpoilt(error)) onSpoilt()
      else this.#onFailure()
    }
  }

  /** The receiver becomes the caller's, who ends it. */
  release(): LayerReceiver | undefined {
    const receiver = this.#receiver
    this.#receiver = undefined
    return receiver
  }

  async drop(): Promise<void> {
    await this.release()?.abort()
  }
}

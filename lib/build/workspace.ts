/** What one build works with: the store, a lease, a directory of its own, and the thread that reads files. */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import type { ImageRoots } from '../image/rootfs.js'
import type { Network } from '../network.js'
import type { RunOptions } from '../options.js'
import { imageRoots } from '../runtime/image/roots.js'
import type { Owner } from '../runtime/process/owner.js'
import type { Lease } from '../store/lease.js'
import { roots } from '../util/roots.js'
import { bookOf, openBook } from './books.js'
import type { CacheRecord } from './cache.js'
import type { Downloaded } from './download.js'
import { Inventory } from './files/inventory.js'
import type { FileReader } from './files/reader.js'
import type { usualNetwork } from './run-network.js'
import type { SharedCache } from './shared-cache.js'
import { Tree } from './tree.js'

export class Workspace implements AsyncDisposable {
  readonly signal: AbortSignal
  #opened: Promise<{ roots: ImageRoots; lease: Lease }> | undefined
  #store: { roots: ImageRoots; lease: Lease } | undefined
  #files: Promise<FileReader> | undefined
  readonly #name = randomBytes(8).toString('hex')
  /** A build that finds all in the cache needs no owner and no directory. */
  #owner: Promise<Owner> | undefined
  #directory: Promise<string> | undefined
  /** For secrets: in memory where the machine has such a place. */
  #private: string | undefined
  /** In registries and directories. */
  readonly caches: SharedCache[] = []
  /** What of the cache this build has used or made, by key. */
  readonly used = new Map<string, CacheRecord>()
  /** Contexts that come from an address. */
  readonly downloads = new Map<string, Promise<Downloaded>>()
  readonly #taken: Array<Promise<Inventory>> = []
  #made = 0
  #bridge: Promise<Network> | undefined
  #network: ReturnType<typeof usualNetwork> | undefined
  /** Is told, once, what the caller may not expect. */
  notice: (message: string) => void = () => undefined
  /** The Dockerfile is one of the context, and none of this machine. */
  contextOnly = false

  /** @param signal ends what goes on in it; whoever disposes of it has it aborted by then. */
  constructor(signal: AbortSignal) {
    this.signal = signal
  }

  /** Resolved when the store is open: what does not need it can begin before. */
  async open(): Promise<void> {
    this.#opened ??= imageRoots().then(async (roots) => ({ roots, lease: await roots.store.lease() }))
    this.#store = await this.#opened
  }

  get roots(): ImageRoots {
    return this.#open.roots
  }

  get lease(): Lease {
    return this.#open.lease
  }

  get #open(): { roots: ImageRoots; lease: Lease } {
    if (!this.#store) throw new Error('the store of this build is not open yet')
    return this.#store
  }

  owner(): Promise<Owner> {
    this.#owner ??= import('../runtime/process/owner.js').then(({ owner }) => owner())
    return this.#owner
  }

  /** The thread that reads files of ours. */
  files(): Promise<FileReader> {
    this.#files ??= import('./files/reader.js').then(({ FileReader: Reader }) => new Reader())
    return this.#files
  }

  async #top(): Promise<string> {
    this.#directory ??= this.owner().then(async ({ data }) => {
      const directory = path.join(data, 'builds', this.#name)
      await mkdir(path.dirname(directory), { recursive: true, mode: 0o711 })
      // Only we may pass: what commands write may be set-id programs.
      await mkdir(directory, { mode: 0o700 })
      return directory
    })
    return this.#directory
  }

  /** A new path below the build's own directory. */
  async path(): Promise<string> {
    return path.join(await this.#top(), String(this.#made++))
  }

  /** A directory of the host to copy from. Of one that stays, digests are remembered for the next build. */
  async take(root: string, ignore: readonly string[]): Promise<Tree> {
    const own = await this.#directory
    const stays = own === undefined || !root.startsWith(`${own}/`)
    const book = stays ? bookOf(roots().data, root) : ''
    const taken = Inventory.take(root, ignore, book, this.signal)
    this.#taken.push(taken)
    // The data directory is made with the store.
    const [inventory] = await Promise.all([taken, stays ? this.open().then(() => openBook(book)) : undefined])
    return new Tree({ inventory })
  }

  async directory(): Promise<string> {
    const made = await this.path()
    await mkdir(made, { mode: 0o755 })
    return made
  }

  /** A new directory that is gone with the machine, and that nobody else may pass. */
  async privateDirectory(): Promise<string> {
    const { run } = await this.owner()
    this.#private = path.join(run, 'builds', this.#name)
    const made = path.join(this.#private, String(this.#made++))
    await mkdir(this.#private, { recursive: true, mode: 0o700 })
    await mkdir(made, { mode: 0o755 })
    return made
  }

  /** Of commands that do not say. */
  async network(insecure: boolean): Promise<Pick<RunOptions, 'network' | 'egress'>> {
    this.#network ??= this.#findNetwork()
    const usual = await this.#network
    return insecure ? usual.insecure : usual.choice
  }

  async #findNetwork(): ReturnType<typeof usualNetwork> {
    const { usualNetwork: find } = await import('./run-network.js')
    // One of the build's own: its commands meet no containers of others.
    const found = await find(await this.owner(), () => {
      this.#bridge ??= import('../network.js').then(({ Network: Made }) => Made.create())
      return this.#bridge
    })
    if (found.notice !== undefined) this.notice(found.notice)
    return found
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cache of this.caches) cache[Symbol.dispose]()
    const network = await this.#bridge?.catch(() => undefined)
    // One that fails keeps none of the others.
    const ended = await Promise.allSettled([
      network?.remove(),
      ...this.#taken.map((taken) => taken.then((inventory) => inventory.forget()).catch(() => undefined)),
      this.#removeFiles(),
      this.#opened?.then(({ lease }) => lease.release()),
    ])
    for (const each of ended) if (each.status === 'rejected') throw each.reason
  }

  async #removeFiles(): Promise<void> {
    const [directory, files] = await Promise.all([this.#directory?.catch(() => undefined), this.#files])
    await files?.[Symbol.asyncDispose]()
    if (directory === undefined && this.#private === undefined) return
    const { removeTree } = await import('../layer/tree.js')
    for (const each of [directory, this.#private]) if (each !== undefined) await removeTree(each)
  }
}

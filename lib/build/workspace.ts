/** What one build works with: the store, a lease, a directory of its own, and the thread that reads files. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import type { ImageRoots } from '../image/rootfs.js'
import { removeTree } from '../layer/tree.js'
import { Network } from '../network.js'
import { imageRoots } from '../runtime/image/roots.js'
import { type Owner, owner } from '../runtime/process/owner.js'
import type { Lease } from '../store/lease.js'
import { roots } from '../util/roots.js'
import { Inventory } from './files/inventory.js'
import { FileReader } from './files/reader.js'
import { Tree } from './tree.js'

export class Workspace implements AsyncDisposable {
  readonly roots: ImageRoots
  readonly owner: Owner
  readonly lease: Lease
  readonly files = new FileReader()
  readonly signal: AbortSignal
  readonly #directory: string
  /** For secrets: in memory where the machine has such a place. */
  readonly #private: string
  readonly #inventories: Inventory[] = []
  #made = 0
  #network: Promise<Network> | undefined

  private constructor(roots: ImageRoots, holder: Owner, lease: Lease, signal: AbortSignal) {
    const name = randomBytes(8).toString('hex')
    this.roots = roots
    this.owner = holder
    this.lease = lease
    this.signal = signal
    this.#directory = path.join(holder.data, 'builds', name)
    this.#private = path.join(holder.run, 'builds', name)
  }

  static async open(signal: AbortSignal): Promise<Workspace> {
    const roots = await imageRoots()
    const holder = await owner()
    const space = new Workspace(roots, holder, await roots.store.lease(), signal)
    await mkdir(path.dirname(space.#directory), { recursive: true, mode: 0o711 })
    await mkdir(space.#directory, { mode: 0o711 })
    return space
  }

  /** A new path below the build's own directory. */
  path(): string {
    return path.join(this.#directory, String(this.#made++))
  }

  /** A directory of the host to copy from. Of one that stays, digests are remembered for the next build. */
  async take(root: string, ignore: readonly string[]): Promise<Tree> {
    const stays = !root.startsWith(`${this.#directory}/`)
    const inventory = await Inventory.take(root, ignore, stays ? await bookOf(root) : '', this.signal)
    this.#inventories.push(inventory)
    return new Tree({ inventory })
  }

  async directory(): Promise<string> {
    const made = this.path()
    await mkdir(made, { mode: 0o755 })
    return made
  }

  /** A new directory that is gone with the machine, and that nobody else may pass. */
  async privateDirectory(): Promise<string> {
    const made = path.join(this.#private, String(this.#made++))
    await mkdir(path.dirname(this.#private), { recursive: true, mode: 0o700 })
    await mkdir(this.#private, { recursive: true, mode: 0o700 })
    await mkdir(made, { mode: 0o755 })
    return made
  }

  /** A network of the build's own: its commands meet no containers of others. */
  network(): Promise<Network> {
    this.#network ??= Network.create()
    return this.#network
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const network = await this.#network?.catch(() => undefined)
    // One that fails keeps none of the others.
    const ended = await Promise.allSettled([
      network?.remove(),
      ...this.#inventories.map((inventory) => inventory.forget()),
      this.files[Symbol.asyncDispose]().then(() => removeTree(this.#directory)),
      removeTree(this.#private),
      this.lease.release(),
    ])
    for (const each of ended) if (each.status === 'rejected') throw each.reason
  }
}

/** Losing one costs time alone. */
async function bookOf(root: string): Promise<string> {
  const directory = path.join(roots().data, 'build-digests')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  return path.join(directory, createHash('sha256').update(root).digest('hex'))
}

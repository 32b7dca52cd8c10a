/**
 * Unpacked layers on disk. Each is a directory of its own that overlay puts above others; it is made once, renamed into
 * place when it is whole, and never changed afterwards.
 *
 *     snapshots/FORM/[chain-]ALGORITHM-DIGITS/   only we may pass: nobody else of the host executes its set-id programs
 *         fs/                                    the layer's root (CVE-2021-41103)
 *         layer.json                             what is known of it
 *     snapshots/FORM/new/ALGORITHM-DIGITS/       being made by whoever holds the lock of that name
 *     snapshots/FORM/locks/
 *     snapshots/FORM/empty/                      the root of an image that has no layers
 *
 * A layer that stands alone is named by its diff id, and shared by all images that have it anywhere. One that took
 * something from the layers below it is named by its chain id, with `chain-` in front.
 */
import { readFileSync } from 'node:fs'
import { access, chmod, mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises'
import path from 'node:path'
import type { OverlayXattrs } from '../layer/options.js'
import { removeTree } from '../layer/tree.js'
import { parseDigest } from '../spec/digest.js'
import type { Sweeper } from '../store/collect.js'
import { storeError } from '../store/failure.js'
import { isMissing, isReadOnly, syncDirectory } from '../store/files.js'
import { type Lock, takeLock, tryLock } from '../store/lock.js'
import { areDirectories, makeDirectories } from '../util/directories.js'

/** How layers are unpacked; those of one form cannot be used as those of another. */
export interface SnapshotForm {
  /** A name for it, as a directory. */
  name: string
  owners: 'set' | 'ignore'
  overlayXattrs: OverlayXattrs
}

/** What layer.json says. */
export interface LayerFacts {
  diffId: string
  /** Bytes of all files. */
  bytes: number
  entries: number
  /** It hides all layers below it. */
  opaqueRoot: boolean
  /** The boot of the machine in which it was made, where not all of it was synced to disk. */
  boot?: string
}

export interface FoundLayer extends LayerFacts {
  /** The directory for overlay. */
  directory: string
}

const FACTS = 'layer.json'

export class Snapshots {
  readonly form: SnapshotForm
  readonly #directory: string
  /** What was looked at once stays as it is while a lease holds it. */
  readonly #known = new Map<string, FoundLayer>()

  /** A directory with nothing in it. */
  readonly empty: string

  private constructor(directory: string, form: SnapshotForm) {
    this.#directory = directory
    this.form = form
    this.empty = path.join(directory, 'empty')
  }

  /** Below the directory of a store. */
  static async open(store: string, form: SnapshotForm): Promise<Snapshots> {
    const top = path.join(store, 'snapshots')
    const snapshots = new Snapshots(path.join(top, form.name), form)
    try {
      await snapshots.#makeDirectories().catch((error) => {
        // Images can be looked at there; layers are not unpacked.
        if (!isReadOnly(error)) throw error
      })
    } catch (error) {
      throw storeError(error, 'the directory for layers cannot be made')
    }
    return snapshots
  }

  async #makeDirectories(): Promise<void> {
    const own = ['new', 'locks'].map((inner) => path.join(this.#directory, inner))
    if (!(await areDirectories([...own, this.empty]))) {
      // Passed through by a root that was mapped for it; each layer is closed by itself.
      await makeDirectories(this.#directory, 0o711)
      for (const inner of own) await makeDirectories(inner, 0o700)
      await makeDirectories(this.empty, 0o755)
    }
    // What containers see of it is its mode, and that has nothing to do with our umask.
    if (((await stat(this.empty)).mode & 0o7777) !== 0o755) await chmod(this.empty, 0o755)
  }

  /** A layer that is there, by its chain id or its diff id. To be asked when a lease holds both. */
  async find(chainId: string, diffId: string): Promise<FoundLayer | undefined> {
    const names = [nameOf(diffId), chainName(chainId)]
    // Stacks are looked for again with each layer that is added to them.
    const known = names.find((name) => this.#known.has(name))
    const there = known === undefined ? undefined : await this.#look(known)
    if (there) return there
    for (const name of names) {
      const found = await this.#load(name)
      if (found) return found
    }
    return undefined
  }

  /** What is known of it, when it is still there. */
  async #look(name: string): Promise<FoundLayer | undefined> {
    const isThere = await access(path.join(this.#directory, name, FACTS)).then(
      () => true,
      () => false,
    )
    return isThere ? this.#known.get(name) : undefined
  }

  async #load(name: string): Promise<FoundLayer | undefined> {
    const at = path.join(this.#directory, name)
    let text: string
    try {
      text = await readFile(path.join(at, FACTS), 'utf8')
    } catch (error) {
      if (!isMissing(error)) throw storeError(error, `the layer ${name} cannot be looked at`)
      this.#known.delete(name)
      return undefined
    }
    const known = this.#known.get(name)
    if (known) return known
    const facts = parseFacts(text)
    // A machine that went down may have lost a part of what was not synced.
    if (!facts || (facts.boot !== undefined && facts.boot !== bootId())) return undefined
    const found = { ...facts, directory: path.join(at, 'fs') }
    this.#known.set(name, found)
    return found
  }

  /** The right to make a layer; waits while another makes it, so ask again afterwards whether it is there. */
  async begin(chainId: string, signal?: AbortSignal): Promise<NewLayer> {
    return this.#new(chainId, await this.#locked(() => takeLock(this.#lockOf(chainId), { exclusive: true, signal })))
  }

  /** The same without waiting; undefined while another makes it. */
  async tryBegin(chainId: string): Promise<NewLayer | undefined> {
    const lock = await this.#locked(() => tryLock(this.#lockOf(chainId), true))
    return lock && this.#new(chainId, lock)
  }

  async #locked<T>(lock: () => Promise<T>): Promise<T> {
    try {
      return await lock()
    } catch (error) {
      throw storeError(error, 'a layer cannot be locked')
    }
  }

  #lockOf(chainId: string): string {
    return path.join(this.#directory, 'locks', nameOf(chainId))
  }

  #new(chainId: string, lock: Lock): NewLayer {
    return new NewLayer(path.join(this.#directory, 'new', nameOf(chainId)), lock, (from, alone, facts) =>
      this.#publish(from, alone ? nameOf(facts.diffId) : chainName(chainId), facts),
    )
  }

  async #publish(from: string, name: string, facts: LayerFacts): Promise<FoundLayer> {
    const file = await open(path.join(from, FACTS), 'wx', 0o600)
    try {
      await file.writeFile(JSON.stringify(facts))
      await file.sync()
    } finally {
      await file.close()
    }
    const at = path.join(this.#directory, name)
    try {
      await rename(from, at)
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
      // Another image has brought the same layer; or what was there is not to be trusted any more.
      const there = await this.#load(name)
      if (there) return there
      await rename(at, path.join(path.dirname(from), `${path.basename(from)}-stale`))
      await rename(from, at)
    }
    await syncDirectory(this.#directory)
    const found = { ...facts, directory: path.join(at, 'fs') }
    this.#known.set(name, found)
    return found
  }

  /** Bytes on disk of a layer's files, as they were unpacked. */
  async usage(): Promise<{ count: number; bytes: number }> {
    const usage = { count: 0, bytes: 0 }
    for (const name of await readdir(this.#directory)) {
      const found = LAYER_NAME.test(name) ? await this.#load(name) : undefined
      if (!found) continue
      usage.count++
      usage.bytes += found.bytes
    }
    return usage
  }
}

type Publish = (from: string, alone: boolean, facts: LayerFacts) => Promise<FoundLayer>

/** A layer on its way, below a lock of ours. */
export class NewLayer {
  readonly #at: string
  readonly #lock: Lock
  readonly #publish: Publish

  constructor(at: string, lock: Lock, publish: Publish) {
    this.#at = at
    this.#lock = lock
    this.#publish = publish
  }

  /** An empty directory for it; what somebody left who died is removed. */
  async directory(): Promise<string> {
    try {
      await removeLeft(this.#at)
      const root = path.join(this.#at, 'fs')
      await mkdir(this.#at, { mode: 0o700 })
      await mkdir(root, { mode: 0o755 })
      return root
    } catch (error) {
      throw storeError(error, 'a directory for a layer cannot be made')
    }
  }

  /** From now on it is there. `alone`: it took nothing from the layers below it. */
  async publish(alone: boolean, facts: LayerFacts): Promise<FoundLayer> {
    try {
      return await this.#publish(this.#at, alone, facts)
    } catch (error) {
      throw storeError(error, 'an unpacked layer cannot be put into place')
    }
  }

  /** Also after publish(). What was not published is removed. */
  async end(): Promise<void> {
    try {
      await removeLeft(this.#at)
      await removeLeft(`${this.#at}-stale`)
    } finally {
      await this.#lock.remove()
    }
  }
}

/** For ordinary users a removal is a process: none for nothing. */
async function removeLeft(at: string): Promise<void> {
  if (
    await access(at).then(
      () => true,
      () => false,
    )
  )
    await removeTree(at)
}

/** undefined: it is none. */
export function parseFacts(text: string): LayerFacts | undefined {
  try {
    return JSON.parse(text) as LayerFacts
  } catch {
    return undefined
  }
}

let boot: string | undefined

export function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return boot
}

function nameOf(id: string): string {
  const { algorithm, encoded } = parseDigest(id)
  return `${algorithm}-${encoded}`
}

function chainName(chainId: string): string {
  return `chain-${nameOf(chainId)}`
}

/** Groups: algorithm, digits. */
export const LAYER_NAME = /^(?:chain-)?(sha\d+)-([0-9a-f]+)$/

/** Collects layers of every form that nobody reached, and what dead processes were making. */
export function snapshotSweeper(store: string): Sweeper {
  const top = path.join(store, 'snapshots')
  return async ({ snapshots }, trash) => {
    let moved = 0
    const discard = async (from: string) => {
      await rename(from, path.join(trash, `layer-${moved}`))
      moved++
    }
    for (const form of await list(top)) {
      const directory = path.join(top, form)
      for (const name of await list(directory)) {
        const [, algorithm, encoded] = LAYER_NAME.exec(name) ?? []
        if (algorithm && !snapshots.has(`${algorithm}:${encoded}`)) await discard(path.join(directory, name))
      }
      for (const name of await list(path.join(directory, 'new'))) {
        const lock = await tryLock(path.join(directory, 'locks', name.replace(/-stale$/, '')), true)
        if (!lock) continue
        await discard(path.join(directory, 'new', name)).catch(ignoreMissing)
        await lock.remove()
      }
    }
    return moved
  }
}

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

function ignoreMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}

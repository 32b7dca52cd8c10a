/**
 * Leases: what a process is using, so that nobody collects it. A lease is a file whose lock the process holds; when the
 * process dies, however it does, the kernel opens the lock, and the next collection takes the file for what it is.
 */
import { randomBytes } from 'node:crypto'
import { ftruncate, readFileSync, write } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { CaissonError } from '../errors.js'
import { parseDigest } from '../spec/digest.js'
import { storeError } from './failure.js'
import { isMissing, isReadOnly } from './files.js'
import type { Layout } from './layout.js'
import { type Lock, takeLock, tryLock, withLock } from './lock.js'

const writeTo = promisify(write)
const truncate = promisify(ftruncate)

/** Content; with the media type of a manifest or an index, all that it leads to as well. Or an unpacked layer. */
export type Leased = { digest: string; mediaType?: string } | { snapshot: string }

export class Lease {
  readonly id: string
  readonly #layout: Layout
  readonly #entries = new Map<string, Leased>()
  /** The store is on a file system that is mounted read-only. */
  readonly readOnly: boolean
  #lock: Lock | undefined
  readonly #fresh: Leased[] = []
  #adding: Promise<void> | undefined
  #last: Promise<void> = Promise.resolve()
  /** Bytes of the file. */
  #size = 0

  private constructor(layout: Layout, id: string, lock: Lock | undefined) {
    this.id = id
    this.#layout = layout
    this.#lock = lock
    this.readOnly = lock === undefined
  }

  static async create(layout: Layout): Promise<Lease> {
    const id = `${process.pid}-${randomBytes(8).toString('hex')}`
    const file = path.join(layout.leases, id)
    try {
      return new Lease(layout, id, await takeLock(file, { exclusive: true }))
    } catch (error) {
      // Nothing is collected there.
      if (isReadOnly(error)) return new Lease(layout, id, undefined)
      throw storeError(error, 'a lease cannot be made')
    }
  }

  /**
   * From now until release() these are not collected. Add first and look afterwards whether the store has it: what was
   * there before may be gone when this is resolved, what is there then stays.
   */
  async add(...entries: Leased[]): Promise<void> {
    for (const entry of entries) parseDigest('digest' in entry ? entry.digest : entry.snapshot)
    const fresh = entries.filter((entry) => !this.#entries.has(keyOf(entry)))
    if (fresh.length === 0) return
    this.#fresh.push(...fresh)
    // What is asked for until the file can be written is written at once.
    this.#adding ??= this.#afterOthers(async () => {
      const added = this.#fresh.splice(0)
      this.#adding = undefined
      await this.#write((fd) => this.#append(fd, added.map((entry) => line('+', entry)).join('')))
      for (const entry of added) this.#entries.set(keyOf(entry), entry)
    })
    await this.#adding
  }

  /** These may be collected again, unless something else keeps them. */
  async drop(...entries: Leased[]): Promise<void> {
    await this.#afterOthers(async () => {
      const held = entries.filter((entry) => this.#entries.delete(keyOf(entry)))
      if (held.length === 0) return
      const empty = this.#entries.size === 0
      await this.#write((fd) =>
        empty ? this.#clear(fd) : this.#append(fd, held.map((entry) => line('-', entry)).join('')),
      )
    })
  }

  async release(): Promise<void> {
    const lock = this.#lock
    if (!lock) return
    this.#lock = undefined
    // What is being written still needs the descriptor.
    await this.#afterOthers(() => lock.remove())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }

  #afterOthers(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => undefined)
    return done
  }

  /** Behind what is there, also when a full disk cut that off. */
  async #append(fd: number, text: string): Promise<void> {
    for (let rest = Buffer.from(text); rest.length > 0; ) {
      const { bytesWritten } = await writeTo(fd, rest, 0, rest.length, this.#size)
      this.#size += bytesWritten
      rest = rest.subarray(bytesWritten)
    }
  }

  async #clear(fd: number): Promise<void> {
    await truncate(fd)
    this.#size = 0
  }

  async #write(write: (fd: number) => Promise<void>): Promise<void> {
    if (this.readOnly) return
    const lock = this.#lock
    if (!lock) throw new CaissonError('ERR_CAISSON_INVALID_STATE', 'store: the lease was released', { stage: 'store' })
    try {
      await withLock(this.#layout.collectLock, false, () => write(lock.fd))
    } catch (error) {
      throw storeError(error, 'the lease cannot be written')
    }
  }
}

function keyOf(entry: Leased): string {
  return 'digest' in entry ? `${entry.digest} ${entry.mediaType ?? ''}` : `snapshot ${entry.snapshot}`
}

/** What a full disk cut off before it is a line of its own then. */
function line(sign: '+' | '-', entry: Leased): string {
  return `\n${sign}${JSON.stringify(entry)}`
}

/** What all living processes lease; those of dead ones are removed. To be called by whoever holds the collect lock. */
export async function liveLeases(layout: Layout): Promise<Leased[]> {
  const found: Leased[] = []
  for (const name of await readdir(layout.leases)) {
    const file = path.join(layout.leases, name)
    const lock = await tryLock(file, true)
    if (lock) {
      await lock.remove()
      continue
    }
    try {
      found.push(...parseLines(readFileSync(file, 'utf8')))
    } catch (error) {
      // Released a moment ago.
      if (!isMissing(error)) throw error
    }
  }
  return found
}

/** A line that was cut short protects nothing: its writer was told, or is dead. */
function parseLines(text: string): Leased[] {
  const found = new Map<string, Leased>()
  for (const written of text.split('\n')) {
    let entry: Leased
    try {
      entry = JSON.parse(written.slice(1))
    } catch {
      continue
    }
    if (written[0] === '+') found.set(keyOf(entry), entry)
    else found.delete(keyOf(entry))
  }
  return [...found.values()]
}

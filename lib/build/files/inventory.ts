/** What is in a directory of the host, by the addon: looked at once, on a thread of its own, and never through a link. */
import { getSystemErrorName } from 'node:util'
import { bytesToText, printable } from '../../layer/failure.js'
import { addon } from '../../native/addon.js'
import type { NativeInventory, NativeItem, NativeMember } from '../../native/inventory.js'
import type { NativeFault, NativeRunning } from '../../native/layer.js'
import { IgnoreMatcher } from '../dockerfile/ignore.js'
import type { Entry, Member, WrittenArchive } from './entry.js'
import { fileError, stopped } from './failure.js'

export class Inventory {
  readonly #held: NativeInventory
  readonly #signal: AbortSignal

  private constructor(held: NativeInventory, signal: AbortSignal) {
    this.#held = held
    this.#signal = signal
  }

  /**
   * All below a directory that the patterns do not leave out, which is not looked at and so may be anything.
   * `book`: a file that digests of files are kept in for the next build.
   */
  static async take(root: string, ignore: readonly string[], book: string, signal: AbortSignal): Promise<Inventory> {
    const patterns = ignore.length > 0 ? new IgnoreMatcher(ignore).program() : []
    return new Inventory(await finished(addon().inventory.take(root, patterns, book), signal), signal)
  }

  /** 0 is the directory itself. */
  entry(index: number, path: string): Entry {
    return this.#entry(addon().inventory.item(this.#held, index), path)
  }

  entriesIn({ path, item }: Entry): Entry[] {
    return addon()
      .inventory.children(this.#held, item?.index ?? 0)
      .map((child) => this.#entry(child, path === '' ? child.name : `${path}/${child.name}`))
  }

  #entry({ item, kind, mode, size, mtime, target, major, minor }: NativeItem, path: string): Entry {
    return {
      path,
      kind,
      mode,
      // A context belongs to nobody of the image's users.
      uid: 0,
      gid: 0,
      mtime,
      size,
      ...(target === undefined ? {} : { target }),
      ...(major === undefined ? {} : { device: [major, minor ?? 0] as [number, number] }),
      item: { inventory: this, index: item },
    }
  }

  /** Of files those of their bytes; of directories those of all that is in them, which times do not count for. */
  digests(entries: readonly Entry[]): Promise<string[]> {
    return this.#work(addon().inventory.digest(this.#held, entries.map(indexOf)))
  }

  /** Writes members, which are all of this inventory or directories, as a plain archive to a descriptor. */
  archive(members: readonly Member[], latest: number | undefined, fd: number): Promise<WrittenArchive> {
    return this.#work(addon().inventory.archive(this.#held, members.map(nativeMember), latest, fd))
  }

  copy(entry: Entry, fd: number): Promise<void> {
    return this.#work(addon().inventory.copy(this.#held, indexOf(entry), fd))
  }

  /** The first bytes, as latin1. */
  begin(entry: Entry, bytes: number): Promise<string> {
    return this.#work(addon().inventory.begin(this.#held, indexOf(entry), bytes))
  }

  /** Bytes that were kept from computing digests are not copied any more. */
  async forget(): Promise<void> {
    await addon().inventory.forget(this.#held).done
  }

  #work<T>(work: NativeRunning<T>): Promise<T> {
    return finished(work, this.#signal)
  }
}

const indexOf = ({ item }: Entry) => item?.index ?? 0

function nativeMember({ path, uid, gid, mode, mtime, item, whole, otherMode }: Member): NativeMember {
  if (!item) return { path, uid, gid, mode, mtime }
  return { path, uid, gid, item: item.index, ...(whole ? { whole } : {}), ...(otherMode ? { mode } : {}) }
}

async function finished<T>(work: NativeRunning<T>, signal: AbortSignal): Promise<T> {
  const cancel = () => addon().layer.cancel(work.handle)
  const tooLate = signal.aborted
  signal.addEventListener('abort', cancel, { once: true })
  if (tooLate) cancel()
  try {
    const result = await work.done.catch((fault: NativeFault) => Promise.reject(inventoryError(fault)))
    // A thread may have been done before it could be told.
    if (tooLate) throw stopped()
    return result
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

function inventoryError({ kind, what, entry, syscall, errno }: NativeFault): Error {
  if (kind === 'cancelled') return stopped()
  const path = printable(entry)
  if (kind !== 'system') return fileError({ message: `${path}: ${what}`, path })
  return fileError({
    message: what,
    path: bytesToText(entry),
    code: getSystemErrorName(-errno),
    syscall,
    errno: -errno,
  })
}

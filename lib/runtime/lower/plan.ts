/** Encodes what the init program is to do; the layout is defined in addon/init/plan.h. */
import { invalidArgument } from '../../errors.js'
import { addon } from '../../native/addon.js'
import type { Note } from '../../native/failure.js'

/** No slot. */
export const NONE = 0xffffffff

/** Flags of records (enum plan_flag). */
export const RECURSIVE = 1
export const NO_SYMLINKS = 2
export const CREATE = 4
export const OPTIONAL = 8
export const EXCLUSIVE = 16
export const TOP = 32
export const STAY = 64

/** The operations, in the words of plan.h. */
export type Operation =
  | 'CGROUP_JOIN'
  | 'SETNS'
  | 'UNSHARE'
  | 'TIME'
  | 'SYNC'
  | 'FORK'
  | 'BECOME_ROOT'
  | 'UNDUMPABLE'
  | 'PROPAGATION'
  | 'TREE'
  | 'FILESYSTEM'
  | 'OVERLAY'
  | 'COPY'
  | 'ROOT'
  | 'CHROOT'
  | 'ATTACH'
  | 'SETATTR'
  | 'MASK'
  | 'READONLY'
  | 'DIRECTORY'
  | 'NODE'
  | 'SYMLINK'
  | 'FILE'
  | 'SYSCTL'
  | 'HOSTNAME'
  | 'LOOPBACK'
  | 'SOCKET'
  | 'RLIMIT'
  | 'CONSOLE'
  | 'OOM_SCORE'
  | 'SCHEDULER'
  | 'IO_PRIORITY'
  | 'AFFINITY'
  | 'PERSONALITY'
  | 'KEYRING'
  | 'HOOK'
  | 'USER'
  | 'WORKDIR'
  | 'REAPER'
  | 'BOUNDING'
  | 'CREDENTIALS'
  | 'CAPABILITIES'
  | 'NO_NEW_PRIVS'
  | 'LANDLOCK'
  | 'SECCOMP'
  | 'PARENT_DEATH'
  | 'OPEN'
  | 'PROBE'
  | 'HOLD'
  | 'WAIT'
  | 'AGENT'
  | 'EXEC'

export interface OperationDetails {
  flags?: number
  /** Up to four; each an unsigned 64-bit number. */
  numbers?: ReadonlyArray<number | bigint>
  strings?: readonly string[]
  blob?: Uint8Array
}

/** A plan that ends with waiting for another. */
export interface Ahead {
  plan: Uint8Array
  /** See Plan.inheritPath. */
  inheritedPaths: string[]
}

const SPARE_MAX = 64 * 1024
const NOTHING = Buffer.alloc(0)
/** For the next plan: most are of one size, and memory outside of the heap is collected late. */
let spare: Buffer | undefined

function takeBuffer(): Buffer {
  const taken = spare ?? Buffer.allocUnsafe(8192)
  spare = undefined
  return taken
}

/**
 * A plan being written. Slots are small numbers that name descriptors inside the init program; `inherited` of them
 * come with the process, the rest are filled by operations.
 */
export class Plan {
  readonly notes: Note[] = []
  readonly inherited: number[] = []
  readonly inheritedPaths: string[] = []
  hasNewNetwork = false
  #buffer = takeBuffer()
  #at: number
  #nextSlot = 0

  constructor() {
    this.#at = addon().plan.headerSize
  }

  /** Where the next record comes: its offset, and its number. */
  get position(): { at: number; record: number } {
    return { at: this.#at, record: this.notes.length }
  }

  /** Records of another plan, at the end of this one. */
  append(records: Uint8Array, notes: readonly Note[]): void {
    this.#reserve(records.length)
    this.#buffer.set(records, this.#at)
    this.#at += records.length
    this.notes.push(...notes)
  }

  /** The records alone, to be put into another plan. */
  records(): Buffer {
    return this.#buffer.subarray(addon().plan.headerSize, this.#at)
  }

  /** Names the network namespace that the addon takes from its stock. Before every `inherit`. */
  newNetwork(): number {
    this.hasNewNetwork = true
    return this.#nextSlot++
  }

  /** Names a descriptor that the process inherits. All of them before the first `slot()`. */
  inherit(fd: number): number {
    this.inherited.push(fd)
    return this.#nextSlot++
  }

  /** Names a path that is opened when the process is made. After every `inherit`, before the first `slot()`. */
  inheritPath(path: string): number {
    this.inheritedPaths.push(path)
    return this.#nextSlot++
  }

  slot(): number {
    return this.#nextSlot++
  }

  /**
   * What is written so far becomes the plan of a process that is made ahead, does this, and waits for the rest, which
   * this plan goes on with: slots keep their descriptors.
   */
  split(): Ahead {
    this.add('WAIT', 'process', { numbers: [this.#nextSlot, NONE] })
    const plan = Buffer.from(this.finish())
    const ahead = { plan, inheritedPaths: this.inheritedPaths.splice(0) }
    this.inherited.length = 0
    this.notes.length = 0
    this.#at = addon().plan.headerSize
    return ahead
  }

  /** Closes what was to be inherited, when the plan is not carried out. */
  abandon(): void {
    for (const fd of this.inherited.splice(0)) addon().closeFd(fd)
  }

  add(operation: Operation, stage: string, details: OperationDetails = {}): void {
    const { ops, recordSize } = addon().plan
    const strings = details.strings ?? []
    let size = recordSize + (details.blob?.length ?? 0)
    for (const string of strings) size += string.length * 3 + 1 // UTF-8 never needs more than 3 bytes a unit
    this.#reserve(size + 8)

    const start = this.#at
    const buffer = this.#buffer
    let at = start + 16
    const numbers = details.numbers ?? []
    for (let i = 0; i < 4; i++, at += 8) {
      const value = numbers[i] ?? 0
      if (typeof value === 'bigint') {
        this.#u32(at, Number(value & 0xffffffffn))
        this.#u32(at + 4, Number((value >> 32n) & 0xffffffffn))
      } else {
        this.#u32(at, value)
        this.#u32(at + 4, Math.floor(value / 0x100000000))
      }
    }
    at = start + recordSize
    for (const string of strings) {
      const written = buffer.write(string, at, 'utf8')
      // Half a character would become another one, and a NUL two texts.
      if (string.includes('\0') || (written > string.length && /\p{Surrogate}/u.test(string)))
        throw invalidArgument(stage, string, 'valid Unicode without NUL')
      at += written
      buffer[at++] = 0
    }
    if (details.blob) {
      buffer.set(details.blob, at)
      at += details.blob.length
    }
    while (at % 8) buffer[at++] = 0
    const code = ops[operation] as number
    this.#u32(start, (code | ((details.flags ?? 0) << 16)) >>> 0)
    this.#u32(start + 4, at - start)
    this.#u32(start + 8, strings.length)
    this.#u32(start + 12, details.blob?.length ?? 0)
    this.#at = at
    this.notes.push({ operation, stage, subject: strings[0] ?? '' })
  }

  finish(): Buffer {
    const { magic, version } = addon().plan
    const inherited = this.inherited.length + this.inheritedPaths.length + (this.hasNewNetwork ? 1 : 0)
    const header = [magic, version, this.#at, this.notes.length, inherited, 0, 0, 0, 0, 0]
    header.forEach((value, i) => {
      this.#u32(i * 4, value)
    })
    return this.#buffer.subarray(0, this.#at)
  }

  /** Its bytes are not needed any more: the addon has copied them. */
  release(): void {
    if (this.#buffer.length <= SPARE_MAX) spare = this.#buffer
    this.#buffer = NOTHING
  }

  #u32(at: number, value: number): void {
    this.#buffer.writeUInt32LE(value >>> 0, at) // x64 and arm64 run Linux little-endian only
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#buffer.length) return
    const bigger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + size))
    this.#buffer.copy(bigger, 0, 0, this.#at)
    this.#buffer = bigger
  }
}

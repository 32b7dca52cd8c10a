/** What comes over the network on its way into a target: a bounded number of bytes at a time. */
import type { BlobTarget } from './content.js'

/** Enough that the network does not wait for the disk, and little for many layers at once. */
const UNDER_WAY_MAX = 1024 * 1024

export class Inflow {
  readonly #target: BlobTarget
  #underWay = 0
  #room: (() => void) | undefined
  #failure: { error: unknown } | undefined
  /** Bytes that are there or under way: where the next ones belong. */
  offset: number

  constructor(target: BlobTarget) {
    this.#target = target
    this.offset = target.offset
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  /** Resolved when the next chunk may come. Throws what went wrong with this one, or one before. */
  async push(chunk: Uint8Array): Promise<void> {
    this.#check()
    this.offset += chunk.length
    this.#underWay += chunk.length
    const taken = () => {
      this.#underWay -= chunk.length
      this.#room?.()
    }
    this.#target.write(chunk).then(taken, (error) => {
      this.#failure ??= { error }
      taken()
    })
    await this.#until(UNDER_WAY_MAX)
  }

  /** Resolved when the target has everything. */
  drained(): Promise<void> {
    return this.#until(0)
  }

  async #until(most: number): Promise<void> {
    while (this.#underWay > most)
      await new Promise<void>((resolve) => {
        this.#room = resolve
      })
    this.#check()
  }

  #check(): void {
    if (this.#failure) throw this.#failure.error
  }
}

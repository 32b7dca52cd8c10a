/** Something that several need, and that goes when the last of them has let go of it. */

export class Hold {
  readonly #end: () => Promise<void>
  #holders = 1

  /** Whoever makes it holds it. */
  constructor(end: () => Promise<void>) {
    this.#end = end
  }

  take(): this {
    this.#holders++
    return this
  }

  async release(): Promise<void> {
    this.#holders--
    if (this.#holders === 0) await this.#end()
  }
}

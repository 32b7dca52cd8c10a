/** Work that several want at once, done once: it ends early only when nobody waits for it any more. */
import { abortedError } from './failure.js'

export class Shared<T = void> {
  readonly #controller = new AbortController()
  readonly #listeners = new Set<(bytes: number) => void>()
  readonly #done: Promise<T>
  #waiting = 0
  #settled = false

  constructor(work: (signal: AbortSignal, progress: (bytes: number) => void) => Promise<T>) {
    this.#done = work(this.#controller.signal, (bytes) => {
      for (const listener of this.#listeners) listener(bytes)
    }).finally(() => {
      this.#settled = true
    })
    this.#done.catch(() => undefined)
  }

  /** Nobody waited any more: what comes of it now is nothing. */
  get stopping(): boolean {
    return this.#controller.signal.aborted
  }

  /** Resolved when the work has ended, well or badly. */
  get settled(): Promise<void> {
    return this.#done.then(
      () => undefined,
      () => undefined,
    )
  }

  /** Whoever leaves last stops it, and then waits until it has stopped. */
  async wait(signal?: AbortSignal, onProgress?: (bytes: number) => void): Promise<T> {
    this.#waiting++
    if (onProgress) this.#listeners.add(onProgress)
    try {
      return await unlessAborted(this.#done, signal)
    } finally {
      if (onProgress) this.#listeners.delete(onProgress)
      this.#waiting--
      if (this.#waiting === 0 && !this.#settled) {
        this.#controller.abort()
        await this.settled
      }
    }
  }
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work
  return new Promise((resolve, reject) => {
    const abort = () => reject(abortedError())
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

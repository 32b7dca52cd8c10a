/** The process id of a program: few callers want it, and being told of each start costs a turn of the event loop. */
import { type Deferred, deferred } from '../../util/deferred.js'
import type { Running } from './running.js'

export class LatePid {
  #waiter: Deferred<number> | undefined
  #running: Running | undefined
  #pid: number | undefined
  #error: unknown

  get wanted(): boolean {
    return this.#waiter !== undefined
  }

  /** Rejects when the program could not be started. */
  get promise(): Promise<number> {
    if (!this.#waiter) {
      this.#waiter = deferred()
      if (this.#pid !== undefined) this.#waiter.resolve(this.#pid)
      else if (this.#error !== undefined) this.#waiter.reject(this.#error)
      else this.#running?.askStarted()
    }
    return this.#waiter.promise
  }

  /** Who can be asked. */
  from(running: Running): void {
    this.#running = running
    if (this.#waiter) running.askStarted()
  }

  found(pid: number): void {
    this.#pid ??= pid
    this.#waiter?.resolve(pid)
  }

  failed(error: unknown): void {
    this.#error ??= error
    this.#waiter?.reject(error)
  }
}

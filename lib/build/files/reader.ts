/** The builder's side of the thread that reads files. */
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { packageRoot } from '../../native/load.js'
import type { FileFault, FileTasks } from './entry.js'
import { fileError, stopped } from './failure.js'

interface Waiting {
  resolve(answer: never): void
  reject(error: Error): void
}

export class FileReader implements AsyncDisposable {
  #worker: Worker | undefined
  #ended = false
  #next = 0
  readonly #waiting = new Map<number, Waiting>()

  /** One task after the other. */
  ask<Name extends keyof FileTasks>(name: Name, ask: FileTasks[Name]['ask']): Promise<FileTasks[Name]['answer']> {
    if (this.#ended) return Promise.reject(stopped())
    const worker = this.#start()
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      worker.ref()
      worker.postMessage({ id, name, ask })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    await this.#worker?.terminate()
    this.#fail(stopped())
  }

  #start(): Worker {
    if (this.#worker) return this.#worker
    // Flags of the application's own script (--input-type) are nothing for it.
    const worker = new Worker(path.join(packageRoot(), 'dist', 'build-files.js'), { execArgv: [] })
    worker.on('message', ({ id, answer, fault }: { id: number; answer: never; fault?: FileFault }) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) worker.unref()
      if (fault) waiting?.reject(fileError(fault))
      else waiting?.resolve(answer)
    })
    worker.on('error', (error) => this.#fail(error))
    this.#worker = worker
    return worker
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

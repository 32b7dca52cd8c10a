/** The builder's side of the thread that reads files. */
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { CaissonError } from '../../errors.js'
import { packageRoot } from '../../native/addon.js'
import type { FileFault, FileTasks } from './entry.js'

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

const stopped = () => new CaissonError('ERR_CAISSON_ABORTED', 'build: stopped', { stage: 'build' })

const HINTS: Record<string, string> = {
  EACCES: 'Leave it out by .dockerignore, or make it readable for this user.',
  EPERM: 'Leave it out by .dockerignore, or make it readable for this user.',
  ENOENT: 'It vanished during the build: leave it out by .dockerignore, or build from a copy.',
  ENOTDIR: 'It was exchanged during the build: leave it out by .dockerignore, or build from a copy.',
  ELOOP: 'It became a symbolic link during the build: leave it out by .dockerignore, or build from a copy.',
  ENOSPC: 'The disk is full: free space, or set CAISSON_ROOT to another disk.',
}

function fileError({ message, path: at, code, syscall, errno }: FileFault): CaissonError {
  const known = code !== undefined && syscall !== undefined && errno !== undefined
  const error = code === 'ENOSPC' ? 'ERR_CAISSON_RESOURCE_EXHAUSTED' : 'ERR_CAISSON_FILE'
  // The path in Node's message is a descriptor's.
  const text = known ? `${at}: ${syscall}: ${code}` : message
  return new CaissonError(error, `build: ${text}`, {
    stage: 'build',
    hint: HINTS[code ?? ''] ?? 'Build from files that nobody changes meanwhile.',
    ...(known ? { cause: { code, syscall, errno, path: at } } : {}),
  })
}

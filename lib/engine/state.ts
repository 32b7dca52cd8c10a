/** What one server knows beside what the library does: what clients asked for, and the programs they execute. */
import { Container } from '../container.js'
import { CaissonError } from '../errors.js'
import type { Json } from '../spec/json.js'
import { Events } from './events.js'
import type { Exec } from './exec.js'
import { ApiError } from './failure.js'

/** A container of this process, and what a client asked for when it had it made (empty when another part made it). */
export interface Kept {
  container: Container
  /** Of the body of its creation. */
  config: Json
  hostConfig: Json
  imageId: string
  /** Its standard input is closed when the first one who was attached to it leaves. */
  stdinOnce: boolean
  autoRemove: boolean
  /** It is about to be started again: it ends, and is not removed. */
  held: boolean
  /** Of its last end; null before it. */
  exitCode: number | null
  /** Why it could not be started the last time. */
  error: string
}

/** Programs that have ended and are remembered, of all containers: whoever wants their exit code asks soon. */
const EXECS_MAX = 2000

export class State {
  readonly events = new Events()
  readonly #kept = new Map<string, Kept>()
  readonly #execs = new Map<string, Exec>()

  /** Throws 404 in the words that clients look for. */
  async find(idOrName: string): Promise<Kept> {
    try {
      // Docker has a slash before names, and lets callers write it.
      return this.of(await Container.get(idOrName.replace(/^\//, '')))
    } catch (error) {
      if (!(error instanceof CaissonError) || error.code !== 'ERR_CAISSON_CONTAINER_NOT_FOUND') throw error
      throw new ApiError(404, `No such container: ${idOrName.slice(0, 200)}`)
    }
  }

  of(container: Container): Kept {
    return this.#kept.get(container.id) ?? this.adopt(container, {})
  }

  adopt(container: Container, about: Partial<Kept>): Kept {
    // Whoever lists containers may have seen it before the one who has it made.
    const known = this.#kept.get(container.id)
    if (known) return Object.assign(known, about)
    const kept: Kept = {
      container,
      config: {},
      hostConfig: {},
      imageId: '',
      stdinOnce: false,
      autoRemove: false,
      held: false,
      exitCode: container.inspect().state.exitCode,
      error: '',
      ...about,
    }
    this.#kept.set(container.id, kept)
    // As many clients as like wait for its end.
    container.setMaxListeners(0)
    this.events.follow(container)
    container.on('exit', () => {
      kept.exitCode = container.inspect().state.exitCode
      // It is still ending; and its policy may start it again.
      if (kept.autoRemove && !kept.held) setImmediate(() => void this.#removeEnded(container))
    })
    container.once('remove', () => {
      this.#kept.delete(container.id)
      for (const [id, exec] of this.#execs) if (exec.container === container) this.#execs.delete(id)
    })
    return kept
  }

  async #removeEnded(container: Container): Promise<void> {
    await container.remove({ force: true, volumes: true }).catch((error) => process.emitWarning(error))
  }

  addExec(exec: Exec): void {
    this.#execs.set(exec.id, exec)
    if (this.#execs.size <= EXECS_MAX) return
    for (const [id, { running }] of this.#execs)
      if (!running) {
        this.#execs.delete(id)
        return
      }
  }

  exec(id: string): Exec {
    const exec = this.#execs.get(id)
    if (exec) return exec
    throw new ApiError(404, `No such exec instance: ${id.slice(0, 200)}`)
  }

  execsOf(container: Container): Exec[] {
    return [...this.#execs.values()].filter((exec) => exec.container === container)
  }
}

/** What the containers of a project print, as one stream. */
import { setTimeout as sleep } from 'node:timers/promises'
import { readLog } from '../runtime/container/log.js'
import type { ProjectContainer } from './running.js'

export interface ProjectLogOptions {
  /** Go on with what comes, until all containers have ended. */
  follow?: boolean
  /** Of these alone. */
  services?: readonly string[]
  /** Of what is there already, only the last so many lines of each container. */
  tail?: number
  since?: Date | number
  signal?: AbortSignal
}

export interface ProjectLogEntry {
  service: string
  container: string
  time: Date
  stream: 'stdout' | 'stderr'
  /** One line with its newline. */
  data: Buffer
}

/** Milliseconds between looks at which containers there are. */
const INTERVAL = 200

const goesOn = ({ state, restarting }: ProjectContainer) =>
  state === 'running' || state === 'paused' || state === 'created' || restarting

/** @param list which containers there are now; none: the project is down. */
export async function* projectLogs(
  list: () => Promise<ProjectContainer[]>,
  options: ProjectLogOptions,
): AsyncGenerator<ProjectLogEntry, void, undefined> {
  const { follow = false, services, signal } = options
  const live = new Set<string>()
  const look = async () => {
    const all = (await list()).filter(({ service }) => !services || services.includes(service))
    live.clear()
    // One that has ended may be started again as long as another one goes on.
    if (all.some(goesOn)) for (const { id } of all) live.add(id)
    return all
  }
  const merged = new Merged<ProjectLogEntry>()
  const seen = new Set<string>()
  const add = (containers: readonly ProjectContainer[]) => {
    for (const { id, name, service, log } of containers) {
      if (seen.has(id)) continue
      seen.add(id)
      merged.add(
        entriesOf(
          readLog(log, options, () => !live.has(id)),
          service,
          name,
        ),
      )
    }
  }
  add(await look())
  const watching = new AbortController()
  const watch = async () => {
    while (!watching.signal.aborted && !signal?.aborted) {
      await sleep(INTERVAL, undefined, { signal: watching.signal }).catch(() => undefined)
      add(await look())
      if (live.size === 0) return
    }
  }
  if (follow && live.size > 0) merged.hold(watch())
  try {
    yield* merged
  } finally {
    watching.abort()
    live.clear()
  }
}

async function* entriesOf(
  log: ReturnType<typeof readLog>,
  service: string,
  container: string,
): AsyncGenerator<ProjectLogEntry> {
  for await (const entry of log) yield { service, container, ...entry }
}

/** Several streams as one, in the order in which things come; each waits until what it gave was taken. */
class Merged<T> implements AsyncIterable<T> {
  readonly #waiting = new Map<AsyncIterator<T>, Promise<[AsyncIterator<T> | undefined, IteratorResult<T>]>>()
  /** While it goes on, more streams may come. */
  #held: Promise<void> | undefined
  #wake: () => void = () => undefined

  add(stream: AsyncIterable<T>): void {
    this.#next(stream[Symbol.asyncIterator]())
    this.#wake()
  }

  hold(work: Promise<void>): void {
    this.#held = work.finally(() => {
      this.#held = undefined
      this.#wake()
    })
    this.#held.catch(() => undefined)
  }

  #next(iterator: AsyncIterator<T>): void {
    this.#waiting.set(
      iterator,
      iterator.next().then((result) => [iterator, result]),
    )
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      while (this.#waiting.size > 0 || this.#held) {
        const woken = new Promise<[undefined, IteratorResult<T>]>((resolve) => {
          this.#wake = () => resolve([undefined, { done: true, value: undefined }])
        })
        const [iterator, result] = await Promise.race([woken, ...this.#waiting.values()])
        if (!iterator) continue
        if (result.done) this.#waiting.delete(iterator)
        else {
          this.#next(iterator)
          yield result.value
        }
      }
    } finally {
      for (const iterator of this.#waiting.keys()) void iterator.return?.()
    }
  }
}

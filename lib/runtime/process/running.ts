/** A process in the care of the addon: its events as promises, its end as a report. */
import { constants } from 'node:os'
import {
  addon,
  type NativeAgent,
  type NativeCause,
  type NativeInstance,
  type NativeProcess,
  type NativeReport,
  type NativeRequest,
  type NativeRun,
} from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import { awake } from '../../util/awake.js'

export interface RunningEvents {
  started?(pid: number): void
  synchronising?(pid: number): void
  ready?(): void
  /** The master side of the terminal; the receiver closes it. */
  console?(fd: number): void
}

/** Ends of streams that the addon has been given, by their list: it closes them. */
const handedOver = new WeakSet<object>()

export function isHandedOver(stdio: object): boolean {
  return handedOver.has(stdio)
}

/** When nothing is left of pool containers whose end was told. */
export function whenGone(): Promise<void> {
  return awake(new Promise((resolve) => addon().whenGone(resolve)))
}

export class Running {
  readonly ended: Promise<NativeReport>
  /** Who is told; another one takes over when a parked process gets its program. */
  events: RunningEvents
  readonly #process: NativeProcess
  #over = false
  #asked = false

  constructor(request: NativeRequest | NativeInstance, events: RunningEvents = {}) {
    this.events = events
    let end: (report: NativeReport) => void
    this.ended = new Promise((resolve) => {
      end = resolve
    })
    if (request.stdio) handedOver.add(request.stdio)
    this.#process = addon().start(request, (...event) => {
      switch (event[0]) {
        case 'started':
          return this.events.started?.(event[1])
        case 'synchronising':
          return this.events.synchronising?.(event[1])
        case 'ready':
          return this.events.ready?.()
        case 'console':
          if (this.events.console) return this.events.console(event[1])
          return addon().closeFd(event[1])
        case 'ended':
          this.#over = true
          event[1].asked = this.#asked
          return end(event[1])
      }
    })
  }

  get over(): boolean {
    return this.#over
  }

  /** Everything in its cgroup dies; the report gives the cause. */
  kill(cause: NativeCause): void {
    if (this.#over) return
    this.#asked = true
    addon().kill(this.#process, cause)
  }

  signal(number: number): void {
    if (!this.#over) addon().signal(this.#process, number)
  }

  /** The rest, for one that is parked. */
  resume(run: NativeRun): void {
    if (run.stdio) handedOver.add(run.stdio)
    addon().resume(this.#process, run)
  }

  /** For one that was started quietly: `started` is told after all. */
  askStarted(): void {
    if (!this.#over) addon().askStarted(this.#process)
  }

  /** See Addon.pidfd; -1 when it has ended. */
  pidfd(): number {
    if (this.#over) return -1
    const fd = addon().pidfd(this.#process)
    if (fd >= 0 || fd === -constants.errno.ESRCH) return Math.max(fd, -1)
    throw errorFromFailure({ stage: 'process', syscall: 'fcntl', errno: -fd, path: '', record: -1 })
  }

  /** It was killed, or is gone, whether anybody was told yet or not. */
  get isEnding(): boolean {
    if (this.#asked) return true
    const fd = this.pidfd()
    if (fd >= 0) addon().closeFd(fd)
    return fd < 0
  }

  /** Answers `synchronising`. */
  go(): void {
    if (!this.#over) addon().go(this.#process)
  }

  /** It was moved to this cgroup, too, which is removed with its own. */
  addCgroup(directory: string): void {
    addon().addCgroup(this.#process, directory)
  }

  /** v1: a limit of memory is about to come; `oomControl` of its cgroup plan. */
  watchOom(oomControl: string): Promise<void> {
    return awake(new Promise((resolve) => addon().watchOom(this.#process, oomControl, resolve)))
  }

  /** The file agent, of a process that is ready in AGENT; undefined when it has ended meanwhile. */
  takeControl(): Promise<NativeAgent | undefined> {
    return new Promise((resolve) => addon().agent(this.#process, resolve))
  }

  /** Takes a captured stream over: the pipe (-1 when it has ended) and what came so far. */
  detach(stream: 0 | 1): Promise<{ fd: number; bytes: Buffer }> {
    // One that has ended keeps nothing alive until the answer comes.
    return awake(
      new Promise((resolve) => {
        addon().detach(this.#process, stream, (fd, bytes) => resolve({ fd, bytes }))
      }),
    )
  }
}

/** The health of what run() has started, asked for as that of a kept container. */
import { Execution } from './execution.js'
import { execute } from './runtime/container/execute.js'
import { HealthMonitor, type HealthPlan } from './runtime/container/health.js'
import { wrongState } from './runtime/container/wrong-state.js'
import type { Assembled } from './runtime/options/assemble.js'
import { announceHealth, type Subject } from './runtime/process/events.js'
import { Execs } from './runtime/process/exec.js'
import type { Owner } from './runtime/process/owner.js'
import type { Running, RunningEvents } from './runtime/process/running.js'
import type { ExecResult } from './runtime/process/verdict.js'
import { deferred } from './util/deferred.js'

export interface Watched {
  subject: Subject
  assembled: Assembled
  owner: Owner
}

export class RunHealth {
  readonly #plan: HealthPlan
  readonly #watched: Watched
  readonly #execs: Execs
  readonly #exit = deferred<ExecResult>()
  #running: Running | undefined
  #monitor: HealthMonitor | undefined

  constructor(plan: HealthPlan, watched: Watched) {
    this.#plan = plan
    this.#watched = watched
    this.#execs = new Execs({ ...watched.assembled, owner: watched.owner })
  }

  /** Begins when the program runs. */
  watching(events: RunningEvents, running: () => Running): RunningEvents {
    return {
      ...events,
      started: (pid) => {
        this.#begin(running())
        events.started?.(pid)
      },
    }
  }

  #begin(running: Running): void {
    if (running.over) return
    this.#running = running
    this.#monitor = new HealthMonitor(
      this.#plan,
      async (command, timeout) => (await this.#execute(command, timeout)).exitCode === 0,
      (health) => announceHealth(this.#watched.subject, health),
    )
  }

  /** It has ended. */
  end(): void {
    this.#monitor?.stop()
    this.#running = undefined
    this.#execs.endAll()
    this.#execs.forget()
  }

  /** A check of its last moment may wait for what became of it. */
  concluded(result: ExecResult): void {
    this.#exit.resolve(result)
  }

  #execute(command: readonly string[], timeout: number): Execution {
    const { subject, assembled } = this.#watched
    const options = { timeout }
    const inside = {
      parts: { id: subject.container, assembled },
      life: { running: this.#running, exit: this.#exit.promise },
      execs: this.#execs,
      wrongState: () => wrongState('health', subject.container, 'exited'),
    }
    return new Execution(async (request) => execute(inside, command, options, request), options)
  }
}

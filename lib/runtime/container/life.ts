/** The life of a kept container's program: started, ended, started again; with its health watched meanwhile. */
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaissonError } from '../../errors.js'
import type { Note } from '../../native/failure.js'
import type { RestartPolicy } from '../../options.js'
import { checkAborted, unlessAborted } from '../../util/abort.js'
import { deferred } from '../../util/deferred.js'
import { TIMER_MAX } from '../../util/units.js'
import { type Lowered, lower } from '../lower/lower.js'
import type { Assembled } from '../options/assemble.js'
import type { Running } from '../process/running.js'
import { type StartRequest, start } from '../process/start.js'
import { type ExecResult, verdict, withText } from '../process/verdict.js'
import { type Health, HealthMonitor, type HealthPlan, type Probe } from './health.js'
import type { Hooks } from './hooks.js'
import type { LiveStreams } from './live-streams.js'
import { LOG_LEAST, readOutput } from './log.js'
import { Restarter } from './restart.js'

export type ContainerState = 'created' | 'running' | 'paused' | 'exited' | 'removed'

export interface LifeEvents {
  started(pid: number): void
  ended(result: ExecResult): void
  health(status: Health): void
  changed(): void
}

/** Made for each run, and given back after it. */
export interface RunNetwork {
  start(): Promise<void>
  handedOver(): void
  stop(): Promise<void>
}

export interface LifeOptions {
  assembled: Pick<Assembled, 'workload' | 'cgroup'>
  log: string
  /** Bytes of it; 0: none. */
  logLimit: number
  stdinOpen: boolean
  /** Its output passes through this process: somebody may attach. */
  live?: LiveStreams
  stopSignal: number
  health: HealthPlan | undefined
  probe: Probe
  restart: RestartPolicy
  hooks?: Hooks
  events: LifeEvents
  /** The container's files are about to be mounted for the program; nobody else may have them mounted. */
  beforeStart(): Promise<void>
  /** Its network namespace, for workloads that have one made for them. */
  network?: RunNetwork
}

export class Life {
  readonly #options: LifeOptions
  #state: ContainerState = 'created'
  #running: Running | undefined
  #pid: number | null = null
  #monitor: HealthMonitor | undefined
  #restarter: Restarter
  /** Someone ended it on purpose. */
  #intended = false
  #starting: Promise<void> | undefined
  /** It has ended, and its policy starts it again. */
  #pending = false
  #exit = deferred<ExecResult>()
  #result: ExecResult | undefined
  startedAt: Date | undefined
  finishedAt: Date | undefined

  constructor(options: LifeOptions) {
    this.#options = options
    this.#restarter = new Restarter(options.restart)
  }

  get state(): ContainerState {
    return this.#state
  }
  get pid(): number | null {
    return this.#pid
  }
  get running(): Running | undefined {
    return this.#running
  }
  /** Of a program that is on its way. */
  get starting(): Promise<void> | undefined {
    return this.#starting
  }
  get result(): ExecResult | undefined {
    return this.#result
  }
  get restarts(): number {
    return this.#restarter.count
  }
  /** It has ended, and will be started again by itself. */
  get restarting(): boolean {
    return this.#pending && !this.#intended
  }
  get health(): Health {
    return this.#monitor?.status ?? 'none'
  }

  /** The end of the present run, or of the next one when there is none. */
  get exit(): Promise<ExecResult> {
    return this.#exit.promise
  }

  /** Whoever still waits for a run that will never be is told. */
  removed(): void {
    this.setState('removed')
    this.#options.live?.removed()
    if (this.#exit.settled) return
    this.#exit.promise.catch(() => undefined)
    this.#exit.reject(
      new CaissonError('ERR_CAISSON_INVALID_STATE', 'the container was removed and had not been started', {
        stage: 'wait',
        hint: 'Create a new container.',
      }),
    )
  }

  setState(state: ContainerState): void {
    this.#state = state
    this.#options.events.changed()
  }

  /** Resolves when the program runs. Where the caller gives up, it is ended. */
  async start(signal?: AbortSignal): Promise<void> {
    checkAborted(signal, 'start')
    const started = this.#start()
    await unlessAborted(started, signal, 'start').catch((error) => {
      // Started or not, it is not wanted any more.
      if (signal?.aborted) void started.then(() => this.kill(constants.signals.SIGKILL)).catch(() => undefined)
      throw error
    })
  }

  async #start(): Promise<void> {
    if (this.#starting || this.#state === 'running' || this.#state === 'paused')
      throw new CaissonError('ERR_CAISSON_INVALID_STATE', 'the container is running already', {
        stage: 'start',
        hint: 'Use restart() to start it anew, or exec() for another program in it.',
      })
    if (this.#state === 'removed')
      throw new CaissonError('ERR_CAISSON_INVALID_STATE', 'the container is removed', {
        stage: 'start',
        hint: 'Create a new container.',
      })
    this.#restarter = new Restarter(this.#options.restart)
    await this.#startOnce()
  }

  #startOnce(): Promise<void> {
    this.#starting = this.#launch().finally(() => {
      this.#starting = undefined
    })
    return this.#starting
  }

  async #launch(): Promise<void> {
    const { assembled, log, events, live } = this.#options
    await this.#options.beforeStart()
    if (this.#exit.settled) this.#exit = deferred()
    this.#result = undefined
    this.#intended = false
    const { hooks, network } = this.#options
    await network?.start()
    const since = Date.now()
    const started = deferred<number>()
    let synchronised = false
    let lowered: Lowered
    let running: Running
    try {
      const request = { ...this.#streams(), killRest: true, devices: assembled.workload.devices }
      lowered = lower(assembled.workload, { hooks })
      running = start(lowered, assembled.cgroup, request, {
        started: started.resolve,
        ...(live ? { console: (fd) => live.attachConsole(fd) } : {}),
        synchronising: (pid) => {
          // Asked for once. Who is in its pid namespace already, and may trace it, can say so again.
          if (synchronised) return
          synchronised = true
          void hooks?.run(hooks.runtime, 'createRuntime', 'creating', pid).then(
            () => running.go(),
            (error) => {
              started.reject(error)
              running.kill('stopped')
            },
          )
        },
      })
    } catch (error) {
      live?.abandon()
      await network?.stop()
      throw error
    }
    // Only what fails before the program starts is explained by them, and held containers are many.
    let notes: readonly Note[] = lowered.plan.notes
    this.#running = running
    network?.handedOver()
    const ended = running.ended.then(async (report) => {
      await live?.end()
      await network?.stop()
      const outcome = verdict(report, assembled.cgroup.files, notes)
      if (outcome instanceof CaissonError) started.reject(outcome)
      else if (report.refused) started.reject(report.refused)
      return outcome
    })
    let pid: number
    try {
      pid = await started.promise
    } catch (error) {
      this.#running = undefined
      const outcome = await ended
      if (outcome instanceof CaissonError) this.#exit.reject(error)
      else this.#finish(outcome)
      this.setState('exited')
      throw error
    }
    notes = []
    this.#pid = pid
    this.startedAt = new Date()
    this.finishedAt = undefined
    this.setState('running')
    if (this.#options.health)
      this.#monitor = new HealthMonitor(this.#options.health, (...check) => this.#probe(...check), events.health)
    events.started(pid)
    // A failure of these changes nothing any more (runtime-spec: "MUST generate a warning").
    await hooks?.run(hooks.poststart, 'poststart', 'running', pid).catch((error) => process.emitWarning(error))
    void ended.then(async (outcome) => this.#ended(await withOutput(outcome as ExecResult, log, since)))
  }

  /** What is frozen does not answer, and is not ill. */
  async #probe(...check: Parameters<Probe>): Promise<boolean | undefined> {
    const passed = await this.#options.probe(...check).catch(() => false)
    return passed || this.#state !== 'paused' ? passed : undefined
  }

  /** Without a log the output goes nowhere. */
  #streams(): Pick<StartRequest, 'stdio' | 'log' | 'logLimit'> {
    const { log, logLimit, stdinOpen, assembled, live } = this.#options
    if (live) return { stdio: live.begin() }
    const input = stdinOpen ? 'open' : 'null'
    // A terminal is read by us alone; nobody else could.
    if (logLimit === 0 && !assembled.workload.spec.process?.terminal) return { stdio: [input, 'null', 'null'] }
    return { stdio: [input, 'capture', 'capture'], log, logLimit: Math.max(logLimit, LOG_LEAST) }
  }

  #ended(result: ExecResult): void {
    this.#monitor?.stop()
    this.#running = undefined
    this.#pid = null
    this.finishedAt = new Date()
    const delay = this.#intended ? undefined : this.#restarter.next(result)
    this.#pending = delay !== undefined
    this.#finish(result)
    if (this.#state !== 'removed') this.setState('exited')
    if (delay !== undefined) void this.#again(delay)
  }

  #finish(result: ExecResult): void {
    this.#result = result
    this.#exit.resolve(result)
    this.#options.events.ended(result)
  }

  async #again(delay: number): Promise<void> {
    await sleep(delay)
    if (this.#state !== 'exited' || this.#intended || this.#starting) return
    // A start that fails ends the trying: it will not get better by itself.
    await this.#startOnce().catch(() => {
      this.#pending = false
      this.#options.events.changed()
    })
  }

  /** Sends a signal; SIGKILL takes all that is in the container. */
  kill(signal: number): void {
    if (signal === constants.signals.SIGKILL) {
      this.#intended = true
      this.#running?.kill('stopped')
    } else this.#running?.signal(signal)
  }

  /** Asks politely, waits, then kills. */
  async stop(graceMs: number): Promise<void> {
    this.#intended = true
    const running = this.#running
    if (!running) return
    running.signal(this.#options.stopSignal)
    const controller = new AbortController()
    const timer = sleep(Math.min(graceMs, TIMER_MAX), true, { signal: controller.signal }).catch(() => false)
    const late = await Promise.race([timer, running.ended.then(() => false)])
    controller.abort()
    if (late) running.kill('stopped')
    await running.ended
    await this.exit
  }

  /** Waits for a start that is under way. */
  async settled(): Promise<void> {
    await this.#starting?.catch(() => undefined)
  }
}

/** Whether this run is over, for who failed at what goes before anybody is told of its end: it waits for that. */
export async function isOver(life: Pick<Life, 'running' | 'exit'>, running: Running): Promise<boolean> {
  if (life.running === running && running.isEnding) await life.exit.catch(() => undefined)
  return life.running !== running
}

/** Bytes of output that a result holds; all of it is in the log. */
const RESULT_OUTPUT = 8 * 1024 * 1024

/** What was printed since the start went to the log. */
async function withOutput(result: ExecResult, log: string, since: number): Promise<ExecResult> {
  const { stdout, stderr, truncated } = await readOutput(log, since, RESULT_OUTPUT)
  const { stdout: _, stderr: __, ...rest } = result
  return withText({
    ...rest,
    truncated: result.truncated || truncated,
    stdoutBytes: stdout,
    stderrBytes: stderr,
  })
}

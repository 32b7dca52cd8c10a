/** Containers made ahead, each for one program. */
import { CaissonError, invalidArgument } from './errors.js'
import { Execution } from './execution.js'
import { Image } from './image.js'
import type { Note } from './native/failure.js'
import type { ContainerOptions, ExecOptions } from './options.js'
import { attach, releaseAttachment, startAttachment } from './runtime/container/attachments.js'
import { takePlace, tierOf } from './runtime/isolation/place.js'
import { type Lowered, lower, prepareProgram } from './runtime/lower/lower.js'
import { Plan } from './runtime/lower/plan.js'
import { execute, injectFiles } from './runtime/lower/program.js'
import { type Assembled, injectedFiles } from './runtime/options/assemble.js'
import { checkContainerOptions, checkPoolRunOptions } from './runtime/options/check.js'
import { userText } from './runtime/options/process.js'
import { copyOptions, type Plain, sameOptions } from './runtime/options/same.js'
import type { Workload } from './runtime/options/workload.js'
import { checkCommand, execEnvironment, execProcess } from './runtime/process/exec.js'
import { type Launched, type LaunchRequest, limitsOf } from './runtime/process/launch.js'
import { owner } from './runtime/process/owner.js'
import { type Running, whenGone } from './runtime/process/running.js'
import { checkCounted, start } from './runtime/process/start.js'
import { verdict, verdictOfCall } from './runtime/process/verdict.js'
import { DEFAULT_PATH } from './spec/defaults.js'
import type { SpecProcess } from './spec/runtime.js'
import { type Abortable, aborted, checkAborted, unlessAborted } from './util/abort.js'
import { awake } from './util/awake.js'
import { deferred } from './util/deferred.js'
import { newId } from './util/ids.js'

export interface PoolOptions extends ContainerOptions {
  /** Containers that wait; from 1. Each holds about 350 kB. */
  size: number
}

/** What a program in a prepared container takes. */
export interface PoolRunOptions extends ExecOptions {
  /** Written before the program starts, by path inside; as for run(). */
  files?: ContainerOptions['files']
}

/** A container in which everything is done but the program. */
interface Prepared {
  id: string
  running: Running
  lowered: Lowered
  assembled: Assembled
}

/** Records of a plan, and what they are for. */
interface ProgramPart {
  records: Buffer
  notes: readonly Note[]
}

/** Options that this part of a plan does not depend on. */
const OF_ONE_RUN = new Set(['env', 'files', 'input', 'timeout', 'cpuTimeout', 'maxOutput', 'signal', 'throwOnError'])

/** Who a program is to be is looked up in these. */
const ACCOUNTS = ['/etc/passwd', '/etc/group']
/** Directories in which a command is looked for ahead. */
const SEARCHED_MAX = 16
/** Containers that have pipes for their program's output while they wait: four descriptors each. */
const PIPES_MAX = 64
/** Prepared at the same time, at most: the runs that are under way need the processors too. */
const PREPARING_MAX = 2
/** Milliseconds that a new one may wait for. */
const SOON = 5
/** Milliseconds to the next try after one could not be prepared. */
const RETRY = 250

/**
 * Keeps `size` containers ready. run() takes one, gives it its program, and another is prepared in the background; none
 * is ever used twice.
 */
export class Pool implements AsyncDisposable {
  readonly size: number
  readonly #image: string | Image
  readonly #options: ContainerOptions
  readonly #idle: Prepared[] = []
  readonly #waiting: Array<ReturnType<typeof deferred<Prepared>>> = []
  readonly #active = new Set<Running>()
  /** Those that are being prepared, with those for a terminal, which are not among the next. */
  readonly #making = new Set<Promise<Prepared>>()
  readonly #closing = new AbortController()
  #preparing = 0
  #program: (ProgramPart & { options: { [name: string]: Plain } }) | undefined
  #environment: string[] | undefined
  /** Where the program that ran last may lie: most run the same again. */
  #paths: readonly string[] = ACCOUNTS
  #full = deferred<void>()
  #retry: NodeJS.Timeout | undefined
  #soon: NodeJS.Timeout | undefined

  constructor(image: string | Image, options: PoolOptions) {
    if (typeof options !== 'object' || options === null)
      throw invalidArgument('options', options, 'an object with a size')
    const { size, ...rest } = options
    if (!Number.isInteger(size) || size < 1 || size > 1024)
      throw invalidArgument('size', size, 'an integer from 1 to 1024')
    checkContainerOptions(rest)
    this.size = size
    this.#image = image
    this.#options = rest
    this.#fill()
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Resolves when as many as asked for wait; rejects when one cannot be prepared. */
  async ready(options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'pool')
    if (this.#closed) throw closed()
    if (this.#idle.length >= this.size) return
    this.#fill()
    await unlessAborted(awake(this.#full.promise), options.signal, 'pool')
  }

  /** Runs a program in a container of its own, as run() does. With a terminal its container is only made now. */
  run(command: readonly string[], options: PoolRunOptions = {}): Execution {
    return new Execution((request) => this.#launch(command, options, request), options)
  }

  /** Ends the programs that still run in its containers, too. Nothing of it is left when it resolves. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#retry)
    clearTimeout(this.#soon)
    for (const waiter of this.#waiting.splice(0)) waiter.reject(closed())
    this.#full.reject(closed())
    const left = [...this.#idle.splice(0).map(({ running }) => running), ...this.#active]
    for (const running of left) running.kill('stopped')
    const late = [...this.#making].map((making) => making.then(({ running }) => endOf(running), nothing))
    await awake(Promise.all([...left.map(({ ended }) => ended), ...late]))
    await whenGone()
  }

  async #launch(command: readonly string[], options: PoolRunOptions, request: LaunchRequest): Promise<Launched> {
    checkPoolRunOptions(options)
    const holder = await owner()
    const { id, running, lowered, assembled } = await (options.tty ? this.#make(request) : this.#take(request))
    try {
      if (this.#closed) throw closed()
      const { workload, cgroup } = assembled
      checkCommand(command)
      checkCounted(request, cgroup, holder.cgroups)
      const rest = new Plan()
      injectFiles(rest, injectedFiles(options.files), workload.sandbox)
      const { records, notes } = this.#programFor(workload, lowered, options)
      rest.append(records, notes)
      const main = workload.spec.process as SpecProcess
      const env = this.#environmentFor(main, options)
      execute(rest, { args: [...command], env })
      running.events = request.events
      running.resume({ ...limitsOf(request), plan: rest.finish() })
      rest.release()
      this.#paths = [...ACCOUNTS, ...pathsOf(command[0] as string, env)]
      return {
        running,
        subject: { kind: 'pool', container: id, command, tier: tierOf(workload) },
        conclude(report) {
          const result = verdictOfCall(report, cgroup.files, rest.notes)
          if (result instanceof CaissonError) throw result
          return result
        },
      }
    } catch (error) {
      running.kill('stopped')
      throw error
    }
  }

  /** All that a program needs before it is executed. The same for every container, so the last one is kept. */
  #programFor(workload: Workload, { slots, walls }: Lowered, options: PoolRunOptions): ProgramPart {
    const last = this.#program
    if (last && sameOptions(last.options, options, OF_ONE_RUN)) return last
    const process = execProcess(workload.spec.process as SpecProcess, ['/'], options)
    const user = options.user === undefined ? workload.user : userText(options.user, {})
    const plan = new Plan()
    prepareProgram(plan, { ...workload, spec: { ...workload.spec, process }, user }, slots, walls)
    const part = { records: Buffer.from(plan.records()), notes: plan.notes }
    plan.release()
    const kept = copyOptions(options, OF_ONE_RUN)
    if (kept) this.#program = { ...part, options: kept }
    return part
  }

  #environmentFor(main: SpecProcess, options: PoolRunOptions): string[] {
    if (options.env !== undefined || options.tty !== undefined) return execEnvironment(main, options)
    this.#environment ??= execEnvironment(main, {})
    return this.#environment
  }

  /** For a program with a terminal: what the others are protected by from the start would not let it have one. */
  async #make(request: LaunchRequest): Promise<Prepared> {
    if (this.#closed) throw closed()
    const making = awake(this.#prepare(true)).then((prepared) => this.#give(prepared))
    const end = () => making.then(({ running }) => endOf(running), nothing)
    return await unlessAborted(making, request.signal(), 'pool').catch((error) => {
      void end()
      throw error
    })
  }

  async #take(request: LaunchRequest): Promise<Prepared> {
    if (this.#closed) throw closed()
    // One that has died meanwhile is passed over.
    for (let prepared = this.#idle.shift(); prepared; prepared = this.#idle.shift())
      if (!prepared.running.over) {
        this.#fillSoon()
        return this.#give(prepared)
      }
    const waiter = deferred<Prepared>()
    this.#waiting.push(waiter)
    this.#fill()
    const signal = request.signal()
    // At once, so that no container is given to who has left.
    const leave = () => {
      const at = this.#waiting.indexOf(waiter)
      if (at < 0) return
      this.#waiting.splice(at, 1)
      waiter.reject(aborted(signal, 'pool'))
    }
    signal.addEventListener('abort', leave, { once: true })
    if (signal.aborted) leave()
    try {
      return await awake(waiter.promise)
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** From now on it is ended as one with a program is. */
  #give(prepared: Prepared): Prepared {
    const { running } = prepared
    this.#active.add(running)
    void running.ended.then(() => this.#active.delete(running))
    return prepared
  }

  /** The program that just got its container comes first, as long as enough are left for the next ones. */
  #fillSoon(): void {
    if (this.#idle.length * 2 < this.size) this.#fill()
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined
      this.#fill()
    }, SOON)
    this.#soon.unref()
  }

  #fill(): void {
    const missing = () => this.size + this.#waiting.length - this.#idle.length - this.#preparing
    while (!this.#closed && this.#preparing < PREPARING_MAX && missing() > 0) {
      this.#preparing++
      this.#prepare().then(
        (prepared) => this.#add(prepared),
        (error) => this.#fail(error),
      )
    }
  }

  #add(prepared: Prepared): void {
    this.#preparing--
    const waiter = this.#waiting.shift()
    if (this.#closed) prepared.running.kill('stopped')
    else if (waiter) waiter.resolve(this.#give(prepared))
    else this.#idle.push(prepared)
    if (this.#idle.length >= this.size) {
      this.#full.resolve()
      this.#full = deferred()
    }
    this.#fill()
  }

  /** Whoever waits is told; if it was only for a moment, the next try succeeds. */
  #fail(error: unknown): void {
    this.#preparing--
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error)
    this.#full.reject(error)
    this.#full = deferred()
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.#fill(), RETRY)
    this.#retry.unref()
  }

  #prepare(terminal = false): Promise<Prepared> {
    const making = this.#assemble(terminal)
    const made = () => this.#making.delete(making)
    this.#making.add(making)
    making.then(made, made)
    return making
  }

  async #assemble(terminal: boolean): Promise<Prepared> {
    const holder = await owner()
    const signal = this.#closing.signal
    const root = await (await Image.resolve(this.#image, { ...this.#options, signal })).rootfs(signal)
    if (this.#closed) throw closed()
    // A command is needed to assemble; the one that is run comes later.
    const options = this.#options
    const place = await takePlace(holder, options)
    const ready = deferred<void>()
    let waits = false
    const id = newId()
    let prepared: Prepared
    try {
      const network = await attach(options, holder, {
        id,
        hostname: options.hostname,
        exposed: root.config.ExposedPorts,
      })
      const assembled = place.assemble({ id, image: root, command: ['/'], network })
      if (network) await startAttachment(network, place.namespaces)
      const lowered = lower(assembled.workload, { parked: { terminal, paths: this.#paths } })
      const request = { devices: assembled.workload.devices, killRest: true, parks: true, background: true }
      const running = start(
        lowered,
        assembled.cgroup,
        { ...request, stdio: this.size > PIPES_MAX ? ['null', 'null', 'null'] : ['null', 'capture', 'capture'] },
        {
          ready: () => {
            waits = true
            ready.resolve()
          },
        },
      )
      network?.handedOver()
      prepared = { id, running, lowered, assembled }
    } catch (error) {
      await place.close()
      await releaseAttachment(id)
      throw error
    }
    const { running, lowered, assembled } = prepared
    void running.ended.then((report) => {
      void place.close()
      void releaseAttachment(id)
      // Whoever took it asks for the result.
      if (waits) return
      const outcome = verdict(report, assembled.cgroup.files, lowered.plan.notes)
      ready.reject(outcome instanceof CaissonError ? outcome : closed())
    })
    await ready.promise
    return prepared
  }
}

/** Where a command may lie that is searched for as execvp(3) does. */
function pathsOf(name: string, env: readonly string[]): string[] {
  if (name.includes('/')) return [name]
  const search = env.find((variable) => variable.startsWith('PATH='))?.slice('PATH='.length) ?? DEFAULT_PATH
  return search.split(':', SEARCHED_MAX).map((directory) => `${directory}/${name}`)
}

function endOf(running: Running): Promise<unknown> {
  running.kill('stopped')
  return running.ended
}

function nothing(): void {}

function closed(): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_STATE', 'the pool is closed', { stage: 'pool', hint: 'Make a new one.' })
}

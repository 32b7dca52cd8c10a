/** A project of a compose file, as its user holds it. */
import { enabledServices } from '../compose/project.js'
import { type ProjectConfig, writtenProject } from '../compose/write.js'
import { CaissonError } from '../errors.js'
import { type Abortable, abortable, checkAborted } from '../util/abort.js'
import { type Duration, parseDuration } from '../util/units.js'
import { type Change, changeReplicas } from './change.js'
import { askChange, askDown, askExec, askPs, type DownOptions } from './control.js'
import { removeRest, takeDown } from './down.js'
import { execHere, execThere, type ProjectExecOptions, type ProjectExecution } from './exec.js'
import { buildImages, type FetchOptions, type ImageBuildOptions, pullImages } from './images.js'
import type { Loaded } from './load.js'
import { type ProjectLogEntry, type ProjectLogOptions, projectLogs } from './logs.js'
import { heldHere, type ProjectContainer, runningOf } from './running.js'
import { bringUp, type UpOptions } from './up.js'

export interface ProjectDownOptions extends Abortable {
  /** With its named volumes; external ones stay. */
  volumes?: boolean
  /** Until a container is killed; default: its own. */
  timeout?: Duration
}

export interface ProjectChangeOptions extends Abortable {
  /** Default: all that have containers. */
  services?: readonly string[]
  /** Until a container is killed; default: its own. */
  timeout?: Duration
}

/**
 * Its containers live with the process that brought it up; other processes see them by ps() and logs(), and may stop,
 * start and remove them, and run programs in them.
 */
export class Project implements AsyncDisposable {
  readonly name: string
  /** In the order of the file. */
  readonly services: readonly string[]
  /** Services whose output nobody wants to follow (`attach: false`). */
  readonly quiet: readonly string[]
  /** Of the file, as variables that are not set. */
  readonly warnings: readonly string[]
  readonly #loaded: Loaded

  /** Internal: compose() makes them. */
  constructor(loaded: Loaded) {
    this.#loaded = loaded
    this.name = loaded.model.name
    this.services = [...loaded.model.services.keys()]
    this.quiet = [...loaded.model.services.values()].filter(({ attach }) => attach === false).map(({ name }) => name)
    this.warnings = loaded.warnings
  }

  /**
   * Resolves when all have started, each as soon as its dependencies are what it waits for. When something fails, what
   * was made is removed. Called again, it starts what has ended, and makes anew what the file says differently.
   */
  async up(options: UpOptions = {}): Promise<void> {
    checkAborted(options.signal, 'up')
    const running = runningOf(this.name)
    await running.alone(() => bringUp(running, this.#loaded, options))
  }

  /** Containers and networks, in the opposite order; whichever process holds them. It is no error when it is down. */
  down(options: ProjectDownOptions = {}): Promise<void> {
    return abortable(options.signal, 'down', () => this.#down(options))
  }

  async #down(options: ProjectDownOptions): Promise<void> {
    const timeout = options.timeout === undefined ? undefined : parseDuration(options.timeout, 'timeout')
    const asked: DownOptions = { volumes: options.volumes ?? false, ...(timeout === undefined ? {} : { timeout }) }
    const running = heldHere(this.name)
    if (running) await running.alone(() => takeDown(running, asked))
    else {
      await askDown(this.name, asked)
      await removeRest(this.name, asked.volumes ?? false)
    }
  }

  /** Ends containers, which stay as they are; whichever process holds them. Those that need others end first. */
  stop(options: ProjectChangeOptions = {}): Promise<void> {
    return abortable(options.signal, 'stop', () => this.#change('stop', options))
  }

  /** Starts containers that were stopped, or have ended, each as soon as its dependencies are what it waits for. */
  start(options: Omit<ProjectChangeOptions, 'timeout'> = {}): Promise<void> {
    return abortable(options.signal, 'start', () => this.#change('start', options))
  }

  /** Stops them, then starts them. What the file says differently by now is for up(). */
  restart(options: ProjectChangeOptions = {}): Promise<void> {
    return abortable(options.signal, 'restart', () => this.#change('restart', options))
  }

  async #change(what: Change, { services, timeout }: ProjectChangeOptions): Promise<void> {
    const asked = {
      services: services && this.#known(services),
      timeout: timeout === undefined ? undefined : parseDuration(timeout, 'timeout'),
    }
    const running = heldHere(this.name)
    if (running) await running.alone(() => changeReplicas(running, what, asked))
    else await askChange(this.name, what, asked)
  }

  /** Runs a program in a container of a service; whichever process holds it. What goes wrong is told by `ended`. */
  exec(service: string, command: readonly string[], options: ProjectExecOptions = {}): ProjectExecution {
    try {
      const { signal, ...rest } = options
      checkAborted(signal, 'exec')
      this.#known([service])
      const request = { ...rest, service, command }
      const running = heldHere(this.name)
      return running ? execHere(running, request, signal) : askExec(this.name, request, signal)
    } catch (error) {
      return execThere(Promise.reject(error), false)
    }
  }

  /** What its files come to, as one: variables, merging and short forms are behind it. compose() takes it again. */
  config({ services }: { services?: readonly string[] } = {}): ProjectConfig {
    const { model, profiles } = this.#loaded
    return writtenProject(model, enabledServices(model, profiles, services && this.#known(services)))
  }

  /** Fetches the images of services that are not built, whether they are here or not. */
  async pull(options: FetchOptions = {}): Promise<void> {
    checkAborted(options.signal, 'pull')
    if (options.services) this.#known(options.services)
    await pullImages(this.#loaded, options)
  }

  /** Builds the images of services that say how. */
  async build(options: ImageBuildOptions = {}): Promise<void> {
    checkAborted(options.signal, 'build')
    if (options.services) this.#known(options.services)
    await buildImages(this.#loaded, options)
  }

  #known(services: readonly string[]): readonly string[] {
    for (const service of services)
      if (!this.services.includes(service))
        throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `there is no service ${JSON.stringify(service)}`, {
          stage: 'compose',
          hint: `There are ${this.services.join(', ')}.`,
        })
    return services
  }

  /** Its containers, those that have ended too. */
  async ps(options: Abortable = {}): Promise<ProjectContainer[]> {
    checkAborted(options.signal, 'ps')
    const running = heldHere(this.name)
    const order = (service: string) => this.services.indexOf(service)
    const all = running ? running.ps() : await askPs(this.name)
    return all.sort((a, b) => order(a.service) - order(b.service) || a.number - b.number)
  }

  /** What they print, line by line. */
  logs(options: ProjectLogOptions = {}): AsyncGenerator<ProjectLogEntry, void, undefined> {
    return projectLogs(() => this.ps(), options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down()
  }
}

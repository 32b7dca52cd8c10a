/** A project of a compose file, as its user holds it. */
import { type Duration, parseDuration } from '../util/units.js'
import { askDown, askPs, type DownOptions } from './control.js'
import { removeRest, takeDown } from './down.js'
import type { Loaded } from './load.js'
import { type ProjectLogEntry, type ProjectLogOptions, projectLogs } from './logs.js'
import { heldHere, type ProjectContainer, runningOf } from './running.js'
import { bringUp, type UpOptions } from './up.js'

export interface ProjectDownOptions {
  /** With its named volumes; external ones stay. */
  volumes?: boolean
  /** Until a container is killed; default: its own. */
  timeout?: Duration
}

/**
 * Its containers live with the process that brought it up; other processes see them by ps() and logs(), and may take
 * them down.
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
    const running = runningOf(this.name)
    await running.alone(() => bringUp(running, this.#loaded, options))
  }

  /** Containers and networks, in the opposite order; whichever process holds them. It is no error when it is down. */
  async down(options: ProjectDownOptions = {}): Promise<void> {
    const timeout = options.timeout === undefined ? undefined : parseDuration(options.timeout, 'timeout')
    const asked: DownOptions = { volumes: options.volumes ?? false, ...(timeout === undefined ? {} : { timeout }) }
    const running = heldHere(this.name)
    if (running) await running.alone(() => takeDown(running, asked))
    else {
      await askDown(this.name, asked)
      await removeRest(this.name, asked.volumes ?? false)
    }
  }

  /** Its containers, those that have ended too. */
  async ps(): Promise<ProjectContainer[]> {
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

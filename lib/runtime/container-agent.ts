/** The file agents of one container: started when they are needed, in the running container or over its layers. */
import { CaissonError } from '../errors.js'
import type { NativeAnswer, NativeFailure } from '../native/addon.js'
import { Agent, type AgentOperation } from './agent.js'
import { ContainerFs } from './container-fs.js'
import type { Running } from './running.js'
import { NAMESPACES, type NamespaceType, type Workload } from './workload.js'

const ECONNRESET = 104

export class ContainerAgent {
  readonly fs: ContainerFs
  readonly #workload: Workload
  readonly #running: () => Running | undefined
  readonly #onDisk: boolean
  #current: Promise<Agent> | undefined
  /** The run that the current one is in; undefined: over the layers of a stopped container. */
  #of: Running | undefined

  constructor(workload: Workload, running: () => Running | undefined, onDisk: boolean) {
    this.#workload = workload
    this.#running = running
    this.#onDisk = onDisk
    this.fs = new ContainerFs((op, numbers, first, second) => this.#call(op, numbers, first, second))
  }

  /** For what only a running container has: its network. */
  network(op: AgentOperation, numbers: number[]): Promise<NativeAnswer> {
    return this.#call(op, numbers)
  }

  /** Ends the agent and its mounts: the program's own mount of the writable layer must be the only one. */
  async release(): Promise<void> {
    const current = this.#current
    this.#current = undefined
    await current?.then(
      (agent) => agent.close(),
      () => undefined,
    )
  }

  async #call(op: AgentOperation, numbers: number[] = [], first = '', second = ''): Promise<NativeAnswer> {
    for (let attempt = 0; ; attempt++) {
      const agent = await this.#agent()
      try {
        return await agent.call(op, numbers, first, second)
      } catch (error) {
        // It was just let go, or the container has ended: once more with a new one.
        if ((error as NativeFailure).errno !== ECONNRESET || attempt === 2) throw error
        await this.release()
      }
    }
  }

  async #agent(): Promise<Agent> {
    const running = this.#running()
    const current = await this.#current?.catch(() => undefined)
    if (current && !current.closed && this.#of === running) return current
    if (this.#current) await this.release()
    this.#of = running
    this.#current = running ? this.#enter(running) : this.#mount()
    return this.#current
  }

  #enter(running: Running): Promise<Agent> {
    const own = new Set((this.#workload.spec.linux?.namespaces ?? []).map((namespace) => namespace.type as string))
    for (const { type } of this.#workload.join) own.add(NAMESPACES[type].spec)
    const types = (['user', 'mnt', 'net'] as NamespaceType[]).filter((type) => own.has(NAMESPACES[type].spec))
    const pidfd = running.pidfd()
    if (pidfd < 0) return this.#mount()
    return Agent.enter(types, pidfd)
  }

  #mount(): Promise<Agent> {
    if (!this.#onDisk)
      return Promise.reject(
        new CaissonError('ERR_CAISSON_INVALID_STATE', 'the container does not run, and its files were in memory', {
          stage: 'files',
          hint: "Create it with storage: 'disk' to reach its files while it is stopped.",
        }),
      )
    return Agent.mount(this.#workload)
  }
}

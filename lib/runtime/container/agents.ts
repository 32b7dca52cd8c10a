/** The file agents of one container: started when they are needed, in the running container or over its layers. */
import { CaissonError } from '../../errors.js'
import { addon, type NativeAnswer, type NativeFailure } from '../../native/addon.js'
import { type Deferred, deferred } from '../../util/deferred.js'
import { notInSandbox } from '../isolation/sandbox.js'
import { NAMESPACES, type NamespaceType, type Workload } from '../options/workload.js'
import type { Running } from '../process/running.js'
import { Agent, type AgentOperation } from './agent.js'
import { ContainerFs } from './fs.js'

const ECONNRESET = 104

/** A descriptor in a container's tree, for work outside the agent. */
export interface Lent {
  fd: number
  /** The container is to be started or removed: the work must stop. */
  signal: AbortSignal
  /** When no duplicate of the descriptor is in use any more. Closes it. */
  end: () => void
}

/** The agent, or the process whose namespaces it was to enter. */
function isGone(error: unknown): boolean {
  const { errno, cause } = error as Partial<NativeFailure> & { cause?: NodeJS.ErrnoException }
  return errno === ECONNRESET || cause?.code === 'ESRCH'
}

export class ContainerAgent {
  readonly fs: ContainerFs
  readonly #workload: Workload
  readonly #running: () => Running | undefined
  /** Meanwhile its root is put together: it is not what it will be, and must be mounted once. */
  readonly #starting: () => Promise<void> | undefined
  readonly #onDisk: boolean
  #current: Promise<Agent> | undefined
  /** The run that the current one is in; undefined: over the layers of a stopped container. */
  #of: Running | undefined
  /** Of the one before: until then its mounts are there, and no other may be made. */
  #closing: Promise<void> | undefined
  #ended = false
  readonly #lent = new Set<{ abort: AbortController; ended: Deferred<void> }>()

  constructor(
    workload: Workload,
    life: () => { readonly running: Running | undefined; readonly starting: Promise<void> | undefined } | undefined,
    onDisk: boolean,
  ) {
    this.#workload = workload
    this.#running = () => life()?.running
    this.#starting = () => life()?.starting
    this.#onDisk = onDisk
    this.fs = new ContainerFs((op, numbers, first, second) => this.#call(op, numbers, first, second))
  }

  /** For what only a running container has: its network. */
  network(op: AgentOperation, numbers: number[]): Promise<NativeAnswer> {
    return this.#call(op, numbers)
  }

  get running(): boolean {
    return this.#running() !== undefined
  }

  /**
   * Opens something for work outside the agent. Until its end the agent stays, and with it what is mounted in the tree;
   * release() stops the work and waits for that.
   */
  async lend(op: 'ROOT' | 'LAYERS' | 'OPEN', numbers: number[], path: string): Promise<Lent> {
    const { agent, fd } = await this.#with(async (agent) => ({ agent, fd: (await agent.call(op, numbers, path)).fd }))
    const done = agent.keep()
    const lent = { abort: new AbortController(), ended: deferred<void>() }
    // Let go between the answer and now.
    if (agent.closed) lent.abort.abort()
    this.#lent.add(lent)
    const end = () => {
      if (!this.#lent.delete(lent)) return
      addon().closeFd(fd)
      done()
      lent.ended.resolve()
    }
    return { fd, signal: lent.abort.signal, end }
  }

  /** For good: the container is removed. */
  async end(): Promise<void> {
    this.#ended = true
    await this.release()
  }

  /** Ends the agent and its mounts: the program's own mount of the writable layer must be the only one. */
  async release(): Promise<void> {
    const lent = [...this.#lent]
    for (const { abort } of lent) abort.abort()
    await Promise.all(lent.map(({ ended }) => ended.promise))
    const current = this.#current
    this.#current = undefined
    if (current)
      this.#closing = current.then(
        (agent) => agent.close(),
        () => undefined,
      )
    await this.#closing
  }

  #call(op: AgentOperation, numbers: number[] = [], first = '', second = ''): Promise<NativeAnswer> {
    return this.#with((agent) => agent.call(op, numbers, first, second))
  }

  async #with<T>(work: (agent: Agent) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const running = this.#running()
      let agent: Agent | undefined
      try {
        agent = await this.#agent()
        return await work(agent)
      } catch (error) {
        if (attempt === 2 || !isGone(error)) throw error
        // It was just let go, or the container has ended: once more with a new one.
        await (agent ? agent.close() : running?.ended)
      }
    }
  }

  /** The same for all who ask at a time: two over the layers of one container are more than the kernel allows. */
  async #agent(): Promise<Agent> {
    for (;;) {
      const closing = this.#closing
      await this.#starting()?.catch(() => undefined)
      await closing
      if (this.#starting() || closing !== this.#closing) continue
      this.#mustHaveFiles()
      const running = this.#running()
      const pending = this.#current
      if (!pending) {
        this.#of = running
        this.#current = running ? this.#enter(running) : this.#mount()
        return this.#current
      }
      const agent = await pending.catch(() => undefined)
      // Somebody else has seen to it meanwhile.
      if (this.#current !== pending) continue
      if (agent && !agent.closed && this.#of === this.#running()) return agent
      await this.release()
    }
  }

  #mustHaveFiles(): void {
    // It has no root of its own, so an agent would be at work in ours.
    const { sandbox } = this.#workload
    if (sandbox) throw notInSandbox('fs, archives, connect()', `Its files are in ${sandbox.directory} on this machine.`)
    if (this.#ended)
      throw new CaissonError('ERR_CAISSON_INVALID_STATE', 'the container is removed, and its files with it', {
        stage: 'files',
        hint: 'Create a new container.',
      })
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

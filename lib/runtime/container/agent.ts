/**
 * The file agent of a container, as an object: a small process in the container's root that opens, makes, renames and
 * removes files for us, whatever the guest does meanwhile (addon/init/agent.h).
 */
import { addon, type NativeAgent, type NativeAnswer, type NativeRequest } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import { awake } from '../../util/awake.js'
import { prepareMounts } from '../lower/mounts.js'
import { becomeRoot, becomeRootIn } from '../lower/namespaces.js'
import { OPTIONAL, Plan } from '../lower/plan.js'
import { NAMESPACES, type NamespaceType, type Workload } from '../options/workload.js'
import { Running } from '../process/running.js'
import { ordinary } from '../user/ordinary.js'

export type AgentOperation =
  | 'OPEN'
  | 'ROOT'
  | 'LAYERS'
  | 'MKDIR'
  | 'REMOVE'
  | 'RENAME'
  | 'SYMLINK'
  | 'CHMOD'
  | 'CHOWN'
  | 'STAT'
  | 'READLINK'
  | 'UTIMES'
  | 'SOCKET'

/** Milliseconds without a request after which an agent is let go. */
const IDLE = 2000

export class Agent {
  readonly #running: Running
  readonly #agent: NativeAgent
  #timer: NodeJS.Timeout | undefined
  #busy = 0
  #closed = false

  private constructor(running: Running, agent: NativeAgent) {
    this.#running = running
    this.#agent = agent
    void running.ended.then(() => {
      this.#closed = true
    })
    this.#rest()
  }

  /** Enters the namespaces of a running container. `fds` are taken over. */
  static enter(types: readonly NamespaceType[], pidfd: number): Promise<Agent> {
    const plan = new Plan()
    const flags = types.reduce((sum, type) => sum + NAMESPACES[type].flag, 0)
    const slot = plan.inherit(pidfd)
    plan.add('AGENT', 'files', { flags: OPTIONAL })
    plan.add('UNDUMPABLE', 'files')
    plan.add('SETNS', 'files: namespaces', { numbers: [slot, flags] })
    // Who we are outside may be nobody there, and nobody makes no files.
    if (types.includes('user')) becomeRoot(plan, 'files: namespaces')
    plan.add('PARENT_DEATH', 'files')
    plan.add('AGENT', 'files')
    return Agent.#start(plan, 0)
  }

  /** Puts the root of a container together that is not running. */
  static async mount(workload: Workload): Promise<Agent> {
    const plan = new Plan()
    const own = await ordinary()
    plan.add('AGENT', 'files', { flags: OPTIONAL })
    plan.add('UNDUMPABLE', 'files')
    if (own) becomeRootIn(own.user, plan, 'files: namespaces')
    if (own) plan.add('UNSHARE', 'files: namespaces', { numbers: [NAMESPACES.mnt.flag] })
    prepareMounts(plan, { ...workload, spec: { ...workload.spec, mounts: [] }, etc: {} }).attach()
    plan.add('PARENT_DEATH', 'files')
    plan.add('AGENT', 'files')
    return Agent.#start(plan, own ? 0 : NAMESPACES.mnt.flag)
  }

  static async #start(plan: Plan, namespaces: number): Promise<Agent> {
    let running!: Running
    const ready = new Promise<NativeAgent | undefined>((resolve) => {
      const request: NativeRequest = {
        plan: plan.finish(),
        inherited: plan.inherited,
        namespaces,
        stdio: ['null', 'null', 'null'],
        background: true,
      }
      running = new Running(request, { ready: () => running.takeControl().then(resolve) })
      void running.ended.then(() => resolve(undefined))
    })
    const agent = await awake(ready)
    if (agent) return new Agent(running, agent)
    const report = await awake(running.ended)
    throw errorFromFailure(
      report.failure ?? { stage: 'files', syscall: '', errno: 104, path: '', record: -1 },
      plan.notes,
    )
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Paths are absolute, inside the container. */
  async call(op: AgentOperation, numbers: number[] = [], first = '', second = ''): Promise<NativeAnswer> {
    const done = this.keep()
    try {
      return await addon().agentCall(this.#agent, addon().agentOps[op] as number, numbers, first, second)
    } finally {
      done()
    }
  }

  /** It stays until the function that this gives is called: what was opened through it may need its mounts. */
  keep(): () => void {
    clearTimeout(this.#timer)
    this.#busy++
    return () => {
      if (--this.#busy === 0) this.#rest()
    }
  }

  /** Resolves when its process and its mounts are gone. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    if (!this.#closed) {
      this.#closed = true
      addon().agentClose(this.#agent)
    }
    await awake(this.#running.ended)
  }

  #rest(): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => void this.close(), IDLE)
    this.#timer.unref()
  }
}

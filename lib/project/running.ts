/** Projects that this process holds: their containers, networks, and the order in which things are done to them. */
import type { Dependency } from '../compose/relations.js'
import type { Container } from '../container.js'
import type { PublishedPort } from '../network/ports.js'
import type { Network } from '../network.js'
import type { Health } from '../runtime/container/health.js'
import type { Control } from './control.js'

export interface Replica {
  service: string
  number: number
  /** Of what it was made of: another one means that it is made anew. */
  hash: string
  container: Container
  /** As the file has it. */
  image: string
  /** Services that are started before, and stopped after it. */
  needs: Readonly<Record<string, Dependency>>
}

/** What ps() tells. */
export interface ProjectContainer {
  id: string
  name: string
  service: string
  /** Which of the service's, from 1 on. */
  number: number
  image: string
  state: 'created' | 'running' | 'paused' | 'exited' | 'removed'
  health: Health
  /** Of one that has ended; 128 and the signal when one ended it. */
  exitCode: number | null
  /** It has ended, and will be started again. */
  restarting: boolean
  ports: PublishedPort[]
  created: Date
  /** The file that its log is in. */
  log: string
}

export class Running {
  readonly name: string
  readonly replicas: Replica[] = []
  readonly networks: Network[] = []
  /** Named volumes by the names of this machine, that are not external. */
  readonly volumes = new Set<string>()
  /** Stopped, and about to be started again. */
  readonly between = new Set<Replica>()
  control: Control | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(name: string) {
    this.name = name
  }

  /** One after the other. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work)
    this.#last = next.catch(() => undefined)
    return next
  }

  of(service: string): Replica[] {
    return this.replicas.filter((replica) => replica.service === service)
  }

  drop(replica: Replica): void {
    const at = this.replicas.indexOf(replica)
    if (at >= 0) this.replicas.splice(at, 1)
  }

  ps(): ProjectContainer[] {
    return this.replicas.map((replica) => {
      const { container, service, number, image } = replica
      const { state, ports, log } = container.inspect()
      return {
        id: container.id,
        name: container.name,
        service,
        number,
        image,
        state: container.state,
        health: container.health,
        exitCode: container.state === 'exited' ? state.exitCode : null,
        restarting: container.restarting || this.between.has(replica),
        ports: [...ports],
        created: container.created,
        log,
      }
    })
  }
}

const projects = new Map<string, Running>()

/** That of this process, or a new one. */
export function runningOf(name: string): Running {
  let running = projects.get(name)
  if (!running) {
    running = new Running(name)
    projects.set(name, running)
  }
  return running
}

export const heldHere = (name: string): Running | undefined => {
  const running = projects.get(name)
  return running?.control ? running : undefined
}

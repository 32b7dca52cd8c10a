/** Containers of a project that is up, stopped and started again as they are. */
import { CaissonError } from '../errors.js'
import { becomes } from '../runtime/container/becomes.js'
import type { Replica, Running } from './running.js'
import { dependenciesFirst, dependentsFirst } from './turns.js'

export interface ChangeOptions {
  /** Default: all that have containers. */
  services?: readonly string[]
  /** Milliseconds until a container is killed; default: its own. */
  timeout?: number
}

export const CHANGES = ['stop', 'start', 'restart'] as const
export type Change = (typeof CHANGES)[number]

export async function changeReplicas(running: Running, what: Change, options: ChangeOptions): Promise<void> {
  const { services } = options
  for (const service of services ?? []) if (what !== 'stop' && running.of(service).length === 0) throw notUp(service)
  const chosen = running.replicas.filter(({ service }) => services === undefined || services.includes(service))
  if (what === 'stop') return stopAll(chosen, options)
  if (what === 'start') return startAll(running, chosen)
  // Whoever follows them must not take the moment between the two for the end.
  const mine = chosen.filter((replica) => !running.between.has(replica))
  for (const replica of mine) running.between.add(replica)
  try {
    await stopAll(chosen, options)
    await startAll(running, chosen)
  } finally {
    for (const replica of mine) running.between.delete(replica)
  }
}

/** Those that need others first. */
function stopAll(replicas: readonly Replica[], { timeout }: ChangeOptions): Promise<void> {
  return dependentsFirst(replicas, async ({ container }) => {
    if (container.state === 'exited' && !container.restarting) return
    await container.stop(timeout === undefined ? {} : { timeout })
  })
}

/** Each when what it depends on is what it waits for, as when the project was brought up. */
function startAll(running: Running, replicas: readonly Replica[]): Promise<void> {
  return dependenciesFirst(replicas, async ({ container, needs }) => {
    for (const [name, { condition, required }] of Object.entries(needs))
      for (const other of running.of(name))
        await becomes(other.container, condition, new AbortController().signal).catch((error) => {
          if (required) throw error
        })
    const { state, restarting } = container
    if (state === 'created' || (state === 'exited' && !restarting)) await container.start()
  })
}

/** @param what a service, or the project. */
export function notUp(what: string): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_STATE', `${what} is not up`, {
    stage: 'compose',
    hint: 'Bring it up first.',
  })
}

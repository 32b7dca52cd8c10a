/** A project taken down: containers in the opposite order of their start, then networks, and volumes if that is wanted. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CaissonError } from '../errors.js'
import { sweepDefinitions } from '../network/definition.js'
import { Network } from '../network.js'
import { owner } from '../runtime/process/owner.js'
import { Volume } from '../volume.js'
import type { DownOptions } from './control.js'
import { PROJECT_LABEL } from './labels.js'
import type { Replica, Running } from './running.js'
import { dependentsFirst } from './turns.js'

/** Milliseconds. */
const PATIENCE = 2000
const INTERVAL = 50

/** Stops and removes: each one when nothing that needs it is left. All are tried, and the first error is given. */
export function removeReplicas(running: Running, replicas: readonly Replica[], timeout?: number): Promise<void> {
  return dependentsFirst(replicas, async (replica) => {
    const { container } = replica
    await container.stop(timeout === undefined ? {} : { timeout }).catch(() => undefined)
    await container.remove({ force: true, volumes: true })
    running.drop(replica)
  })
}

/** Of this process. */
export async function takeDown(running: Running, options: DownOptions): Promise<void> {
  await removeReplicas(running, [...running.replicas], options.timeout)
  for (const network of running.networks.splice(0)) await unlessUsed(network.remove())
  if (options.volumes) await removeVolumes(running.name)
  await running.control?.close()
  running.control = undefined
}

/** What is left of one that nobody holds. */
export async function removeRest(name: string, volumes: boolean): Promise<void> {
  await owner()
  for (const network of await Network.list({ labels: { [PROJECT_LABEL]: name } })) await unlessUsed(removeSoon(network))
  // Those of a dead one are not in the list.
  await sweepDefinitions()
  if (volumes) await removeVolumes(name)
}

async function removeVolumes(name: string): Promise<void> {
  for (const volume of await Volume.list({ labels: { [PROJECT_LABEL]: name } })) await volume.remove()
}

/** Of a holder that was killed just now the watchdog is still at work. */
async function removeSoon(network: Network): Promise<void> {
  for (let left = PATIENCE; ; left -= INTERVAL)
    try {
      return await network.remove()
    } catch (error) {
      if (left <= 0 || (error as CaissonError).code !== 'ERR_CAISSON_IN_USE') throw error
      await sleep(INTERVAL)
    }
}

/** Containers that are none of the project's may be on its networks; these stay for them. */
export async function unlessUsed(removal: Promise<void>): Promise<void> {
  await removal.catch((error) => {
    if (!(error instanceof CaissonError) || error.code !== 'ERR_CAISSON_IN_USE') throw error
    process.emitWarning(`${error.message}; it is not removed`, { code: 'CAISSON_COMPOSE' })
  })
}

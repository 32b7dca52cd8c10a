/** A project brought up: networks, volumes, then containers, each as soon as what it depends on is there. */
import { composeError } from '../compose/node.js'
import { enabledServices, MOST_CONTAINERS, type ServiceModel, startOrder } from '../compose/project.js'
import type { Dependency } from '../compose/relations.js'
import { CaissonError } from '../errors.js'
import { becomes } from '../runtime/container/becomes.js'
import { awake } from '../util/awake.js'
import { Volume } from '../volume.js'
import { changeReplicas } from './change.js'
import { claim } from './control.js'
import { createReplica, ofService, type Prepared, prepare } from './create.js'
import { removeReplicas, takeDown, unlessUsed } from './down.js'
import { serveExec } from './exec.js'
import { builtName, type ImageChoice, imagesOf } from './images.js'
import type { Loaded } from './load.js'
import { makeNetworks, makeVolumes } from './make.js'
import type { Replica, Running } from './running.js'

export interface UpOptions extends ImageChoice {
  /** These, and what they depend on. Default: all whose profiles are on. */
  services?: readonly string[]
  /** How many containers of a service, instead of what the file says. */
  scale?: Readonly<Record<string, number>>
  /** Make containers anew that have not changed. */
  recreate?: boolean
}

/** All of it or nothing: what was made is removed when something fails. */
export async function bringUp(running: Running, loaded: Loaded, options: UpOptions): Promise<void> {
  const { model, profiles } = loaded
  const services = scaled(enabledServices(model, profiles, options.services), options.scale)
  const fresh = running.control === undefined
  const networks = running.networks.length
  const made: Replica[] = []
  const volumes: string[] = []
  try {
    if (fresh)
      running.control = await claim(model.name, {
        ps: () => running.ps(),
        down: (asked) => running.alone(() => takeDown(running, asked)),
        change: (what, asked) => running.alone(() => changeReplicas(running, what, asked)),
        exec: (request, socket) => serveExec(running, request, socket),
      })
    const images = await awake(imagesOf(services.values(), loaded, options))
    const prepared = new Map<string, Prepared>()
    for (const service of startOrder(services))
      prepared.set(service.name, await prepare(service, images.get(service.name) as never, loaded))
    await makeNetworks(running, services, loaded)
    await makeVolumes(running, services, loaded, volumes)
    await removeOthers(running, prepared, options)
    await startAll(running, prepared, loaded, made, options.signal)
  } catch (error) {
    if (fresh) await takeDown(running, { timeout: 0 })
    else {
      await removeReplicas(running, made, 0)
      for (const network of running.networks.splice(networks)) await unlessUsed(network.remove())
    }
    for (const name of volumes) await Volume.get(name).then((volume) => volume.remove())
    throw options.signal?.aborted ? aborted(error) : error
  }
}

function aborted(cause: unknown): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', 'up was aborted', {
    stage: 'compose',
    hint: 'The signal that was given fired; what was made is removed.',
    cause: cause instanceof Error ? cause : undefined,
  })
}

function scaled(services: Map<string, ServiceModel>, scale: UpOptions['scale'] = {}): Map<string, ServiceModel> {
  for (const [name, count] of Object.entries(scale)) {
    const service = services.get(name)
    if (!service || !Number.isInteger(count) || count < 0)
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `scale: ${name}=${count} is no service with a number`, {
        stage: 'compose',
        hint: `There are ${[...services.keys()].join(', ')}.`,
      })
    services.set(name, { ...service, count })
  }
  const all = [...services.values()].reduce((sum, { count }) => sum + count, 0)
  if (all > MOST_CONTAINERS)
    throw new CaissonError('ERR_CAISSON_COMPOSE', `${all} containers are too many`, {
      stage: 'compose',
      hint: `A project has at most ${MOST_CONTAINERS}.`,
    })
  return services
}

/** Those that have changed, are too many, or are of no service any more; and those that begin anew with them. */
async function removeOthers(
  running: Running,
  prepared: ReadonlyMap<string, Prepared>,
  options: UpOptions,
): Promise<void> {
  const stale = new Set<Replica>()
  const named = options.services !== undefined && options.services.length > 0
  for (const { service } of [...prepared.values()]) {
    const { hash } = prepared.get(service.name) as Prepared
    const anew = Object.entries(service.dependencies).some(
      ([other, { restart }]) => restart && running.of(other).some((replica) => stale.has(replica)),
    )
    for (const replica of running.of(service.name))
      if (options.recreate || anew || replica.hash !== hash || replica.number > service.count) stale.add(replica)
  }
  if (!named) for (const replica of running.replicas) if (!prepared.has(replica.service)) stale.add(replica)
  if (stale.size > 0) await removeReplicas(running, [...stale])
}

async function startAll(
  running: Running,
  prepared: ReadonlyMap<string, Prepared>,
  loaded: Loaded,
  made: Replica[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const failure = new AbortController()
  const stop = () => failure.abort(signal?.reason)
  signal?.addEventListener('abort', stop)
  const started = new Map<string, Promise<void>>()
  for (const each of prepared.values()) {
    const task = startService(each, { running, loaded, made, started, signal: failure.signal })
    started.set(each.service.name, task)
    // The first failure ends what the others wait for.
    task.catch((error) => failure.abort(error))
  }
  try {
    const results = await awake(Promise.allSettled(started.values()))
    if (results.some(({ status }) => status === 'rejected')) throw failure.signal.reason
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

interface Starting {
  running: Running
  loaded: Loaded
  made: Replica[]
  started: ReadonlyMap<string, Promise<void>>
  signal: AbortSignal
}

/** Services come behind those that they depend on, so these have begun. */
async function startService(prepared: Prepared, starting: Starting): Promise<void> {
  const { service } = prepared
  const { running, loaded, made, signal } = starting
  const image = builtName(service, loaded.model.name)
  const needs = service.dependencies
  await Promise.all(
    Object.entries(service.dependencies).map(([name, each]) => dependency(service, name, each, starting)),
  )
  signal.throwIfAborted()
  const numbers = Array.from({ length: service.count }, (_, i) => i + 1)
  await Promise.all(
    numbers.map(async (number) => {
      let replica = running.of(service.name).find((each) => each.number === number)
      if (!replica) {
        const container = await createReplica(prepared, number, loaded, running)
        replica = { service: service.name, number, hash: prepared.hash, container, image, needs }
        running.replicas.push(replica)
        made.push(replica)
      }
      signal.throwIfAborted()
      const { state, restarting } = replica.container
      if (state === 'created' || (state === 'exited' && !restarting)) await start(replica, service)
    }),
  )
}

async function start({ container }: Replica, service: ServiceModel): Promise<void> {
  await container.start().catch((error) => {
    throw ofService(error, service)
  })
}

async function dependency(
  service: ServiceModel,
  name: string,
  { condition, required, place }: Dependency,
  { running, started, signal }: Starting,
): Promise<void> {
  const task = started.get(name)
  if (!task) return
  try {
    await task
    await Promise.all(running.of(name).map(({ container }) => becomes(container, condition, signal)))
  } catch (error) {
    if (!required && !signal.aborted) return
    if (!(error instanceof CaissonError) || error.code !== 'ERR_CAISSON_DEPENDENCY' || error.location) throw error
    throw composeError(
      place,
      `${service.name} waits for ${name} (${condition}): ${error.message}`,
      error.hint,
      error.code,
    )
  }
}

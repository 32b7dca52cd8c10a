/** Containers: made, started, ended, removed. */
import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Container } from '../container.js'
import { CaissonError } from '../errors.js'
import { Image } from '../image.js'
import type { CreateOptions } from '../options.js'
import { fieldsOf, requiredObject } from './body.js'
import type { Call } from './call.js'
import { containerJson } from './container-json.js'
import { listContainers, ownContainers } from './container-list.js'
import { createOptions, type Requested } from './create-options.js'
import { ApiError, badRequest, failureOf, notImplemented } from './failure.js'
import { Filters } from './filters.js'
import { gatewaysOf } from './gateways.js'
import { limitsOf } from './host-limits.js'
import { mergedConfig } from './merged-config.js'
import { findNetwork } from './networks.js'
import { pruneTime } from './prune-time.js'
import type { Route } from './router.js'
import type { Kept } from './state.js'
import { waitContainer } from './wait.js'

const DEFAULT_GRACE = 10
const SECOND = 1000

export const containerRoutes: Route[] = [
  { method: 'GET', path: '/containers/json', handler: listContainers },
  { method: 'POST', path: '/containers/create', handler: create },
  { method: 'POST', path: '/containers/prune', handler: prune },
  { method: 'GET', path: '/containers/{id}/json', handler: inspect },
  { method: 'POST', path: '/containers/{id}/start', handler: start },
  { method: 'POST', path: '/containers/{id}/stop', handler: stop },
  { method: 'POST', path: '/containers/{id}/restart', handler: restart },
  { method: 'POST', path: '/containers/{id}/kill', handler: kill },
  { method: 'POST', path: '/containers/{id}/pause', handler: (call) => freeze(call, 'pause') },
  { method: 'POST', path: '/containers/{id}/unpause', handler: (call) => freeze(call, 'resume') },
  { method: 'POST', path: '/containers/{id}/wait', handler: waitContainer },
  { method: 'POST', path: '/containers/{id}/update', handler: update },
  { method: 'POST', path: '/containers/{id}/rename', handler: rename },
  { method: 'DELETE', path: '/containers/{id}', handler: remove },
]

async function create(call: Call): Promise<void> {
  const config = await requiredObject(call)
  const { state } = call
  const requested = createOptions(fieldsOf(config))
  const name = call.text('name')?.replace(/^\//, '')
  const platform = call.text('platform')
  const image = await imageOf(requested.image, platform)
  const options: CreateOptions = {
    ...requested.options,
    ...(name === undefined ? {} : { name }),
    ...(platform === undefined ? {} : { platform }),
    pull: 'never',
    ...(await placesOf(requested, call).catch(notAnImage)),
  }
  await makeSources(config)
  const container = await Container.create(requested.image, options).catch((error) => conflict(error, name))
  const { autoRemove, stdinOnce } = requested
  const hostConfig = fieldsOf(config).object('HostConfig') ?? {}
  state.adopt(container, {
    config: mergedConfig(config, image.config),
    hostConfig,
    imageId: image.id,
    autoRemove,
    stdinOnce,
  })
  state.events.tell('container', 'create', container.id, { image: requested.image, name: container.name })
  call.json({ Id: container.id, Warnings: [] }, 201)
}

/** 404 is what clients pull an image for, and ask again. */
async function imageOf(name: string, platform: string | undefined): Promise<Image> {
  try {
    return await Image.get(name, { platform })
  } catch (error) {
    if (!(error instanceof CaissonError) || error.code !== 'ERR_CAISSON_IMAGE_NOT_FOUND') throw error
    throw new ApiError(404, `No such image: ${name.slice(0, 300)}`)
  }
}

/** Clients take 404 for a missing image, whatever it says, and pull that. */
function notAnImage(error: unknown): never {
  throw error instanceof ApiError && error.status === 404 ? badRequest(error.message) : error
}

/** In the words that clients look for. */
function conflict(error: unknown, name: string | undefined): never {
  const { code, message } = error as Partial<CaissonError>
  if (code !== 'ERR_CAISSON_NAME_IN_USE' || name === undefined) throw error
  throw new ApiError(409, `Conflict. The container name "/${name}" is already in use: ${message}`)
}

/** The networks and containers that it names. */
async function placesOf(
  { networks, joins }: Requested,
  { state }: Call,
): Promise<Pick<CreateOptions, 'network' | 'networks' | 'namespaces'>> {
  const container = async (name: string) => (await state.find(name)).container
  const named = await Promise.all(
    networks.map(async ({ network, ...endpoint }) => ({ network: await findNetwork(network), ...endpoint })),
  )
  const pid = joins.pid === undefined ? {} : { pid: await container(joins.pid) }
  const ipc = joins.ipc === undefined ? {} : { ipc: await container(joins.ipc) }
  return {
    ...(named.length > 0 ? { networks: named } : {}),
    ...(joins.network === undefined ? {} : { network: await container(joins.network) }),
    ...(joins.pid === undefined && joins.ipc === undefined ? {} : { namespaces: { ...pid, ...ipc } }),
  }
}

/** Docker makes a directory of the host that a bind names and that is not there (not one of Mounts). */
async function makeSources(config: object): Promise<void> {
  const host = fieldsOf(fieldsOf(config as never).object('HostConfig'), 'HostConfig.')
  for (const bind of host.texts('Binds') ?? []) {
    const [source = ''] = bind.split(':')
    if (source.startsWith('/') && bind.includes(':')) await mkdir(source, { recursive: true }).catch(() => undefined)
  }
}

async function inspect(call: Call): Promise<void> {
  const kept = await call.state.find(call.parameter('id'))
  const execs = call.state.execsOf(kept.container).filter(({ running }) => running)
  call.json(
    containerJson(
      kept,
      execs.map(({ id }) => id),
      await gatewaysOf(),
    ),
  )
}

async function start(call: Call): Promise<void> {
  const kept = await call.state.find(call.parameter('id'))
  const { container } = kept
  if (container.state === 'running') return call.empty(304)
  if (container.state === 'paused') throw new ApiError(409, 'cannot start a paused container, try unpause instead')
  try {
    await container.start()
    kept.error = ''
  } catch (error) {
    kept.error = failureOf(error).message
    if (kept.autoRemove) await container.remove({ force: true, volumes: true })
    throw error
  }
  call.empty()
}

async function stop(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  if (container.state !== 'running' && container.state !== 'paused') return call.empty(304)
  await end(container, call)
  call.empty()
}

/** `signal` instead of the container's own; `t`: seconds, and below 0 for ever. */
async function end(container: Container, call: Call): Promise<void> {
  const seconds = call.whole('t')
  const signal = call.text('signal')
  const timeout = seconds === undefined ? undefined : seconds < 0 ? Number.MAX_SAFE_INTEGER : seconds * SECOND
  if (signal === undefined) return container.stop(timeout === undefined ? {} : { timeout })
  if (container.state === 'paused') await container.resume()
  const ended = container.wait().then(() => true)
  await container.kill(signal)
  const controller = new AbortController()
  const grace = Math.min(timeout ?? DEFAULT_GRACE * SECOND, 2 ** 31 - 1)
  await Promise.race([ended, sleep(grace, undefined, { signal: controller.signal })])
  controller.abort()
  // Its policy must not start it again, either.
  await container.stop({ timeout: 0 })
}

async function restart(call: Call): Promise<void> {
  const kept = await call.state.find(call.parameter('id'))
  const { container } = kept
  kept.held = true
  try {
    if (container.state === 'running' || container.state === 'paused') await end(container, call)
    await container.start()
  } finally {
    kept.held = false
  }
  call.state.events.tell('container', 'restart', container.id, { name: container.name, image: container.image })
  call.empty()
}

async function kill(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  if (container.state !== 'running' && container.state !== 'paused')
    throw new ApiError(409, `cannot kill container: ${container.name}: container ${container.id} is not running`)
  const signal = call.text('signal') ?? 'SIGKILL'
  await container.kill(/^\d+$/.test(signal) ? Number(signal) : signal)
  call.state.events.tell('container', 'kill', container.id, { name: container.name, signal })
  call.empty()
}

async function freeze(call: Call, how: 'pause' | 'resume'): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  await container[how]()
  call.empty()
}

async function update(call: Call): Promise<void> {
  const body = await requiredObject(call)
  const { container } = await call.state.find(call.parameter('id'))
  const policy = fieldsOf(fieldsOf(body).object('RestartPolicy'), 'RestartPolicy.')
  if (policy.text('Name')) throw notImplemented('a change of the restart policy')
  const limits = limitsOf(body)
  if (limits) await container.update({ limits })
  call.json({ Warnings: [] })
}

async function rename(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  const name = call.text('name')?.replace(/^\//, '')
  if (!name) throw badRequest('a container is renamed to something: name is empty')
  await container.rename(name).catch((error) => conflict(error, name))
  call.empty()
}

async function remove(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  if (call.flag('link')) throw notImplemented('a link')
  const force = call.flag('force')
  if (!force && (container.state === 'running' || container.state === 'paused'))
    throw new ApiError(
      409,
      `cannot remove container "/${container.name}": container is ${container.state}: stop the container before removing or force remove`,
    )
  await container.remove({ force, volumes: call.flag('v') })
  call.empty()
}

async function prune(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), ['until', 'label'])
  const until = pruneTime(filters)
  const ended = ({ container }: Kept) => container.state === 'exited' || container.state === 'created'
  const removed: string[] = []
  for (const kept of await ownContainers(call)) {
    const { container } = kept
    if (!ended(kept) || container.created.getTime() >= until || !filters.labels(container.labels)) continue
    await container.remove()
    removed.push(container.id)
  }
  call.json({ ContainersDeleted: removed, SpaceReclaimed: 0 })
}

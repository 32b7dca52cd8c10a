/** Volumes. */
import { CaissonError } from '../errors.js'
import type { Json } from '../spec/json.js'
import { Volume } from '../volume.js'
import { requiredFields } from './body.js'
import type { Call } from './call.js'
import { ApiError, badRequest, notImplemented } from './failure.js'
import { Filters } from './filters.js'
import type { Route } from './router.js'

export const volumeRoutes: Route[] = [
  { method: 'GET', path: '/volumes', handler: list },
  { method: 'POST', path: '/volumes/create', handler: create },
  { method: 'POST', path: '/volumes/prune', handler: prune },
  { method: 'GET', path: '/volumes/{id}', handler: inspect },
  { method: 'DELETE', path: '/volumes/{id}', handler: remove },
]

async function find(name: string): Promise<Volume> {
  try {
    return await Volume.get(name)
  } catch (error) {
    if (!(error instanceof CaissonError) || error.code !== 'ERR_CAISSON_VOLUME_NOT_FOUND') throw error
    throw new ApiError(404, `get ${name.slice(0, 200)}: no such volume`)
  }
}

export function volumeJson({ name, path, labels, created }: Volume): Json {
  return {
    CreatedAt: created.toISOString(),
    Driver: 'local',
    Labels: labels,
    Mountpoint: path,
    Name: name,
    Options: {},
    Scope: 'local',
  }
}

async function list(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), ['name', 'label', 'driver', 'dangling'])
  const dangling = filters.get('dangling').length > 0 ? filters.boolean('dangling', false) : undefined
  const fitting = (await Volume.list()).filter(
    (volume) =>
      filters.some('name', (name) => volume.name.includes(name)) &&
      filters.some('driver', (driver) => driver === 'local') &&
      filters.labels(volume.labels) &&
      (dangling === undefined || dangling === (volume.inspect().containers.length === 0)),
  )
  call.json({ Volumes: fitting.map(volumeJson), Warnings: [] })
}

async function inspect(call: Call): Promise<void> {
  call.json(volumeJson(await find(call.parameter('id'))))
}

async function create(call: Call): Promise<void> {
  const body = await requiredFields(call)
  const driver = body.text('Driver') || 'local'
  if (driver !== 'local') throw badRequest(`there is no volume driver ${driver}`)
  const { size, ...options } = body.map('DriverOpts') ?? {}
  const [other] = Object.keys(options)
  if (other !== undefined) throw notImplemented(`the volume option ${other}`)
  if (body.object('ClusterVolumeSpec')) throw notImplemented('a cluster volume')
  const volume = await Volume.create({
    ...(body.text('Name') ? { name: body.text('Name') } : {}),
    ...(body.map('Labels') ? { labels: body.map('Labels') } : {}),
    ...(size === undefined ? {} : { size }),
  })
  call.state.events.tell('volume', 'create', volume.name, { driver })
  call.json(volumeJson(volume), 201)
}

async function remove(call: Call): Promise<void> {
  const name = call.parameter('id')
  const volume = await find(name).catch((error) => {
    if (call.flag('force') && error.status === 404) return undefined
    throw error
  })
  await volume?.remove()
  if (volume) call.state.events.tell('volume', 'destroy', volume.name, { driver: 'local' })
  call.empty()
}

async function prune(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), ['label', 'all'])
  const all = filters.boolean('all', false)
  const removed: string[] = []
  for (const volume of await Volume.list(all ? {} : { anonymous: true })) {
    if (!filters.labels(volume.labels) || volume.inspect().containers.length > 0) continue
    // Another process may have it.
    const gone = await volume.remove().then(
      () => true,
      (error) => {
        if ((error as CaissonError).code === 'ERR_CAISSON_IN_USE') return false
        throw error
      },
    )
    if (gone) removed.push(volume.name)
  }
  call.json({ VolumesDeleted: removed, SpaceReclaimed: 0 })
}

/** Containers of services: what they are made of, and making them. */
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { canonical } from '../compose/field.js'
import { composeError } from '../compose/node.js'
import { containerOptions } from '../compose/options.js'
import { type ServiceModel, serviceIn } from '../compose/project.js'
import { Container } from '../container.js'
import { CaissonError } from '../errors.js'
import type { Image } from '../image.js'
import type { CreateOptions, Mount } from '../options.js'
import { mountFiles, readServiceFiles, type ServiceFile } from './files.js'
import * as labels from './labels.js'
import { environmentOf, type Loaded } from './load.js'
import type { Running } from './running.js'

/** A service whose containers are to be made. */
export interface Prepared {
  service: ServiceModel
  image: Image
  files: readonly ServiceFile[]
  env: Record<string, string | undefined>
  labels: Record<string, string>
  /** What all of that comes to. */
  hash: string
}

export async function prepare(service: ServiceModel, image: Image, loaded: Loaded): Promise<Prepared> {
  const { model, lookup } = loaded
  const files = await readServiceFiles(service, model, lookup)
  const env = await environmentOf(service.env_file ?? [], lookup)
  const more = await environmentOf(service.label_file ?? [], lookup)
  // How many there are, and what they wait for, is nothing that a container is made of.
  const { count: _, scale: __, dependencies: ___, depends_on: ____, profiles: _____, ...rest } = service
  const texts = files.map(({ target, content, model: { uid, gid, mode } }) => [
    target,
    digestOf(content),
    uid,
    gid,
    mode,
  ])
  const hash = digestOf(canonical([rest, image.id, texts, env, more, names(rest as ServiceModel, loaded)]))
  const given = Object.entries(more).filter((pair): pair is [string, string] => pair[1] !== undefined)
  return { service, image, files, env, labels: Object.fromEntries(given), hash }
}

const digestOf = (content: string | Buffer) => createHash('sha256').update(content).digest('hex')

/** Networks and volumes by the names of this machine, and what these are. */
function names({ networks, volumes = [] }: ServiceModel, { model }: Loaded): unknown {
  return [
    Object.keys(networks ?? { default: true }).map((name) => model.networks.get(name)),
    volumes.map(({ source }) => source !== undefined && model.volumes.get(source)),
  ]
}

const containerName = (project: string, { name, container_name }: ServiceModel, number: number): string =>
  container_name ?? `${project}-${name}-${number}`

export const networkName = ({ model }: Loaded, name: string): string => {
  const network = model.networks.get(name)
  return network?.name ?? (network?.external ? name : `${model.name}_${name}`)
}

export const volumeName = ({ model }: Loaded, name: string): string => {
  const volume = model.volumes.get(name)
  return volume?.name ?? (volume?.external ? name : `${model.name}_${name}`)
}

/** Errors say of which service they are, and where that is written. */
export async function createReplica(
  prepared: Prepared,
  number: number,
  loaded: Loaded,
  running: Running,
): Promise<Container> {
  const { service, image, files, env, hash } = prepared
  const { model } = loaded
  try {
    const options = containerOptions(service, {
      env,
      labels: {
        ...prepared.labels,
        ...service.labels,
        [labels.PROJECT_LABEL]: model.name,
        [labels.SERVICE_LABEL]: service.name,
        [labels.NUMBER_LABEL]: String(number),
        [labels.HASH_LABEL]: hash,
        [labels.ONEOFF_LABEL]: 'False',
        [labels.DIRECTORY_LABEL]: model.directory,
        [labels.FILES_LABEL]: model.files.join(','),
      },
      network: (name) => networkName(loaded, name),
      volume: (name) => volumeName(loaded, name),
    })
    for (const { create, source } of service.volumes ?? [])
      if (create && source !== undefined) await mkdir(source, { recursive: true }).catch(unlessThere)
    return await Container.create(image, {
      ...options,
      ...(await shared(service, options, running)),
      name: containerName(model.name, service, number),
      mounts: [...(await borrowed(service, options.mounts ?? [], running)), ...(await mountFiles(files))],
    })
  } catch (error) {
    throw ofService(error, service)
  }
}

function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

/** Namespaces of other containers, which run by now. */
async function shared(
  { network_mode, ipc, pid }: ServiceModel,
  { namespaces }: CreateOptions,
  running: Running,
): Promise<Pick<CreateOptions, 'network' | 'namespaces'>> {
  const first = (text: string | undefined) => {
    const name = serviceIn(text)
    return name === undefined ? undefined : running.of(name)[0]?.container
  }
  const [, other] = /^container:(.+)$/s.exec(network_mode ?? '') ?? []
  const network = other === undefined ? first(network_mode) : await Container.get(other)
  const joined = Object.entries({ ipc: first(ipc), pid: first(pid) }).filter(([, container]) => container)
  return {
    ...(network ? { network } : {}),
    ...(joined.length > 0 ? { namespaces: { ...namespaces, ...Object.fromEntries(joined) } } : {}),
  }
}

/** With the mounts of other containers; where the service has one of its own at the same place, that one. */
async function borrowed(
  { volumes_from: sources = [] }: ServiceModel,
  own: readonly Mount[],
  running: Running,
): Promise<Mount[]> {
  const mounts = new Map<string, Mount>()
  for (const { service, container, readOnly } of sources) {
    const other = service === undefined ? await Container.get(container as string) : running.of(service)[0]?.container
    if (!other) continue
    const { mounts: given, volumes } = other.inspect()
    for (const mount of given)
      if (mount.type === 'bind') mounts.set(mount.target, { ...mount, ...(readOnly ? { readOnly } : {}) })
    // By name, those of the image and those without a name among them.
    for (const { name, target } of volumes) {
      const before = given.find((each) => each.target === target)
      const only = readOnly || before?.readOnly === true
      mounts.set(target, { type: 'volume', source: name, target, ...(only ? { readOnly: true } : {}) })
    }
  }
  for (const mount of own) mounts.set(mount.target, mount)
  return [...mounts.values()]
}

export function ofService(error: unknown, { name, place }: ServiceModel): unknown {
  if (!(error instanceof CaissonError) || error.location) return error
  const at = composeError(place, error.message, error.hint, error.code)
  const message = place.source ? at.message : `services.${name}: ${error.message}`
  return new CaissonError(error.code, message, {
    stage: error.stage,
    hint: error.hint,
    cause: error.cause,
    location: at.location,
  })
}

/** A project: all that its files say, checked for what belongs together. */
import { didYouMean, nearest } from '../util/suggest.js'
import type { Fragment, ServiceFragment } from './file.js'
import { type ComposeNode, composeError, type Place } from './node.js'
import type { Dependency } from './relations.js'
import type { NetworkModel, SourceModel, VolumeModel } from './resources.js'
import type { ServiceValues } from './service-fields.js'

export interface ServiceModel extends ServiceValues {
  name: string
  place: Place
  /** Of `depends_on`, of links, and of namespaces that are shared. */
  dependencies: Record<string, Dependency>
  /** How many containers of it there are. */
  count: number
}

/** Containers of a project: each takes processes, descriptors and memory of ours. */
export const MOST_CONTAINERS = 4096

export interface ProjectModel {
  name: string
  /** The directory of the first file. */
  directory: string
  files: readonly string[]
  services: ReadonlyMap<string, ServiceModel>
  networks: ReadonlyMap<string, NetworkModel>
  volumes: ReadonlyMap<string, VolumeModel>
  secrets: ReadonlyMap<string, SourceModel>
  configs: ReadonlyMap<string, SourceModel>
}

export function projectOf(
  fragment: Fragment,
  about: Pick<ProjectModel, 'name' | 'directory' | 'files'>,
  root: ComposeNode,
): ProjectModel {
  const { resources } = fragment
  const plain = <T>(kind: keyof typeof resources) =>
    new Map([...resources[kind]].map(([name, { values, place }]) => [name, { ...values, place } as T]))
  const services = new Map([...fragment.services].map(([name, service]) => [name, serviceOf(name, service)]))
  if (services.size === 0)
    throw composeError(root.place, 'there are no services', 'Write services: with a service in it.')
  const networks = plain<NetworkModel>('networks')
  const needsDefault = [...services.values()].some(({ networks }) => networks !== undefined && 'default' in networks)
  const anyDefault = [...services.values()].some(
    ({ networks, network_mode, 'x-egress': egress }) => !networks && !egress && network_mode === undefined,
  )
  if ((needsDefault || anyDefault) && !networks.has('default')) networks.set('default', { place: root.place })
  const project: ProjectModel = {
    ...about,
    services,
    networks,
    volumes: plain<VolumeModel>('volumes'),
    secrets: plain<SourceModel>('secrets'),
    configs: plain<SourceModel>('configs'),
  }
  for (const service of services.values()) check(service, project)
  startOrder(services)
  return project
}

function serviceOf(name: string, { values, place }: ServiceFragment): ServiceModel {
  // Names are anybody's: `constructor` is one as any other.
  const dependencies: Record<string, Dependency> = Object.assign(Object.create(null), values.links, values.depends_on)
  for (const shared of [values.network_mode, values.ipc, values.pid]) {
    const other = serviceIn(shared)
    // Its namespaces are those of one container: whoever is in them begins anew with it.
    if (other !== undefined)
      dependencies[other] = {
        condition: 'service_started',
        required: true,
        place,
        ...dependencies[other],
        restart: true,
      }
  }
  // Volumes are taken from a container that is there.
  for (const { service, place } of values.volumes_from ?? [])
    if (service !== undefined)
      dependencies[service] ??= { condition: 'service_started', required: true, restart: true, place }
  const { deploy = {} } = values
  if (values.scale !== undefined && deploy.replicas !== undefined && values.scale !== deploy.replicas)
    throw composeError(place, 'scale and deploy.replicas differ', 'Leave one of them out.')
  const count = values.scale ?? deploy.replicas ?? 1
  if (count > MOST_CONTAINERS)
    throw composeError(place, `${count} containers are too many`, `A project has at most ${MOST_CONTAINERS}.`)
  return { ...values, name, place, dependencies, count }
}

/** Of `service:NAME`. */
export const serviceIn = (text: string | undefined): string | undefined => /^service:(.+)$/s.exec(text ?? '')?.[1]

function check(service: ServiceModel, project: ProjectModel): void {
  const { name, place, image, build, network_mode, networks, ports, container_name, count, platform } = service
  if (image === undefined && build === undefined)
    throw composeError(place, 'there is neither an image nor a build', 'Write image: NAME, or build: ./DIRECTORY.')
  if (build && build.dockerfile !== undefined && build.dockerfile_inline !== undefined)
    throw composeError(place, 'there are two Dockerfiles', 'Leave dockerfile or dockerfile_inline out.')
  if (container_name !== undefined && count > 1)
    throw composeError(place, `${count} containers cannot have one name`, 'Leave container_name out.')
  if (network_mode !== undefined && networks !== undefined)
    throw composeError(place, 'it has networks and a network_mode', 'Leave one of them out.')
  const other = networks
    ? 'networks'
    : network_mode !== undefined
      ? 'a network_mode'
      : ports?.length
        ? 'ports'
        : undefined
  if (service['x-egress'] && other)
    throw composeError(place, `it has ${other}, and x-egress`, 'Leave one of them out: it has no other network then.')
  if (network_mode !== undefined && network_mode !== 'bridge' && ports && ports.length > 0)
    throw composeError(place, `it has ports, and the network_mode ${network_mode}`, 'Leave one of them out.')
  for (const [other, { place: at, required }] of Object.entries(service.dependencies)) {
    if (other === name) throw composeError(at, 'a service cannot depend on itself', 'Take it out.')
    if (!project.services.has(other) && required) throw missing('service', other, at, project.services)
  }
  for (const [network, { place: at }] of Object.entries(networks ?? {}))
    if (!project.networks.has(network)) throw missing('network', network, at, project.networks)
  for (const { type, source, place: at } of service.volumes ?? [])
    if (type === 'volume' && source !== undefined && !project.volumes.has(source))
      throw missing('volume', source, at, project.volumes)
  for (const kind of ['secrets', 'configs'] as const)
    for (const { source, place: at } of service[kind] ?? [])
      if (!project[kind].has(source)) throw missing(kind.slice(0, -1), source, at, project[kind])
  const { platforms = [] } = build ?? {}
  if (platform !== undefined && platforms.length > 0 && !platforms.includes(platform))
    throw composeError(place, `it is not built for its platform, ${platform}`, 'Write that below platforms, too.')
  for (const { source, place: at } of build?.secrets ?? [])
    if (!project.secrets.has(source)) throw missing('secret', source, at, project.secrets)
}

function missing(kind: string, name: string, place: Place, known: ReadonlyMap<string, unknown>) {
  const meant = didYouMean(nearest(name, known.keys()))
  const hint = known.size > 0 ? `There are ${[...known.keys()].join(', ')}.` : `Write it below ${kind}s: at the top.`
  return composeError(place, `there is no ${kind} ${JSON.stringify(name)}${meant}`, hint)
}

/** Services that wait for each other in a row: what walks along them has a stack with an end. */
const LONGEST_CHAIN = 500

/**
 * Services, each behind those that it depends on; otherwise in the order of the file.
 *
 * @throws CaissonError ERR_CAISSON_COMPOSE where they depend on each other, or too many do in a row.
 */
export function startOrder(services: ReadonlyMap<string, ServiceModel>): ServiceModel[] {
  const order: ServiceModel[] = []
  const done = new Set<string>()
  const visit = (service: ServiceModel, chain: readonly string[]) => {
    const { name, dependencies } = service
    if (done.has(name)) return
    for (const [other, { place }] of Object.entries(dependencies)) {
      const next = services.get(other)
      if (!next) continue
      const whole = [...chain, name]
      if (whole.includes(other)) {
        const circle = [...whole.slice(whole.indexOf(other)), other].join(' -> ')
        throw composeError(place, `services depend on each other: ${circle}`, 'Take one of these dependencies out.')
      }
      if (whole.length === LONGEST_CHAIN)
        throw composeError(place, 'too many services depend on each other', `At most ${LONGEST_CHAIN} do in a row.`)
      visit(next, whole)
    }
    done.add(name)
    order.push(service)
  }
  for (const service of services.values()) visit(service, [])
  return order
}

/** Those without a profile or with one that is on, those that are named, and what these depend on. */
export function enabledServices(
  project: ProjectModel,
  profiles: readonly string[],
  named: readonly string[] = [],
): Map<string, ServiceModel> {
  const on = new Set<string>()
  const all = profiles.includes('*')
  const add = (name: string) => {
    if (on.has(name)) return
    on.add(name)
    const { dependencies = {} } = project.services.get(name) ?? {}
    for (const [other, { required }] of Object.entries(dependencies))
      if (required && project.services.has(other)) add(other)
  }
  for (const name of named) {
    if (!project.services.has(name)) throw missing('service', name, { path: '' }, project.services)
    add(name)
  }
  if (named.length === 0)
    for (const { name, profiles: own = [] } of project.services.values())
      if (all || own.length === 0 || own.some((profile) => profiles.includes(profile))) add(name)
  return new Map([...project.services].filter(([name]) => on.has(name)))
}

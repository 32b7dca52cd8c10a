/** A project as one compose file again: variables, merging, short forms and relative paths are behind it. */
import { isPlace } from './node.js'
import type { ProjectModel, ServiceModel } from './project.js'
import type { Dependency, Membership } from './relations.js'
import type { NetworkModel } from './resources.js'
import { SERVICE_FIELDS, type ServiceValues, type VolumesFrom } from './service-fields.js'
import type { FileModel, MountModel, PortModel } from './short-forms.js'

type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain }
type Writers = { [K in keyof ServiceValues]?: (value: NonNullable<ServiceValues[K]>) => unknown }

const milliseconds = (value: number | undefined) => (value === undefined ? undefined : `${value}ms`)

function health({
  interval,
  timeout,
  start_period,
  start_interval,
  ...rest
}: NonNullable<ServiceValues['healthcheck']>) {
  return {
    ...rest,
    interval: milliseconds(interval),
    timeout: milliseconds(timeout),
    start_period: milliseconds(start_period),
    start_interval: milliseconds(start_interval),
  }
}

const octal = (mode: number | undefined) => (mode === undefined ? undefined : `0${mode.toString(8)}`)

const file = ({ mode, ...rest }: FileModel) => ({ ...rest, mode: octal(mode) })

const variables = (files: NonNullable<ServiceValues['env_file']>) =>
  files.map(({ path, required, raw }) => ({ path, required, format: raw ? 'raw' : undefined }))

function mount({ type, source, target, readOnly, propagation, create, size, mode }: MountModel) {
  return {
    type,
    source,
    target,
    read_only: readOnly,
    bind: type === 'bind' ? { propagation, create_host_path: create } : undefined,
    tmpfs: size === undefined && mode === undefined ? undefined : { size, mode: octal(mode) },
  }
}

function temporary({ target, size, mode, uid, gid, readOnly, exec }: MountModel): string {
  const values = Object.entries({ size, mode: octal(mode), uid, gid }).filter(([, value]) => value !== undefined)
  const options = [
    ...values.map(([name, value]) => `${name}=${value}`),
    ...(readOnly ? ['ro'] : []),
    ...(exec ? ['exec'] : []),
  ]
  return options.length > 0 ? `${target}:${options.join()}` : target
}

const port = ({ target, published, address, protocol }: PortModel) => ({
  target,
  published:
    published && (published.first === published.last ? `${published.first}` : `${published.first}-${published.last}`),
  host_ip: address,
  protocol,
})

const membership = ({ aliases, ipv4, ipv6, mac, priority }: Membership) => ({
  aliases,
  ipv4_address: ipv4,
  ipv6_address: ipv6,
  mac_address: mac,
  priority,
})

const borrowed = ({ service, container, readOnly }: VolumesFrom) =>
  `${service ?? `container:${container}`}${readOnly ? ':ro' : ''}`

const each = <T>(record: Readonly<Record<string, T>>, write: (value: T) => unknown) =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, write(value)]))

/** A variable that has no value here is written without one. */
const environment = (values: Readonly<Record<string, string | undefined>>) => each(values, (value) => value ?? null)

/** Of fields that are kept in another form than they are written in. */
const WRITERS: Writers = {
  build: ({ args, secrets, ...rest }) => ({ ...rest, args: args && environment(args), secrets: secrets?.map(file) }),
  configs: (files) => files.map(file),
  env_file: variables,
  environment,
  healthcheck: health,
  label_file: variables,
  links: (links: Record<string, Dependency>) => Object.keys(links),
  logging: ({ driver, options }) => ({
    driver,
    options: options && { 'max-size': options.size, 'max-file': options.files },
  }),
  networks: (networks) => each(networks, membership),
  ports: (ports) => ports.map(port),
  restart: (restart) =>
    typeof restart === 'string' ? restart : `on-failure${restart.onFailure > 0 ? `:${restart.onFailure}` : ''}`,
  secrets: (files) => files.map(file),
  stop_grace_period: milliseconds,
  tmpfs: (mounts) => mounts.map(temporary),
  volumes: (mounts) => mounts.map(mount),
  volumes_from: (sources) => sources.map(borrowed),
}

/** A compose file as an object, with long forms and absolute paths alone. */
export interface ProjectConfig {
  name: string
  services: Record<string, { image?: string; profiles?: string[]; [field: string]: unknown }>
  networks?: Record<string, object>
  volumes?: Record<string, object>
  secrets?: Record<string, object>
  configs?: Record<string, object>
}

/** What compose() would take for the same project. Values have `$$` for `$`. */
export function writtenProject(model: ProjectModel, services: ReadonlyMap<string, ServiceModel>): ProjectConfig {
  const resources = ['volumes', 'secrets', 'configs'] as const
  return plain({
    name: model.name,
    services: fromMap(services, writtenService),
    networks: fromMap(model.networks, network),
    ...Object.fromEntries(resources.map((kind) => [kind, fromMap<object>(model[kind], (each) => each)])),
  }) as unknown as ProjectConfig
}

/** undefined: there are none. */
function fromMap<T>(map: ReadonlyMap<string, T>, write: (value: T) => unknown): object | undefined {
  return map.size === 0 ? undefined : Object.fromEntries([...map].map(([name, value]) => [name, write(value)]))
}

function writtenService(service: ServiceModel): object {
  const fields = Object.keys(SERVICE_FIELDS) as Array<keyof ServiceValues>
  return Object.fromEntries(
    fields.map((name) => {
      const value = service[name]
      const write = WRITERS[name] as ((value: unknown) => unknown) | undefined
      return [name, write && value !== undefined && value !== null ? write(value) : value]
    }),
  )
}

function network({ driver_opts: options, ipam, ...rest }: NetworkModel): object {
  return {
    ...rest,
    driver_opts: options && { 'com.docker.network.driver.mtu': options.mtu },
    ipam: ipam && { config: ipam },
  }
}

/** Without what is not there, and without where it was written. */
function plain(value: unknown): Plain {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value as Plain
  const given = Object.entries(value).filter(([key, each]) => each !== undefined && !isPlace(key, each))
  return Object.fromEntries(given.map(([key, each]) => [key, plain(each)]))
}

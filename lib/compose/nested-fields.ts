/** Fields of services that have fields themselves. */
import { both, type Field, keyed, last, listed, nested, single, type Values } from './field.js'
import { type ComposeNode, composeError, isNull, type Place, unsupported } from './node.js'
import {
  booleanOf,
  type Context,
  durationOf,
  eachKey,
  integerOf,
  listOf,
  mapOf,
  numberOf,
  oneOf,
  oneOrMore,
  pairsOf,
  recordOf,
  sizeOf,
  textOf,
  textsOf,
} from './read.js'
import { type FileModel, filesOf, hostPath } from './short-forms.js'

const HEALTH = {
  test: last(healthTest),
  interval: single(durationOf),
  timeout: single(durationOf),
  start_period: single(durationOf),
  start_interval: single(durationOf),
  retries: single((node, context) => integerOf(node, context, 1)),
  disable: single(booleanOf),
}
export const healthcheck = nested(HEALTH)

function healthTest(node: ComposeNode, context: Context): string[] | undefined {
  if (isNull(node)) return undefined
  if (node.kind !== 'list') return ['CMD-SHELL', textOf(node, context)]
  const words = textsOf(node, context)
  if (['NONE', 'CMD', 'CMD-SHELL'].includes(words[0] ?? '')) return words
  throw composeError(
    node.place,
    'the first word is none of CMD, CMD-SHELL and NONE',
    'Write ["CMD", "program", "argument"].',
  )
}

/** Addresses of repositories and archives are taken as they are. */
const isAddress = (text: string) => /^([a-z+]+:\/\/|git@|github\.com\/)/.test(text)
const contextOf = (node: ComposeNode, context: Context) => {
  const text = textOf(node, context)
  return isAddress(text) ? text : hostPath(text, context)
}

const BUILD = {
  context: single(contextOf),
  dockerfile: single(textOf),
  dockerfile_inline: single(textOf),
  args: keyed(passedOn),
  target: single(textOf),
  labels: keyed(recordOf),
  network: single((node, context) => oneOf(node, context, ['default', 'none', 'host'])),
  no_cache: single(booleanOf),
  pull: single(booleanOf),
  platforms: both(textsOf),
  shm_size: single(sizeOf),
  tags: both(textsOf),
  secrets: listed<FileModel>(filesOf, ({ source }) => source),
  ssh: keyed(agentsOf),
  extra_hosts: both(hostsOf),
  additional_contexts: keyed(contextsOf),
}
const BUILD_REFUSED = {
  cache_from: 'What was built stays in the cache of this machine.',
  cache_to: 'What was built stays in the cache of this machine.',
  entitlements: 'Build it with Image.build({ allow }) and name it as the image.',
  isolation: 'That is for Windows.',
  privileged: 'Build it with Image.build({ allow }) and name it as the image.',
  provenance: 'Attestations are not made.',
  sbom: 'Attestations are not made.',
  ulimits: 'Commands of builds have no limits of their own.',
}
const buildFields = nested(BUILD, BUILD_REFUSED)
export type BuildModel = Values<typeof BUILD>

export const build: Field<BuildModel> = {
  read: (node, context) =>
    node.kind === 'scalar' && !isNull(node) ? { context: contextOf(node, context) } : buildFields.read(node, context),
  merge: buildFields.merge,
}

function passedOn(node: ComposeNode, context: Context): Record<string, string | undefined> {
  return Object.fromEntries([...pairsOf(node, context)].map(([key, value]) => [key, value ?? context.lookup(key)]))
}

function agentsOf(node: ComposeNode, context: Context): Record<string, string> {
  const agents = [...pairsOf(node, context)].map(([id, socket]): [string, string] => {
    const path = socket ?? context.lookup('SSH_AUTH_SOCK')
    if (!path) throw composeError(node.place, 'SSH_AUTH_SOCK is not set', 'Start an agent, or write ID=SOCKET.')
    return [id, hostPath(path, context)]
  })
  return Object.fromEntries(agents)
}

function contextsOf(node: ComposeNode, context: Context): Record<string, string> {
  return Object.fromEntries(
    Object.entries(recordOf(node, context)).map(([name, text]) => {
      if (text.startsWith('service:'))
        throw unsupported(
          node.place,
          'the image of another service is no context',
          'Give its image a name, and write docker-image://NAME.',
        )
      return [name, isAddress(text) ? text : hostPath(text, context)]
    }),
  )
}

/** `name=address` each. */
export function hostsOf(node: ComposeNode, context: Context): string[] {
  if (node.kind === 'map')
    return [...node.entries].flatMap(([name, { value }]) =>
      oneOrMore(value, context).map((address) => hostLine(`${name}=${address}`, value.place)),
    )
  return listOf(node).items.map((item) => hostLine(textOf(item, context), item.place))
}

function hostLine(text: string, place: Place): string {
  const [, name, given = ''] = /^([^=:\s]+)[=:](.+)$/.exec(text) ?? []
  const address = /^\[.*\]$/.test(given) ? given.slice(1, -1) : given
  if (name !== undefined && /^(?:[0-9a-fA-F.:]+|host-gateway)$/.test(address)) return `${name}=${address}`
  throw composeError(place, `${JSON.stringify(text)} is no name with an address`, 'Write "name=10.0.0.1".')
}

const LIMITS = {
  cpus: single(numberOf),
  memory: single(sizeOf),
  pids: single((node, context) => integerOf(node, context, -1)),
}
const RESTART_POLICY = {
  condition: single((node, context) => oneOf(node, context, ['none', 'on-failure', 'any'])),
  max_attempts: single(integerOf),
}
const RESOURCES = { limits: nested(LIMITS) }
const DEPLOY = {
  replicas: single(integerOf),
  resources: nested(RESOURCES, { reservations: 'Nothing is reserved; give limits.' }),
  restart_policy: nested(RESTART_POLICY, {
    delay: 'The time between starts grows by itself.',
    window: 'A program that ran for ten seconds has come up.',
  }),
  mode: single((node, context) => oneOf(node, context, ['replicated'])),
}
const CLUSTER = 'That is for clusters; there is one machine here.'
export const deploy = nested(DEPLOY, {
  endpoint_mode: CLUSTER,
  labels: 'Write them as labels of the service.',
  placement: CLUSTER,
  rollback_config: CLUSTER,
  update_config: CLUSTER,
})

export type UlimitModel = number | { soft: number; hard: number }

export function ulimitsOf(node: ComposeNode, context: Context): Record<string, UlimitModel> {
  return Object.fromEntries(
    [...mapOf(node).entries].map(([name, { value }]): [string, UlimitModel] => {
      if (value.kind !== 'map') return [name, integerOf(value, context, -1)]
      const limit: { soft?: number; hard?: number } = {}
      eachKey(value, ['soft', 'hard'], {}, (key, { value: each }) => {
        limit[key as 'soft'] = integerOf(each, context, -1)
      })
      const { soft, hard = soft } = limit
      if (soft !== undefined && hard !== undefined) return [name, { soft, hard }]
      throw composeError(value.place, 'the soft limit is missing', 'Write soft: 1024 and hard: 4096.')
    }),
  )
}

type DeviceModel<Name extends 'rate' | 'weight'> = { path: string } & Record<Name, number>
export type RateModel = DeviceModel<'rate'>

/** A number for each device. */
const ofDevices = <Name extends 'rate' | 'weight'>(name: Name, example: string, read: Reader) =>
  listed<DeviceModel<Name>>(
    (node, context) =>
      listOf(node).items.map((item) => {
        let path: string | undefined
        let number: number | undefined
        eachKey(item, ['path', name], {}, (key, { value }) => {
          if (key === 'path') path = textOf(value, context)
          else number = read(value, context)
        })
        if (path !== undefined && number !== undefined) return { path, [name]: number } as DeviceModel<Name>
        throw composeError(
          item.place,
          `a path and a ${name} are needed`,
          `Write path: /dev/sda and ${name}: ${example}.`,
        )
      }),
    ({ path }) => path,
  )

type Reader = (node: ComposeNode, context: Context) => number
const rates = (read: Reader) => ofDevices('rate', '1mb', read)

export const blkio = nested(
  {
    weight: single(integerOf),
    device_read_bps: rates(sizeOf),
    device_write_bps: rates(sizeOf),
    device_read_iops: rates(integerOf),
    device_write_iops: rates(integerOf),
    weight_device: ofDevices('weight', '500', integerOf),
  },
  {},
)

/** Files of variables, in order. */
export interface EnvFileModel {
  path: string
  required: boolean
  raw: boolean
  place: Place
}

export function envFilesOf(node: ComposeNode, context: Context): EnvFileModel[] {
  const items = node.kind === 'list' ? node.items : isNull(node) ? [] : [node]
  return items.map((item) => {
    const { place } = item
    if (item.kind !== 'map')
      return { path: hostPath(textOf(item, context), context), required: true, raw: false, place }
    const file: Partial<EnvFileModel> = {}
    eachKey(item, ['path', 'required', 'format'], {}, (key, { value }) => {
      if (key === 'path') file.path = hostPath(textOf(value, context), context)
      else if (key === 'required') file.required = booleanOf(value, context)
      else file.raw = oneOf(value, context, ['raw']) === 'raw'
    })
    if (file.path === undefined) throw composeError(place, 'the path is missing', 'Write path: ./FILE.')
    return { required: true, raw: false, ...file, path: file.path, place }
  })
}

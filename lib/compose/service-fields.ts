/** The fields of a service. docs/compose.md lists them; a test compares. */
import { both, type Fields, keyed, last, listed, nested, single, type Values } from './field.js'
import * as more from './nested-fields.js'
import { type ComposeNode, composeError, type Place, unsupported } from './node.js'
import {
  booleanOf,
  type Context,
  commandOf,
  durationOf,
  eachKey,
  integerOf,
  listOf,
  numberOf,
  oneOf,
  oneOrMore,
  pairsOf,
  recordOf,
  shown,
  sizeOf,
  textOf,
  textsOf,
} from './read.js'
import { dependenciesOf, linksOf, membershipsOf } from './relations.js'
import { type FileModel, filesOf, type MountModel, mountsOf, type PortModel, portsOf, tmpfsOf } from './short-forms.js'

/** A variable without a value is this process's; where that has none, the container has none. */
function environmentOf(node: ComposeNode, context: Context): Record<string, string | undefined> {
  return Object.fromEntries([...pairsOf(node, context)].map(([name, value]) => [name, value ?? context.lookup(name)]))
}

function restartOf(node: ComposeNode, context: Context): 'no' | 'always' | 'unless-stopped' | { onFailure: number } {
  // `restart: no` without quotes, as YAML was once read.
  if (node.kind === 'scalar' && node.value === false) return 'no'
  const text = textOf(node, context)
  const [, retries] = /^on-failure(?::(\d+))?$/.exec(text) ?? []
  if (text.startsWith('on-failure') && (text === 'on-failure' || retries !== undefined))
    return { onFailure: Number(retries ?? 0) }
  return oneOf(node, context, ['no', 'always', 'unless-stopped'])
}

function pullPolicyOf(node: ComposeNode, context: Context): 'always' | 'never' | 'missing' | 'build' {
  const text = textOf(node, context)
  if (text === 'if_not_present') return 'missing'
  if (text === 'daily' || text === 'weekly' || text.startsWith('every_'))
    throw unsupported(node.place, 'images are not fetched by their age', 'Write always, missing or never.')
  return oneOf(node, context, ['always', 'never', 'missing', 'build'])
}

function securityOf(node: ComposeNode, context: Context): string[] {
  const texts = textsOf(node, context)
  for (const [i, text] of texts.entries())
    if (
      !/^(no-new-privileges([:=](true|false))?|seccomp[:=](unconfined|builtin)|apparmor[:=]unconfined|label[:=]disable)$/.test(
        text,
      )
    )
      throw unsupported(
        node.kind === 'list' ? (node.items[i] as ComposeNode).place : node.place,
        `${JSON.stringify(text)} is not there`,
        'There are no-new-privileges:true, no-new-privileges:false and seccomp:unconfined.',
      )
  return texts
}

/** `service:NAME`, or one of the words. */
const shares =
  (words: readonly string[]) =>
  (node: ComposeNode, context: Context): string => {
    const text = textOf(node, context)
    if (words.includes(text) || /^service:./.test(text)) return text
    throw composeError(node.place, `${shown(node)} is not known`, `Write ${[...words, 'service:NAME'].join(', ')}.`)
  }

const networkModeOf = (node: ComposeNode, context: Context): string => {
  const text = textOf(node, context)
  if (/^container:./.test(text)) return text
  return shares(['none', 'host', 'bridge'])(node, context)
}

const port = ({ target, published, address, protocol }: PortModel) =>
  JSON.stringify([target, published, address, protocol])
const mounted = ({ target }: MountModel) => target.replace(/(.)\/+$/, '$1')
const given = ({ source, target = source }: FileModel) => target

/** Of docker's drivers for logs those that keep them on this machine, and the one that keeps nothing. */
const LOG_DRIVERS = ['json-file', 'local', 'none'] as const

function logDriverOf(node: ComposeNode, context: Context): (typeof LOG_DRIVERS)[number] {
  const text = textOf(node, context)
  const known = LOG_DRIVERS.find((each) => each === text)
  if (known) return known
  throw unsupported(
    node.place,
    `logs are not sent anywhere (${text})`,
    `Write ${LOG_DRIVERS.join(', ')}; logs() gives what a container prints.`,
  )
}

function logOptionsOf(node: ComposeNode, context: Context): { size?: number; files?: number } {
  const found: { size?: number; files?: number } = {}
  // What these ask for is how docker writes its files, and nothing that is read from ours.
  const idle = { compress: true, mode: true, 'max-buffer-size': true }
  eachKey(node, ['max-size', 'max-file', ...Object.keys(idle)], LOG_OPTIONS_REFUSED, (key, { value }) => {
    if (key === 'max-size') found.size = sizeOf(value, context)
    else if (key === 'max-file') found.files = integerOf(value, context, 1)
  })
  return found
}

const LOG_OPTIONS_REFUSED = {
  labels: 'Logs have no labels; ps() and inspect() tell those of containers.',
  env: 'Logs have no variables.',
  tag: 'Logs have no tags.',
}

const LOGGING = { driver: single(logDriverOf), options: single(logOptionsOf) }

/** `SERVICE`, `SERVICE:ro` or `container:NAME:ro`. */
export interface VolumesFrom {
  service?: string
  container?: string
  readOnly: boolean
  place: Place
}

function volumesFromOf(node: ComposeNode, context: Context): VolumesFrom[] {
  return listOf(node).items.map((item) => {
    const [, container, name, mode = 'rw'] = /^(container:)?([^:]+)(?::(ro|rw))?$/.exec(textOf(item, context)) ?? []
    if (name === undefined)
      throw composeError(item.place, `${shown(item)} names no volumes`, 'Write SERVICE, SERVICE:ro or container:NAME.')
    return { [container ? 'container' : 'service']: name, readOnly: mode === 'ro', place: item.place }
  })
}

export const SERVICE_FIELDS = {
  attach: single(booleanOf),
  blkio_config: more.blkio,
  build: more.build,
  cap_add: both(textsOf),
  cap_drop: both(textsOf),
  cgroup: single((node, context) => oneOf(node, context, ['host', 'private'])),
  command: last(commandOf),
  configs: listed(filesOf, given),
  container_name: single(textOf),
  cpu_period: single(numberOf),
  cpu_quota: single(numberOf),
  cpu_shares: single((node, context) => integerOf(node, context, 2)),
  cpus: single(numberOf),
  cpuset: single(textOf),
  depends_on: keyed(dependenciesOf),
  deploy: more.deploy,
  // Of `watch`, which is another command.
  develop: last((): undefined => undefined),
  devices: both(textsOf),
  dns: both(oneOrMore),
  dns_opt: both(textsOf),
  dns_search: both(oneOrMore),
  domainname: single(textOf),
  entrypoint: last(commandOf),
  env_file: both(more.envFilesOf),
  environment: keyed(environmentOf),
  // A note for readers: on a network all ports can be reached.
  expose: both(textsOf),
  extra_hosts: both(more.hostsOf),
  group_add: both(textsOf),
  healthcheck: more.healthcheck,
  hostname: single(textOf),
  image: single(textOf),
  init: single(booleanOf),
  ipc: single(shares(['host', 'private', 'shareable'])),
  label_file: both(more.envFilesOf),
  labels: keyed(recordOf),
  links: keyed(linksOf),
  logging: nested(LOGGING),
  mac_address: single(textOf),
  mem_limit: single(sizeOf),
  mem_reservation: single(sizeOf),
  mem_swappiness: single(integerOf),
  memswap_limit: single((node, context) => (node.kind === 'scalar' && node.value === -1 ? -1 : sizeOf(node, context))),
  network_mode: single(networkModeOf),
  networks: keyed(membershipsOf),
  oom_score_adj: single((node, context) => integerOf(node, context, -1000)),
  pid: single(shares(['host'])),
  pids_limit: single((node, context) => integerOf(node, context, -1)),
  platform: single(textOf),
  ports: listed(portsOf, port),
  privileged: single(booleanOf),
  profiles: both(textsOf),
  pull_policy: single(pullPolicyOf),
  read_only: single(booleanOf),
  restart: single(restartOf),
  scale: single(integerOf),
  secrets: listed(filesOf, given),
  security_opt: both(securityOf),
  shm_size: single(sizeOf),
  stdin_open: single(booleanOf),
  stop_grace_period: single(durationOf),
  stop_signal: single(textOf),
  storage_opt: keyed(storageOf),
  sysctls: keyed(recordOf),
  tmpfs: listed((node, context) => oneOrMore(node, context).map((text) => tmpfsOf(text, node.place)), mounted),
  tty: single(booleanOf),
  ulimits: keyed(more.ulimitsOf),
  user: single(textOf),
  userns_mode: single((node, context) => oneOf(node, context, ['host'])),
  uts: single((node, context) => oneOf(node, context, ['host'])),
  volumes: listed(mountsOf, mounted),
  volumes_from: both(volumesFromOf),
  working_dir: single(textOf),
  // Ours: others do not look at it, and would let everything out.
  'x-egress': both(textsOf),
} satisfies Fields

function storageOf(node: ComposeNode, context: Context): Record<string, string> {
  const options = recordOf(node, context)
  for (const key of Object.keys(options))
    if (key !== 'size') throw unsupported(node.place, `there is no option ${key}`, 'Write size: 10g.')
  return options
}

export type ServiceValues = Values<typeof SERVICE_FIELDS>

const WINDOWS = 'That is for Windows.'
const REALTIME = 'Realtime scheduling is not there.'

/** Fields that are known and not there, with what to do instead. */
export const SERVICE_REFUSED: Readonly<Record<string, string>> = {
  annotations: 'Write labels.',
  cgroup_parent: 'Containers have cgroups below that of this process.',
  cpu_count: WINDOWS,
  cpu_percent: WINDOWS,
  cpu_rt_period: REALTIME,
  cpu_rt_runtime: REALTIME,
  credential_spec: WINDOWS,
  device_cgroup_rules: 'Write devices.',
  external_links: 'Put both on one network.',
  gpus: 'Write devices.',
  isolation: WINDOWS,
  models: 'Models are not run.',
  oom_kill_disable: 'Write oom_score_adj.',
  post_start: 'Write what is to be done into a service of its own that depends on this one.',
  pre_stop: 'Handle the stop signal in the program.',
  provider: 'Programs of others are not called.',
  runtime: 'There is one runtime.',
  use_api_socket: 'There is no socket.',
  volume_driver: 'There are volumes of this machine only.',
}

/** What was asked for must not silently be missing: a misspelled limit or protection is an error. */
import { invalidArgument } from '../../errors.js'
import type {
  ContainerOptions,
  ExecOptions,
  HealthcheckOptions,
  Limits,
  Mount,
  SecurityOptions,
} from '../../options.js'
import { parsePlatform } from '../../spec/platform.js'
import { checkNames } from '../../util/option-names.js'
import { checkContainerName } from '../container/registry.js'
import { checkRestart } from '../container/restart.js'
import { checkSignal } from '../process/verdict.js'
import { checkEgress } from './egress.js'
import {
  abortSignal,
  anyText,
  duration,
  either,
  elsewhere,
  environment,
  flag,
  input,
  isObject,
  isText,
  isTexts,
  type Kind,
  list,
  number,
  object,
  objectOf,
  oneOf,
  size,
  terminal,
  text,
  textOrNumber,
  texts,
} from './kinds.js'

/** A kind for each property of a type; the compiler says when one is missing. */
type Kinds<T> = Record<keyof Required<T>, Kind>

const EXEC: Kinds<ExecOptions> = {
  env: environment,
  workdir: text,
  user: elsewhere,
  tty: terminal,
  input,
  timeout: duration,
  cpuTimeout: duration,
  maxOutput: size,
  signal: abortSignal,
  throwOnError: flag,
}

const POOL_RUN = { ...EXEC, files: object } as const

const HEALTHCHECK: Kinds<HealthcheckOptions> = {
  test: either('a command line or its words', isText, isTexts),
  interval: duration,
  timeout: duration,
  startPeriod: duration,
  startInterval: duration,
  retries: number,
}

const LIMITS: Kinds<Limits> = {
  memory: size,
  memorySwap: elsewhere,
  memoryHigh: size,
  memoryReservation: size,
  memorySwappiness: number,
  cpus: textOrNumber,
  cpuWeight: number,
  cpuset: text,
  cpusetMems: text,
  pids: number,
  io: fields({
    weight: number,
    devices: each({ path: text, readBps: size, writeBps: size, readIops: number, writeIops: number, weight: number }),
  }),
  disk: size,
  hugepages: object,
  unified: object,
}

const SECURITY: Kinds<SecurityOptions> = {
  capabilities: fields({ add: texts, drop: texts }),
  seccomp: elsewhere,
  noNewPrivileges: flag,
  privileged: flag,
  maskedPaths: texts,
  readonlyPaths: texts,
  userns: elsewhere,
  landlock: elsewhere,
  require: oneOf('namespaces', 'landlock'),
}

const MOUNT: Kinds<Mount> = {
  type: elsewhere,
  source: elsewhere,
  target: elsewhere,
  readOnly: flag,
  mode: elsewhere,
  uid: elsewhere,
  gid: elsewhere,
  exec: flag,
  size,
  propagation: elsewhere,
  idmap: elsewhere,
}

const signal: Kind = (value, option) => {
  textOrNumber(value, option)
  checkSignal(value as string, option)
}

const CONTAINER: Kinds<ContainerOptions & ExecOptions> = {
  ...EXEC,
  name: (value, option) => {
    text(value, option)
    checkContainerName(value as string)
  },
  hostname: text,
  domainname: text,
  entrypoint: texts,
  labels: objectOf(anyText),
  init: flag,
  stopSignal: signal,
  stopTimeout: duration,
  files: object,
  mounts: each(MOUNT),
  readOnly: flag,
  limits: fields(LIMITS),
  ulimits: object,
  sysctls: objectOf(textOrNumber),
  devices: texts,
  shmSize: size,
  storage: oneOf('memory', 'disk'),
  network: either(
    'none, host, bridge, a Network or its name, or a running Container',
    (value) => typeof value === 'string' || isObject(value),
  ),
  networks: list,
  ports: list,
  publishAllPorts: either('true, false or { address }', (value) => typeof value === 'boolean', isObject),
  dns: texts,
  dnsSearch: texts,
  dnsOptions: texts,
  extraHosts: either('an object of addresses by name, or an array of name:address', isObject, isTexts),
  namespaces: object,
  security: fields(SECURITY),
  pull: oneOf('missing', 'always', 'never'),
  platform: (value, option) => {
    text(value, option)
    parsePlatform(value as string)
  },
  egress: elsewhere,
  healthcheck: (value, option) => {
    if (value !== false) fields(HEALTHCHECK)(value, option)
  },
  restart: (value) => void checkRestart(value as ContainerOptions['restart']),
  stdinOpen: flag,
  attachable: flag,
  logLimit: size,
  oomScoreAdj: number,
  groups: list,
}

export function checkContainerOptions(options: ContainerOptions): void {
  checkFields(options, CONTAINER, '')
  if (options.egress !== undefined) checkEgress(options)
}

export function checkLimits(limits: Limits): void {
  checkFields(limits, LIMITS, 'limits.')
}

/** Of Container.update(). */
export function checkUpdate(changes: unknown): void {
  checkFields(changes, { limits: fields(LIMITS), signal: abortSignal }, '')
}

export function checkExecOptions(options: ExecOptions): void {
  checkFields(options, EXEC, '')
}

/** Of Pool.run(). */
export function checkPoolRunOptions(options: ExecOptions & { files?: unknown }): void {
  checkFields(options, POOL_RUN, '')
}

/** What an Execution itself uses, before whoever launches it has looked. */
export function checkProgram(options: ExecOptions): void {
  if (!isObject(options)) throw invalidArgument('options', options, 'an object')
  const { input, signal } = options
  if (input !== undefined) EXEC.input(input, 'input')
  if (signal !== undefined) abortSignal(signal, 'signal')
}

function checkFields(given: unknown, known: Record<string, Kind>, prefix: string): void {
  if (!isObject(given)) throw invalidArgument(prefix.slice(0, -1) || 'options', given, 'an object')
  checkNames(given, known, prefix)
  for (const name in given) {
    const value = given[name]
    if (value !== undefined) known[name]?.(value, `${prefix}${name}`)
  }
}

/** An object with these options. */
function fields(known: Record<string, Kind>): Kind {
  return (value, option) => checkFields(value, known, `${option}.`)
}

/** An array of such objects. */
function each(known: Record<string, Kind>): Kind {
  return (value, option) => {
    if (!Array.isArray(value)) throw invalidArgument(option, value, 'an array')
    for (const [i, one] of value.entries()) checkFields(one, known, `${option}[${i}].`)
  }
}

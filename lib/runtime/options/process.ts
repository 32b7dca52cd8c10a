/** The process part of a configuration: command, environment, user, capabilities, limits. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../../errors.js'
import type { ContainerOptions, Environment } from '../../options.js'
import { chooseCapabilities, normalizeCapability, withinBounding } from '../../spec/capabilities.js'
import { DEFAULT_PATH } from '../../spec/defaults.js'
import type { ImageConfig } from '../../spec/image.js'
import { resourceName } from '../../spec/rlimits.js'
import type { SpecProcess, SpecRlimit } from '../../spec/runtime.js'
import { insidePath } from '../../util/paths.js'

/** Docker's rule: an entrypoint given by the caller drops the image's command as well. */
export function commandLine(
  image: ImageConfig,
  entrypoint: readonly string[] | undefined,
  command?: readonly string[],
): string[] {
  const head = entrypoint ?? image.Entrypoint ?? []
  const tail = command ?? (entrypoint === undefined ? (image.Cmd ?? []) : [])
  const args = [...head, ...tail]
  if (args.length === 0)
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'there is no command, and the image brings none', {
      stage: 'options',
      hint: 'Give a command, or options.entrypoint.',
    })
  for (const arg of args)
    if (typeof arg !== 'string' || arg.includes('\0')) throw invalidArgument('command', arg, 'a string without NUL')
  return args
}

/** Later lists win; a name keeps the place where it came first. */
export function mergeEnvironment(...lists: Array<Environment | undefined>): string[] {
  const merged = new Map<string, string>()
  for (const list of lists) {
    if (list === undefined) continue
    const pairs = Array.isArray(list)
      ? list.map(splitVariable)
      : Object.entries(list as Record<string, string | undefined>)
    for (const [name, value] of pairs) {
      if (value === undefined) merged.delete(name)
      else merged.set(checkName(name), checkValue(name, value))
    }
  }
  return [...merged].map(([name, value]) => `${name}=${value}`)
}

function splitVariable(text: unknown): [string, string] {
  if (typeof text !== 'string') throw invalidArgument('env', text, 'a text such as NAME=value')
  const equals = text.indexOf('=', 1)
  return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)]
}

function checkName(name: string): string {
  if (name === '' || name.includes('=') || name.includes('\0'))
    throw invalidArgument('env', name, 'a variable name without "=" and NUL')
  return name
}

function checkValue(name: string, value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean')
    throw invalidArgument(`env.${name}`, value, 'a string')
  const text = String(value)
  if (text.includes('\0')) throw invalidArgument(`env.${name}`, value, 'a string without NUL')
  return text
}

export interface ProcessOptions
  extends Pick<
    ContainerOptions,
    'env' | 'workdir' | 'user' | 'tty' | 'ulimits' | 'security' | 'groups' | 'oomScoreAdj'
  > {}

/** `user` as text for the lookup in the image; numbers stay what they are. */
export function userText(user: string | number | undefined, image: ImageConfig): string {
  if (user === undefined) return image.User ?? ''
  if (typeof user === 'number') {
    if (!Number.isInteger(user) || user < 0 || user > 0x7fffffff) throw invalidArgument('user', user, 'a user id')
    return String(user)
  }
  if (typeof user !== 'string' || user.includes('\0') || user.includes('\n') || user.split(':').length > 2)
    throw invalidArgument('user', user, 'a name or id, with :group or without')
  return user
}

/** Docker's defaults, then the image's, then the caller's. */
export function programEnvironment(
  image: ImageConfig,
  { env, tty }: Pick<ContainerOptions, 'env' | 'tty'>,
  hostname: string,
): string[] {
  const terminal = tty !== undefined && tty !== false
  return mergeEnvironment(
    { PATH: DEFAULT_PATH, HOSTNAME: hostname, ...(terminal ? { TERM: 'xterm' } : {}) },
    image.Env,
    env,
  )
}

export function processSpec(
  args: string[],
  image: ImageConfig,
  options: ProcessOptions,
  hostname: string,
): SpecProcess {
  const { security = {}, tty } = options
  const terminal = tty !== undefined && tty !== false
  const capabilities = chosenCapabilities(security)
  return {
    terminal,
    ...(typeof tty === 'object' ? { consoleSize: { height: tty.rows, width: tty.columns } } : {}),
    user: { uid: 0, gid: 0 },
    args,
    env: programEnvironment(image, options, hostname),
    cwd:
      options.workdir === undefined
        ? path.posix.resolve('/', image.WorkingDir ?? '')
        : insidePath(options.workdir, 'workdir'),
    // Never inheritable or ambient: a program without file capabilities would get them back (CVE-2022-24769).
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    rlimits: rlimits(options.ulimits),
    noNewPrivileges: security.noNewPrivileges ?? !security.privileged,
    ...(options.oomScoreAdj === undefined ? {} : { oomScoreAdj: oomScore(options.oomScoreAdj) }),
  }
}

/** What is asked for by name must be given; "all" is what we have. */
function chosenCapabilities({ privileged, capabilities = {} }: NonNullable<ContainerOptions['security']>): string[] {
  const { add = [], drop = [] } = capabilities
  const all = privileged || add.some((name) => normalizeCapability(name) === 'ALL')
  if (!all) return chooseCapabilities(add, drop)
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  return withinBounding(chooseCapabilities(['ALL'], drop), bounding)
}

function oomScore(value: number): number {
  if (!Number.isInteger(value) || value < -1000 || value > 1000)
    throw invalidArgument('oomScoreAdj', value, 'an integer from -1000 to 1000')
  return value
}

/** Docker's `1024:2048`. */
function softAndHard(limit: unknown): { soft: unknown; hard: unknown } {
  if (typeof limit !== 'string') return { soft: limit, hard: limit }
  const colon = limit.indexOf(':')
  return colon < 0 ? { soft: limit, hard: limit } : { soft: limit.slice(0, colon), hard: limit.slice(colon + 1) }
}

function rlimits(ulimits: ContainerOptions['ulimits']): SpecRlimit[] {
  if (Array.isArray(ulimits)) throw invalidArgument('ulimits', ulimits, 'an object such as { nofile: 1024 }')
  return Object.entries(ulimits ?? {}).map(([name, limit]) => {
    const wanted = 'an integer, -1 or unlimited for no limit, soft:hard or { soft, hard } of these'
    const { soft: low, hard: high } = typeof limit === 'object' && limit !== null ? limit : softAndHard(limit)
    const [soft, hard] = [low, high].map((value) => {
      const bound = value === 'unlimited' ? -1 : typeof value === 'string' && value !== '' ? Number(value) : value
      if (typeof bound === 'number' && Number.isInteger(bound) && bound >= -1) return bound
      throw invalidArgument(`ulimits.${name}`, typeof limit === 'object' ? value : limit, wanted)
    }) as [number, number]
    if (hard !== -1 && (soft === -1 || soft > hard))
      throw invalidArgument(`ulimits.${name}`, soft, 'a soft limit that is not above the hard one')
    return { type: resourceName(name), soft, hard }
  })
}

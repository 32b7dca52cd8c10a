/** What the query of a build asks for, as options of Image.build(). */
import type { BuildOptions } from '../build/options.js'
import { Fields } from '../spec/fields.js'
import { type Json, parseDocument } from '../spec/json.js'
import { fieldsOf } from './body.js'
import type { Call } from './call.js'
import { badRequest, notImplemented, QUERY } from './failure.js'
import { limitsOf, whole } from './host-limits.js'
import { registryConfig } from './registry-config.js'

/** What cannot be had; clients also send these empty. */
const ABSENT = ['remote', 'cgroupparent', 'isolation', 'outputs', 'securityopt', 'session', 'squash'] as const

export function buildOptions(call: Call): BuildOptions {
  for (const name of ABSENT)
    if (call.flag(name) && !isEmptyJson(call.text(name))) throw notImplemented(`${name} of a build`)
  if ((call.text('version') ?? '1') !== '1') throw notImplemented('BuildKit', 'Set DOCKER_BUILDKIT=0')
  const asked: BuildOptions = {
    dockerfile: dockerfileOf(call),
    target: call.text('target'),
    platform: call.text('platform'),
    tag: call.query.getAll('t').filter(Boolean),
    args: argumentsOf(call),
    labels: jsonOf(call, 'labels').map('labels'),
    noCache: call.flag('nocache') || undefined,
    pull: call.flag('pull') ? 'always' : undefined,
    network: networkOf(call.text('networkmode')),
    extraHosts: listOf(call, 'extrahosts'),
    shmSize: call.whole('shmsize') || undefined,
    ulimits: ulimitsOf(call),
    limits: limitsOf(limitsIn(call)),
    cacheFrom: cachesOf(call),
    auth: registryConfig(call.headers['x-registry-config']),
  }
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined))
}

const isEmptyJson = (text: string | undefined) => ['[]', '{}', 'null', 'default'].includes(text ?? 'null')

/** Looked for in the context alone. undefined: under the usual names. */
function dockerfileOf(call: Call): string | undefined {
  const name = call.text('dockerfile') ?? 'Dockerfile'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\u0000-\u001f]/.test(name)) throw badRequest('dockerfile has characters that no name has')
  return name === 'Dockerfile' ? undefined : name
}

/** As a field of an object, for the checks that those have. */
function jsonOf(call: Call, name: string): Fields {
  const text = call.text(name) ?? 'null'
  return new Fields(parseDocument(Buffer.from(`{${JSON.stringify(name)}:${text}}`), QUERY), QUERY, '')
}

/** null is what a client has no value for: it is not taken from this process. */
function argumentsOf(call: Call): BuildOptions['args'] {
  const given = Object.entries(jsonOf(call, 'buildargs').object('buildargs') ?? {})
  const args = fieldsOf({ buildargs: Object.fromEntries(given.filter(([, value]) => value !== null)) })
  return args.map('buildargs')
}

function networkOf(mode: string | undefined): BuildOptions['network'] {
  switch (mode) {
    case undefined:
    case 'default':
    case 'bridge':
      return undefined
    case 'none':
    case 'host':
      return mode
    default:
      throw notImplemented(`the network ${mode.slice(0, 100)} of a build`, 'There are default, none and host')
  }
}

/** One for each time that it is there. */
function listOf(call: Call, name: string): string[] | undefined {
  const list = call.query.getAll(name).filter((each) => each !== '' && !isEmptyJson(each))
  return list.length > 0 ? list : undefined
}

function ulimitsOf(call: Call): BuildOptions['ulimits'] {
  const list = jsonOf(call, 'ulimits').objects('ulimits') ?? []
  if (list.length === 0) return undefined
  return Object.fromEntries(
    list.map((each) => {
      const name = fieldsOf(each, 'ulimits.').requiredText('Name')
      return [name, { soft: whole(each, 'Soft') ?? 0, hard: whole(each, 'Hard') ?? whole(each, 'Soft') ?? 0 }]
    }),
  )
}

/** By their names in a HostConfig. */
function limitsIn(call: Call): Json {
  return {
    Memory: call.whole('memory'),
    MemorySwap: call.whole('memswap'),
    CpuShares: call.whole('cpushares'),
    CpuPeriod: call.whole('cpuperiod'),
    CpuQuota: call.whole('cpuquota'),
    CpusetCpus: call.text('cpusetcpus'),
    CpusetMems: call.text('cpusetmems'),
  }
}

/** The caches that images of registries have in them. */
function cachesOf(call: Call): BuildOptions['cacheFrom'] {
  const names = jsonOf(call, 'cachefrom').texts('cachefrom') ?? []
  return names.length > 0 ? names.map((ref) => ({ type: 'registry', ref })) : undefined
}

/** How registries are reached: options of the caller over the environment over caisson's configuration files. */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../errors.js'
import { inSubnet, parseSubnet } from './address.js'
import { splitHost } from './host.js'

export interface RegistryConfiguration {
  /** By registry, in the order in which they are asked: `host[:port]`, or with `http://` or `https://` before it. */
  mirrors: Record<string, string[]>
  /** `host[:port]`, or for hosts given by address a subnet such as 10.0.0.0/8. */
  insecureRegistries: string[]
  /** `host[:port]` of token servers that may have an address which is not public. */
  tokenServers: string[]
}

type Lists = Partial<RegistryConfiguration>

/** Those of the user decide, key by key, over those of the machine. */
export function configurationFiles(env: NodeJS.ProcessEnv, home = homedir()): string[] {
  if (env.CAISSON_CONFIG) return [env.CAISSON_CONFIG]
  return [
    path.join(env.XDG_CONFIG_HOME || path.join(home, '.config'), 'caisson/config.json'),
    '/etc/caisson/config.json',
  ]
}

export async function loadConfiguration(options: Lists, env: NodeJS.ProcessEnv): Promise<RegistryConfiguration> {
  const files = await Promise.all(configurationFiles(env).map(readConfiguration))
  const layers = [checkLists(options), fromEnvironment(env), ...files]
  const first = <Key extends keyof RegistryConfiguration>(key: Key) => layers.find((layer) => layer[key])?.[key]
  return {
    mirrors: first('mirrors') ?? {},
    insecureRegistries: first('insecureRegistries') ?? [],
    tokenServers: first('tokenServers') ?? [],
  }
}

/** CAISSON_REGISTRY_MIRRORS: `mirror` is one of docker.io, `registry=mirror` one of another; all lists with commas. */
function fromEnvironment(env: NodeJS.ProcessEnv): Lists {
  const list = (name: string) => {
    const items = env[name]?.split(',').map((item) => item.trim())
    return items?.filter((item) => item !== '')
  }
  const pairs = list('CAISSON_REGISTRY_MIRRORS')
  let mirrors: Record<string, string[]> | undefined
  if (pairs) {
    mirrors = Object.create(null) as Record<string, string[]>
    for (const pair of pairs) {
      const [registry, mirror] = pair.includes('=') ? pair.split('=', 2) : ['docker.io', pair]
      mirrors[registry as string] ??= []
      mirrors[registry as string]?.push(mirror as string)
    }
  }
  return checkLists({
    mirrors,
    insecureRegistries: list('CAISSON_INSECURE_REGISTRIES'),
    tokenServers: list('CAISSON_TOKEN_SERVERS'),
  })
}

async function readConfiguration(file: string): Promise<Lists> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return {}
    throw fileError(file, `it cannot be read: ${code}`)
  }
  let value: Record<string, unknown>
  try {
    value = JSON.parse(text)
  } catch {
    throw fileError(file, 'it is not JSON')
  }
  if (typeof value !== 'object' || value === null) throw fileError(file, 'it is not a JSON object')
  // A list is docker's form, and means the mirrors of docker.io.
  const mirrors = value['registry-mirrors']
  try {
    return checkLists({
      mirrors: (Array.isArray(mirrors) ? { 'docker.io': mirrors } : mirrors) as Lists['mirrors'],
      insecureRegistries: value['insecure-registries'] as string[] | undefined,
      tokenServers: value['token-servers'] as string[] | undefined,
    })
  } catch (error) {
    throw fileError(file, (error as Error).message)
  }
}

function fileError(file: string, what: string): CaissonError {
  return new CaissonError('ERR_CAISSON_REGISTRY_CONFIG', `${file}: ${what}`, {
    stage: 'registry: configuration',
    hint: 'Mend the file; docs/registries.md says what may be in it.',
  })
}

function checkLists({ mirrors, insecureRegistries, tokenServers }: Lists): Lists {
  if (mirrors !== undefined) {
    if (typeof mirrors !== 'object' || mirrors === null) throw invalidArgument('mirrors', mirrors, 'lists by registry')
    for (const [registry, list] of Object.entries(mirrors)) {
      checkHost(registry, 'mirrors')
      for (const mirror of checkList(list, `mirrors[${JSON.stringify(registry)}]`)) parseMirror(mirror)
    }
  }
  for (const entry of checkList(insecureRegistries ?? [], 'insecureRegistries'))
    if (!parseSubnet(entry)) checkHost(entry, 'insecureRegistries')
  for (const entry of checkList(tokenServers ?? [], 'tokenServers')) checkHost(entry, 'tokenServers')
  return { mirrors, insecureRegistries, tokenServers }
}

function checkList(value: unknown, option: string): string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw invalidArgument(option, value, 'a list of strings')
}

function checkHost(text: string, option: string): void {
  if (!splitHost(text)) throw invalidArgument(option, text, 'host or host:port')
}

export interface Mirror {
  host: string
  /** Undefined: as for any registry of that name. */
  scheme?: 'http' | 'https'
}

export function parseMirror(text: string): Mirror {
  const match = /^(?:(https?):\/\/)?([^/]+)\/?$/.exec(text)
  if (!match || !splitHost(match[2] as string))
    throw invalidArgument('mirrors', text, 'host[:port], with http:// or https:// before it or not')
  return { host: match[2] as string, ...(match[1] ? { scheme: match[1] as 'http' | 'https' } : {}) }
}

/** Whether a registry was named as one that may be spoken to without TLS, or with any certificate. */
export function isNamedInsecure(host: string, { insecureRegistries }: RegistryConfiguration): boolean {
  const bare = splitHost(host)?.host ?? host
  return insecureRegistries.some((entry) => {
    const subnet = parseSubnet(entry)
    return entry === host || (subnet !== undefined && inSubnet(subnet, bare))
  })
}

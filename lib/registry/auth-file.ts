/**
 * Files with credentials: Docker's config.json and containers' auth.json, which have the same form. Pure.
 */
import { CaissonError } from '../errors.js'

/** How to log in to one registry. */
export interface Credentials {
  username?: string
  password?: string
  /** Exchanged for tokens at the token server (a refresh token of OAuth 2). */
  identityToken?: string
  /** Given to the registry as it is. */
  registryToken?: string
}

export interface AuthFile {
  path: string
  auths: Record<string, unknown>
  credHelpers: Record<string, string>
  credsStore?: string
}

/** A file that cannot be understood is an error: going on without login would be a puzzle to its owner. */
export function parseAuthFile(text: string, path: string): AuthFile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw configError(path, 'it is not JSON')
  }
  if (!isObject(value)) throw configError(path, 'it is not a JSON object')
  const { auths = {}, credHelpers = {}, credsStore } = value
  if (!isObject(auths)) throw configError(path, 'auths is not an object')
  if (!isObject(credHelpers) || Object.values(credHelpers).some((name) => typeof name !== 'string'))
    throw configError(path, 'credHelpers is not an object of names')
  if (credsStore !== undefined && typeof credsStore !== 'string') throw configError(path, 'credsStore is not a name')
  return {
    path,
    auths,
    credHelpers: credHelpers as Record<string, string>,
    ...(credsStore ? { credsStore } : {}),
  }
}

/** An entry of `auths`; undefined when nothing is in it. `auth` decides over `username` and `password`. */
export function parseAuthEntry(entry: unknown, path: string): Credentials | undefined {
  if (!isObject(entry)) throw configError(path, 'an entry of auths is not an object')
  const text = (name: string) => {
    const value = entry[name] ?? ''
    if (typeof value !== 'string') throw configError(path, `${name} in an entry of auths is not a string`)
    return value
  }
  let [username, password] = [text('username'), text('password')]
  const auth = text('auth')
  if (auth !== '') [username, password] = decodeAuth(auth, path)
  return madeCredentials({
    username,
    password,
    identityToken: text('identitytoken'),
    registryToken: text('registrytoken'),
  })
}

function decodeAuth(auth: string, path: string): [string, string] {
  const decoded = /^[A-Za-z0-9+/]+={0,2}$/.test(auth) ? Buffer.from(auth, 'base64').toString('utf8') : ''
  const colon = decoded.indexOf(':')
  if (colon <= 0) throw configError(path, 'auth in an entry of auths is not the base64 of username:password')
  // Old versions of docker filled it up with zero bytes.
  return [decoded.slice(0, colon), decoded.slice(colon + 1).replace(/\0+$/, '')]
}

/** Without what is empty; undefined when all is. */
export function madeCredentials(all: Credentials): Credentials | undefined {
  const filled = Object.entries(all).filter(([, value]) => typeof value === 'string' && value !== '')
  return filled.length === 0 ? undefined : Object.fromEntries(filled)
}

/** The names under which credentials for a registry may be kept, the one that docker uses first. */
export function authNames(host: string): string[] {
  const docker = ['docker.io', 'index.docker.io', 'registry-1.docker.io']
  return docker.includes(host) ? ['https://index.docker.io/v1/', ...docker] : [host]
}

/** The entry for a repository: of names with a path the longest that fits, else the one of the host. */
export function findAuth(file: AuthFile, host: string, repository: string): unknown {
  const names = authNames(host)
  const hosts = new Set(names.map(hostOf))
  let best: { length: number; entry: unknown } | undefined
  for (const [key, entry] of Object.entries(file.auths)) {
    const length = matchLength(key, names, hosts, repository)
    if (length !== undefined && (!best || length > best.length)) best = { length, entry }
  }
  return best?.entry
}

/** docker writes addresses, whose path is of no matter; podman writes names, whose path is a namespace. */
function matchLength(key: string, names: string[], hosts: Set<string>, repository: string): number | undefined {
  if (names.includes(key)) return 1
  if (!hosts.has(hostOf(key))) return undefined
  if (SCHEME.test(key)) return 0
  const path = key.slice(hostOf(key).length + 1)
  if (path === '') return 1
  return repository === path || repository.startsWith(`${path}/`) ? 1 + path.length : undefined
}

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\/(?=[^/])/i

/** The host and port that a key of `auths` is about. */
export function hostOf(key: string): string {
  const host = key.replace(SCHEME, '').split('/')[0] as string
  // Of an address, as docker's url.Parse: the last colon is the port's.
  const [, ipv6, port] = (SCHEME.test(key) && /^([^[]*:[^[]*):(\d+)$/.exec(host)) || []
  return ipv6 === undefined ? host : `[${ipv6}]:${port}`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Never with what is in the file: that may be a secret. */
export function configError(path: string, what: string, hint = 'Mend the file, or log in again.'): CaissonError {
  return new CaissonError('ERR_CAISSON_REGISTRY_CONFIG', `${path}: ${what}`, { stage: 'registry: credentials', hint })
}

/** Where credentials come from: the caller, files of docker and podman, helper programs. */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../errors.js'
import {
  type AuthFile,
  authNames,
  type Credentials,
  configError,
  findAuth,
  madeCredentials,
  parseAuthEntry,
  parseAuthFile,
} from './auth-file.js'
import { askHelper } from './credential-helper.js'

/** As docker's API takes them, or in our spelling. */
export interface AuthOption extends Credentials {
  identitytoken?: string
  registrytoken?: string
}

/** For the registry of a reference, or a function that is asked for each. Mirrors never get the former. */
export type Auth = AuthOption | ((registry: string) => AuthOption | undefined | Promise<AuthOption | undefined>)

/** Names in either spelling; throws ERR_CAISSON_INVALID_ARGUMENT. */
export function checkAuth(auth: AuthOption, option = 'auth'): Credentials | undefined {
  if (typeof auth !== 'object' || auth === null) throw invalidArgument(option, auth, 'an object with credentials')
  const all: Credentials = {
    username: auth.username,
    password: auth.password,
    identityToken: auth.identityToken ?? auth.identitytoken,
    registryToken: auth.registryToken ?? auth.registrytoken,
  }
  for (const [name, value] of Object.entries(all))
    if (value !== undefined && typeof value !== 'string') throw badSecret(option, name, 'is not a string')
  // What is not in base64 becomes a part of a header.
  for (const name of ['identityToken', 'registryToken'] as const)
    if (!/^[\x21-\x7e]*$/.test(all[name] ?? '')) throw badSecret(option, name, 'has characters that no token has')
  if (all.username?.includes(':')) throw badSecret(option, 'username', 'has a colon in it')
  return madeCredentials(all)
}

/** Without the value. */
function badSecret(option: string, name: string, what: string): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `${option}.${name} ${what}`, {
    stage: 'options',
    hint: `Look at what is given for ${option}.${name}.`,
  })
}

/** Where docker keeps logins, or whoever uses these files was told to. */
export function dockerAuthFile(env: NodeJS.ProcessEnv, home = homedir()): string {
  return env.REGISTRY_AUTH_FILE || path.join(env.DOCKER_CONFIG || path.join(home, '.docker'), 'config.json')
}

/** In the order in which they are asked. */
export function authFiles(env: NodeJS.ProcessEnv, home = homedir()): string[] {
  if (env.REGISTRY_AUTH_FILE) return [env.REGISTRY_AUTH_FILE]
  const docker = dockerAuthFile(env, home)
  const config = env.XDG_CONFIG_HOME || path.join(home, '.config')
  const containers = [
    ...(env.XDG_RUNTIME_DIR ? [path.join(env.XDG_RUNTIME_DIR, 'containers/auth.json')] : []),
    path.join(config, 'containers/auth.json'),
  ]
  return env.DOCKER_CONFIG ? [docker, ...containers] : [...containers, docker]
}

/** What is kept on this machine for a host; undefined: nothing. Read each time, since logins come and go. */
export async function storedCredentials(
  host: string,
  repository: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  for (const file of authFiles(env)) {
    const parsed = await readAuthFile(file)
    const found = parsed && (await credentialsIn(parsed, host, repository, env, signal))
    if (found) return found
  }
  return undefined
}

async function credentialsIn(
  file: AuthFile,
  host: string,
  repository: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  const names = authNames(host)
  const helper = names.map((name) => file.credHelpers[name]).find(Boolean) ?? file.credsStore
  if (helper !== undefined) {
    const found = await askHelper(helper, names[0] as string, file.path, env, signal)
    if (found) return found
  }
  const entry = findAuth(file, host, repository)
  return entry === undefined ? undefined : parseAuthEntry(entry, file.path)
}

async function readAuthFile(file: string): Promise<AuthFile | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw configError(file, `it cannot be read: ${code}`, 'See who may read it.')
  }
  // podman makes the file before there is anything in it.
  return text.trim() === '' ? undefined : parseAuthFile(text, file)
}

/** Logging in: whether a registry takes credentials, and where they are kept for the next time. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, realpath, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../errors.js'
import { type AuthFile, authNames, type Credentials, configError, findAuth, parseAuthFile } from './auth-file.js'
import { RegistryClient } from './client.js'
import { tellHelper } from './credential-helper.js'
import { authFiles, dockerAuthFile } from './credentials.js'
import { splitHost } from './host.js'
import type { RegistryClientOptions } from './options.js'

type Login = Required<Pick<Credentials, 'username' | 'password'>>
type Environment = { env?: NodeJS.ProcessEnv }

/** Throws ERR_CAISSON_REGISTRY_AUTH when the registry refuses them. One that asks nobody takes all. */
export async function checkLogin(
  registry: string,
  auth: Login,
  { signal, ...options }: RegistryClientOptions & { signal?: AbortSignal } = {},
): Promise<void> {
  using client = new RegistryClient({ ...options, auth })
  await client.logIn(hostOf(registry), signal)
}

/** Where there is something for the registry already, else in docker's file. Gives the file, or that of the helper's name. */
export async function keepLogin(
  registry: string,
  { username, password }: Login,
  { env = process.env }: Environment = {},
): Promise<string> {
  const names = authNames(hostOf(registry))
  const [name] = names as [string]
  const { file, content } = (await keptIn(names, env))[0] ?? (await readFor(dockerAuthFile(env)))
  const helper = helperOf(content, names)
  const auths = { ...content.auths }
  for (const other of names) delete auths[other]
  if (helper === undefined) auths[name] = { auth: Buffer.from(`${username}:${password}`).toString('base64') }
  else {
    const told = { ServerURL: name, Username: username, Secret: password }
    await tellHelper(helper, 'store', JSON.stringify(told), file, env)
    // As docker: an empty entry says for which hosts the helper has something.
    auths[name] = {}
  }
  await write(file, { ...content.raw, auths })
  return helper === undefined ? file : `docker-credential-${helper}`
}

/** Gives the files that had something. */
export async function forgetLogin(registry: string, { env = process.env }: Environment = {}): Promise<string[]> {
  const names = authNames(hostOf(registry))
  const kept = await keptIn(names, env)
  for (const { file, content } of kept) {
    const helper = helperOf(content, names)
    if (helper !== undefined) await tellHelper(helper, 'erase', names[0] as string, file, env)
    const auths = { ...content.auths }
    for (const key of Object.keys(auths)) if (isFor(key, names)) delete auths[key]
    await write(file, { ...content.raw, auths })
  }
  return kept.map(({ file }) => file)
}

interface Kept {
  file: string
  content: AuthFile & { raw: object }
}

/** Files with an entry for the registry, or with a helper that is for it. */
async function keptIn(names: string[], env: NodeJS.ProcessEnv): Promise<Kept[]> {
  const found: Kept[] = []
  for (const file of authFiles(env)) {
    const kept = await readFor(file)
    const { content } = kept
    const host = names[1] ?? (names[0] as string)
    if (helperOf(content, names) !== undefined || findAuth(content, host, '') !== undefined) found.push(kept)
  }
  return found
}

function helperOf({ credHelpers, credsStore }: AuthFile, names: string[]): string | undefined {
  return names.map((name) => credHelpers[name]).find(Boolean) ?? credsStore
}

/** Keys of namespaces (`HOST/team`) are other logins. */
function isFor(key: string, names: string[]): boolean {
  if (names.includes(key)) return true
  const [, scheme, host = '', rest = ''] = /^(https?:\/\/)?([^/]*)(\/.*)?$/.exec(key) ?? []
  return names.includes(host) && (scheme !== undefined || rest === '')
}

async function readFor(file: string): Promise<Kept> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return ''
    throw configError(file, `it cannot be read: ${error.code}`, 'See who may read it.')
  })
  const whole = text.trim() === '' ? '{}' : text
  return { file, content: { ...parseAuthFile(whole, file), raw: JSON.parse(whole) } }
}

/** Whole or not at all, for its owner alone; a link stays one. */
async function write(file: string, content: object): Promise<void> {
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    const place = await realpath(file).catch(() => file)
    const beside = `${place}.${randomBytes(8).toString('hex')}`
    try {
      const handle = await open(beside, 'wx', 0o600)
      try {
        await handle.writeFile(`${JSON.stringify(content, undefined, '\t')}\n`)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(beside, place)
    } catch (error) {
      await rm(beside, { force: true })
      throw error
    }
  } catch (error) {
    const { code, errno, syscall, path: at } = error as NodeJS.ErrnoException
    throw new CaissonError('ERR_CAISSON_REGISTRY_CONFIG', `${file}: it cannot be written: ${code}`, {
      stage: 'registry: credentials',
      hint: 'Set DOCKER_CONFIG to a directory that this user may write to.',
      cause: { code: code ?? '', errno: errno ?? 0, syscall: syscall ?? '', path: at },
    })
  }
}

/** As docker: an address of a registry counts as its host. */
function hostOf(registry: string): string {
  const host = registry.replace(/^https?:\/\//, '').replace(/\/(?:v[12]\/?)?$/, '')
  if (!splitHost(host)) throw invalidArgument('registry', registry, 'host or host:port')
  return host
}

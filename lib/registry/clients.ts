/**
 * Clients that are kept for a while: what they know of a registry (connections, tokens, whether it speaks TLS) serves the
 * next pull or push, too. Whatever a client was made from is looked at each time: files that have changed since, another
 * environment or other credentials lead to another client.
 */
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { certificateDirectories } from './certificates.js'
import { RegistryClient } from './client.js'
import { configurationFiles } from './configuration.js'
import { type Auth, authFiles } from './credentials.js'

/** Milliseconds that a client is kept after its last use. It never keeps the process alive. */
const IDLE = 30_000

interface Kept {
  client: RegistryClient
  users: number
  timer?: NodeJS.Timeout
}

const clients = new Map<string, Kept>()
/** Functions that give credentials, by number. */
const functions = new WeakMap<object, number>()
let counted = 0

/** `auth` as for RegistryClient. Connections that `work` leaves open stay for the next one. */
export async function withClient<T>(auth: Auth | undefined, work: (client: RegistryClient) => Promise<T>): Promise<T> {
  const key = await keyOf(auth)
  let kept = clients.get(key)
  if (!kept) {
    kept = { client: new RegistryClient({ auth }), users: 0 }
    clients.set(key, kept)
  }
  clearTimeout(kept.timer)
  kept.users++
  try {
    return await work(kept.client)
  } catch (error) {
    // What it knows may be what is wrong: the next one begins anew.
    forget(key, kept)
    throw error
  } finally {
    leave(key, kept)
  }
}

function leave(key: string, kept: Kept): void {
  if (--kept.users > 0) return
  if (clients.get(key) === kept) kept.timer = setTimeout(close, IDLE, key, kept).unref()
  else kept.client.close()
}

function close(key: string, kept: Kept): void {
  forget(key, kept)
  kept.client.close()
}

function forget(key: string, kept: Kept): void {
  if (clients.get(key) === kept) clients.delete(key)
}

/** No secret can be read in it. */
async function keyOf(auth: Auth | undefined): Promise<string> {
  const { env } = process
  const files = [...configurationFiles(env), ...authFiles(env)]
  const looks = await Promise.all([...files.map(lookAt), ...certificateDirectories().map(lookBelow)])
  const parts = [identityOf(auth), JSON.stringify(env), ...looks]
  return createHash('sha256').update(parts.join('\0')).digest('base64')
}

function identityOf(auth: Auth | undefined): string {
  if (typeof auth !== 'function') return JSON.stringify(auth) ?? ''
  const number = functions.get(auth) ?? ++counted
  functions.set(auth, number)
  return `function ${number}`
}

async function lookAt(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(() => undefined)
  return found ? `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}` : ''
}

/** Of certs.d: the directories of hosts, and what is in them. */
async function lookBelow(directory: string): Promise<string> {
  const names = await readdir(directory, { recursive: true }).catch(() => [])
  return (
    await Promise.all(names.sort().map(async (name) => `${name} ${await lookAt(path.join(directory, name))}`))
  ).join()
}

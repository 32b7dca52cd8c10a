/**
 * TLS of registries that have a CA of their own or want client certificates, as Docker and containers keep them:
 * certs.d/HOST[:PORT]/ with *.crt (CAs), *.cert and *.key (pairs).
 */
import { readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { CaissonError } from '../errors.js'

export interface HostTls {
  context: SecureContext
  /** The directory that it came from. */
  directory: string
}

/** The first that exists for a host decides. */
export function certificateDirectories(home = homedir()): string[] {
  const own = [path.join(home, '.config/containers/certs.d'), path.join(home, '.docker/certs.d')]
  return [...own, '/etc/caisson/certs.d', '/etc/containers/certs.d', '/etc/docker/certs.d']
}

/** undefined: nothing is kept for this host, so Node's CAs are trusted. `host` is without a scheme. */
export async function loadHostTls(host: string, directories: readonly string[]): Promise<HostTls | undefined> {
  // The name becomes a part of a path; only names of hosts reach this, and this is no place to rely on it.
  if (!/^[A-Za-z0-9.:[\]-]+$/.test(host) || host.startsWith('.')) return undefined
  for (const base of directories) {
    const directory = path.join(base, host)
    const names = await readdir(directory).catch(absent(directory))
    if (names) return { context: await contextOf(directory, names.sort()), directory }
  }
  return undefined
}

async function contextOf(directory: string, names: string[]): Promise<SecureContext> {
  const read = (name: string) => readFile(path.join(directory, name)).catch(unreadable(path.join(directory, name)))
  const authorities = await Promise.all(names.filter((name) => name.endsWith('.crt')).map(read))
  const pair = names.find((name) => name.endsWith('.cert'))
  const key = pair?.replace(/\.cert$/, '.key')
  const lonely = names.find((name) => name.endsWith('.key') && !names.includes(name.replace(/\.key$/, '.cert')))
  if (lonely !== undefined || (key !== undefined && !names.includes(key)))
    throw failure(directory, `${lonely ?? pair} is alone: a client certificate is a .cert and a .key of the same name`)
  try {
    return createSecureContext({
      ...(authorities.length > 0 ? { ca: [...rootCertificates, ...authorities] } : {}),
      ...(pair !== undefined && key !== undefined ? { cert: await read(pair), key: await read(key) } : {}),
    })
  } catch (error) {
    if (error instanceof CaissonError) throw error
    throw failure(directory, `a certificate or key there is not PEM: ${(error as NodeJS.ErrnoException).code ?? ''}`)
  }
}

function absent(file: string) {
  return (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    return unreadable(file)(error)
  }
}

/** Going on without them could mean to trust others than the user does. */
function unreadable(file: string) {
  return (error: NodeJS.ErrnoException): never => {
    throw failure(file, `it cannot be read: ${error.code}`)
  }
}

function failure(file: string, what: string): CaissonError {
  return new CaissonError('ERR_CAISSON_REGISTRY_CONFIG', `${file}: ${what}`, {
    stage: 'registry: certificates',
    hint: 'Mend or remove the file.',
  })
}

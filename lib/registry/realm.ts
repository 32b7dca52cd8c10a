/**
 * Where a registry may send us for a token. With the realm in a challenge it names a server that we then talk to, and
 * give the user's password to: one that lies must neither get that over plain HTTP nor use us to reach what is near us
 * and not near it.
 */
import { isIP } from 'node:net'
import { type AddressKind, addressKind, mayLeadTo } from './address.js'
import { unsafeError } from './failure.js'
import { bareHost } from './host.js'

export interface RealmRules {
  /** Of the registry that asks. */
  registry: URL
  /** Hosts, `host[:port]`, that the user trusts to give out tokens whatever their address. */
  trusted: ReadonlySet<string>
}

const ADVICE = 'If the registry is right to ask for this, name the host in token-servers of the configuration.'

/** The address of a token server; throws ERR_CAISSON_REGISTRY_UNSAFE. */
export function checkRealm(realm: string, { registry, trusted }: RealmRules): URL {
  let url: URL
  try {
    url = new URL(realm)
  } catch {
    throw unsafeError(registry, 'the realm of its challenge is not an address', ADVICE)
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw unsafeError(registry, `it asks to log in by ${url.protocol}`, ADVICE)
  if (url.username || url.password) throw unsafeError(registry, 'the realm of its challenge has a user in it', ADVICE)
  if (registry.protocol === 'https:' && url.protocol !== 'https:')
    throw unsafeError(registry, 'it asks to send credentials without TLS', 'Do not use this registry.')
  if (isTrusted(url, registry, trusted)) return url
  const host = bareHost(url)
  if (isIP(host) !== 0 && addressKind(host) !== 'public')
    throw unsafeError(registry, `it asks to log in at ${host}, which is not a public address`, ADVICE)
  return url
}

/** The registry's own host, or one that the user named: not looked at further. */
export function isTrusted(url: URL, registry: URL, trusted: ReadonlySet<string>): boolean {
  return url.host === registry.host || trusted.has(url.host) || trusted.has(url.hostname)
}

/**
 * Why an address must not be connected to when a server of kind `from` sent us there; undefined: it may. Asked when the
 * connection is made, of what is connected to: a name that is looked up twice may have another address the second time.
 */
export function addressRefused(from: AddressKind, address: string): string | undefined {
  const kind = addressKind(address)
  return mayLeadTo(from, kind)
    ? undefined
    : `${address} is a ${kind} address, and who sends us there is at a ${from} one`
}

/** Names of registries, `host[:port]`: taken apart, compared, and what follows from them. Pure. */
import { isIPv4, isIPv6 } from 'node:net'

export interface HostPort {
  /** Without the brackets of an IPv6 address. */
  host: string
  /** Undefined where none is given, empty after a lone colon. */
  port?: string
}

const BRACKETED = /^\[([0-9a-f:.]+)\](?::(\d*))?$/i
const NAMED = /^([^:[\]/@\s]+)(?::(\d*))?$/

/** Undefined for a text that is not of this form. */
export function splitHost(text: string): HostPort | undefined {
  if (isIPv6(text)) return { host: text }
  const bracketed = BRACKETED.exec(text)
  if (bracketed)
    return isIPv6(bracketed[1] as string) ? { host: bracketed[1] as string, port: bracketed[2] } : undefined
  const named = NAMED.exec(text)
  return named ? { host: named[1] as string, port: named[2] } : undefined
}

/** `host:port` with the scheme's port where none is given; a text that is no host stays as it is. */
export function canonicalAddress(scheme: 'http' | 'https', text: string): string {
  const parts = splitHost(text)
  if (!parts) return text
  const host = isIPv6(parts.host) ? `[${parts.host}]` : parts.host
  return `${host}:${parts.port || (scheme === 'https' ? '443' : '80')}`
}

/** This machine, by its addresses or the name `localhost`. */
export function isLoopback(text: string): boolean {
  const parts = splitHost(text)
  if (!parts || parts.port === '') return false
  const host = parts.host.toLowerCase()
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

/** A name that means this machine whatever a name server says (RFC 6761, 6.3). */
export function isLocalName(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '')
  return name === 'localhost' || name.endsWith('.localhost')
}

/**
 * `http` for the registries that may be spoken to without TLS although nobody named them insecure: those on this
 * machine. Private networks are not: others are on them.
 */
export function defaultScheme(registry: string): 'http' | 'https' {
  if (isLoopback(registry)) return 'http'
  const parts = splitHost(registry)
  return parts && isLocalName(parts.host) ? 'http' : 'https'
}

/** The host that answers for a registry's name. */
export function registryHost(registry: string): string {
  return registry === 'docker.io' || registry === 'index.docker.io' ? 'registry-1.docker.io' : registry
}

/** Of an address, without the brackets that IPv6 has in one. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}

/** Credentials of several registries in the header X-Registry-Config: JSON in base64url, by the registry's address. */
import { authNames } from '../registry/auth-file.js'
import type { Auth } from '../registry/credentials.js'
import { badRequest } from './failure.js'
import { credentialsOf, decoded } from './registry-auth.js'

/** undefined: none are given, and those that are kept on this machine are used. */
export function registryConfig(header: string | string[] | undefined): Auth | undefined {
  if (typeof header !== 'string' || header === '') return undefined
  const object = decoded(header, 'X-Registry-Config')
  const byName = new Map<string, ReturnType<typeof credentialsOf>>()
  for (const [address, value] of Object.entries(object)) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw badRequest('invalid X-Registry-Config header: what it has for a registry is not a JSON object')
    byName.set(hostOf(address), credentialsOf(value as Record<string, unknown>, 'X-Registry-Config'))
  }
  if (![...byName.values()].some(Boolean)) return undefined
  return (registry) =>
    authNames(registry)
      .map((name) => byName.get(hostOf(name)))
      .find(Boolean)
}

/** docker writes addresses: `https://index.docker.io/v1/`. */
function hostOf(address: string): string {
  return address.replace(/^https?:\/\//, '').replace(/\/.*$/s, '')
}

/** Clients for tests with servers that misbehave: they try again at once, and know nothing of this machine. */
import { RegistryClient } from '../../lib/registry/client.js'
import type { RegistryClientOptions } from '../../lib/registry/options.js'

export const QUICK = { retry: { attempts: 3, delay: 1, longest: 5 } }

export function client(options: RegistryClientOptions = {}): RegistryClient {
  return new RegistryClient({
    env: { HOME: '/nonexistent', REGISTRY_AUTH_FILE: '/nonexistent/auth.json' },
    ...QUICK,
    ...options,
  })
}

export async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error) => error.code ?? String(error),
  )
}

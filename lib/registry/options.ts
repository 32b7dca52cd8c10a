/** Options of the registry client. */
import type { RegistryConfiguration } from './configuration.js'
import type { Auth } from './credentials.js'
import { RETRY, type RetryOptions } from './retry.js'
import type { Timeouts } from './transport.js'

export interface RegistryClientOptions extends Partial<RegistryConfiguration> {
  /** Instead of what is kept on this machine. An object is for the registry of the reference only, not for mirrors. */
  auth?: Auth
  /** Where certs.d/HOST[:PORT] may be, the first that exists for a host decides. */
  certificateDirectories?: string[]
  timeouts?: Partial<Timeouts>
  retry?: Partial<RetryOptions>
  /** Default: that of the process. Proxies, and where configuration and credentials are kept. */
  env?: NodeJS.ProcessEnv
}

const TIMEOUTS: Timeouts = {
  connect: 30_000,
  response: 60_000,
  idle: 60_000,
  minimumRate: 512,
  rateWindow: 60_000,
}

/** Milliseconds for a registry to look at an upload as a whole: it computes the digest of what may be gigabytes. */
export const COMMIT_TIMEOUT = 600_000

export function retryOptions(options: RegistryClientOptions): RetryOptions {
  return { ...RETRY, ...options.retry }
}

export function timeoutOptions(options: RegistryClientOptions): Timeouts {
  return { ...TIMEOUTS, ...options.timeouts }
}

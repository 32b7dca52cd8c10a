/** What an egress policy is asked, and what it answers. */

export interface EgressRequest {
  /** `dns`: a name was asked for, so there is no port yet. `tcp`: a connection. */
  protocol: 'dns' | 'tcp'
  /** In small letters, without a dot at the end; absent when an address was dialled that no name stands for. */
  host?: string
  /** The address that was dialled instead of a name. */
  address?: string
  port?: number
  container: { readonly id: string; readonly name?: string }
}

/**
 * `allow` (or true), `deny` (or false), or another destination, as `host:port` or in parts; without a port it stays the
 * one that was asked for. Anything else is a denial.
 */
export type Verdict = 'allow' | 'deny' | boolean | { rewrite: string | { host: string; port?: number } }

export type EgressFunction = (request: EgressRequest) => Verdict | Promise<Verdict>

export type EgressOption = { allow?: readonly string[] } | EgressFunction

/** Why something was denied, or did not come about. */
export type EgressReason =
  /** No rule allows it, or the function said so. */
  | 'policy'
  /** The function threw; see `error`. */
  | 'error'
  /** The function did not answer in time. */
  | 'timeout'
  /** The function answered what is no verdict. */
  | 'verdict'
  /** Private, loopback, metadata or the host's own, and no rule names the address. */
  | 'guarded'
  /** There is no such name, or nobody who knows. */
  | 'name'
  /** Nobody answered there; see `error`. */
  | 'unreachable'
  /** Too many connections or questions at once. */
  | 'limit'

/** One decision. `verdict` allow or rewrite with a reason: it was allowed, and failed. */
export interface EgressEvent extends EgressRequest {
  verdict: 'allow' | 'deny' | 'rewrite'
  reason?: EgressReason
  /** Where the connection leads, as `address:port`. */
  to?: string
  error?: unknown
}

/** Since the container was made. */
export interface EgressUsage {
  /** Connections that were made, and those of them that are open. */
  connections: number
  open: number
  /** Names and connections that were denied. */
  denied: number
  /** Bytes of all connections, from the container and to it. */
  sentBytes: number
  receivedBytes: number
}

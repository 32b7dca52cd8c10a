/** SSH agents that are lent to a build: to what its Dockerfile names, and to commands that ask for one. */
import { invalidArgument } from '../errors.js'
import type { BuildOptions } from './options.js'

/** Sockets by id. */
export function agentsOf(ssh: BuildOptions['ssh']): Map<string, string> {
  if (ssh === undefined || ssh === false) return new Map()
  if (ssh !== true) return new Map(Object.entries(ssh))
  const socket = process.env.SSH_AUTH_SOCK
  if (!socket) throw invalidArgument('ssh', ssh, 'possible, as SSH_AUTH_SOCK is not set: the path of a socket')
  return new Map([['default', socket]])
}

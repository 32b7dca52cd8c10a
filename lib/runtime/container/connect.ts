/** Connections to programs in a container: dialled from inside its network namespace, so nothing is published. */
import { Socket } from 'node:net'
import { invalidArgument } from '../../errors.js'
import { addon, type NativeFailure } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import { checkAborted, unlessAborted } from '../../util/abort.js'
import { type Duration, parseDuration } from '../../util/units.js'
import type { ContainerAgent } from './agents.js'

const DEFAULT_TIMEOUT = 10_000
const AF_INET = 2
const SOCK_STREAM = 1

export interface ConnectOptions {
  timeout?: Duration
  signal?: AbortSignal
}

/** What comes of it after the caller has given up is closed. */
export async function connectInside(
  agent: ContainerAgent,
  port: number,
  { timeout = DEFAULT_TIMEOUT, signal }: ConnectOptions,
): Promise<Socket> {
  checkAborted(signal, 'connect')
  const socket = dial(agent, port, timeout)
  return unlessAborted(socket, signal, 'connect').catch((error) => {
    if (signal?.aborted) socket.then((late) => late.destroy()).catch(() => undefined)
    throw error
  })
}

/** The agent makes the socket, which stays in its network namespace wherever it goes; we connect it. */
async function dial(agent: ContainerAgent, port: number, timeout: Duration): Promise<Socket> {
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw invalidArgument('port', port, 'a port from 1 to 65535')
  const limit = parseDuration(timeout, 'timeout')
  const { fd } = await agent.network('SOCKET', [AF_INET, SOCK_STREAM])
  try {
    const connected = await addon().connect(fd, '127.0.0.1', port, limit)
    return new Socket({ fd: connected, readable: true, writable: true })
  } catch (failure) {
    throw errorFromFailure({ ...(failure as NativeFailure), stage: 'connect' })
  }
}

/** Connections from the host to addresses that were judged: never to a name, which could lead elsewhere by then. */
import { connect, type Socket } from 'node:net'

/** Of one address; of all of a name. */
const ATTEMPT_MS = 10_000
const ATTEMPTS_MAX = 6

/** The first that answers, one after the other. Rejects with the last failure. */
export async function dial(addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  let failure: unknown
  for (const address of addresses.slice(0, ATTEMPTS_MAX)) {
    signal.throwIfAborted()
    try {
      return await attempt(address, port, signal)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

function attempt(address: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true })
    // Who gets it reads it, from the first byte.
    socket.pause()
    const end = (error: Error) => {
      socket.destroy()
      settle(() => reject(error))
    }
    const timer = setTimeout(() => end(new Error(`${address}: no answer within ${ATTEMPT_MS} ms`)), ATTEMPT_MS)
    const abort = () => end(new Error('the container has ended'))
    const settle = (then: () => void) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      socket.removeListener('error', end)
      // Errors that come after this are the next owner's; there must be one at any time.
      socket.on('error', () => undefined)
      then()
    }
    signal.addEventListener('abort', abort)
    socket.once('error', end)
    socket.once('connect', () => settle(() => resolve(socket)))
  })
}

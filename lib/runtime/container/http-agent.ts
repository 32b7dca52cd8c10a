/** Clients of HTTP that talk to a program in a container: each connection is dialled inside its network. */
import { Agent, type AgentOptions } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

type Dial = (port: number) => Promise<Socket>
type Done = (error: Error | null, socket: Duplex) => void

/** What undici calls to connect (`new undici.Agent({ connect })`). */
export type Connector = (
  options: { port?: string | number; protocol?: string },
  done: (...result: [Error, null] | [null, Socket]) => void,
) => void

/** Of a URL without one. */
const HTTP_PORT = 80

class ContainerAgentOfHttp extends Agent {
  readonly #dial: Dial

  constructor(dial: Dial, options: AgentOptions) {
    super(options)
    this.#dial = dial
  }

  // The base class takes a connection from the callback as well as from the result.
  override createConnection(options: { port?: number | string | null }, done?: Done): undefined {
    this.#dial(Number(options.port || HTTP_PORT)).then(
      (socket) => done?.(null, socket),
      (error: Error) => done?.(error, undefined as never),
    )
    return undefined
  }
}

/** The host of a URL does not matter; its port is the container's. */
export function httpAgent(dial: Dial, options: AgentOptions = {}): Agent {
  return new ContainerAgentOfHttp(dial, options)
}

export function connector(dial: Dial): Connector {
  return ({ port }, done) => {
    dial(Number(port || HTTP_PORT)).then(
      (socket) => done(null, socket),
      (error: Error) => done(error, null),
    )
  }
}

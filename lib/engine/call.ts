/** One request: what it asks, and the means to answer it. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex, Readable, Writable } from 'node:stream'
import { BODY_MAX, readBytes } from './body.js'
import { badRequest } from './failure.js'
import type { State } from './state.js'

/** A connection that is the program's streams from now on. */
export interface Taken {
  input: Readable
  output: Writable
}

export interface CallParts {
  request: IncomingMessage
  response: ServerResponse
  state: State
  version: string
  parameters: Readonly<Record<string, string>>
  query: URLSearchParams
  /** Of a request that asks for the connection: the connection, and where its bytes are read from. */
  upgraded?: { socket: Duplex; input: Readable; body(): Promise<Buffer> }
}

export class Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly state: State
  readonly version: string
  readonly query: URLSearchParams
  /** Fires when the client has gone, or the answer is complete. */
  readonly gone: AbortSignal
  readonly #parameters: Readonly<Record<string, string>>
  readonly #upgraded: CallParts['upgraded']

  constructor({ request, response, state, version, parameters, query, upgraded }: CallParts) {
    this.request = request
    this.response = response
    this.state = state
    this.version = version
    this.query = query
    this.#parameters = parameters
    this.#upgraded = upgraded
    const gone = new AbortController()
    this.gone = gone.signal
    const closing = upgraded?.socket ?? response
    closing.once('close', () => gone.abort())
  }

  get headers(): IncomingHttpHeaders {
    return this.request.headers
  }

  /** A part of the path, as `id`. */
  parameter(name: string): string {
    return this.#parameters[name] ?? ''
  }

  text(name: string): string | undefined {
    return this.query.get(name) || undefined
  }

  /** As Docker reads them: everything but these words is true. */
  flag(name: string, otherwise = false): boolean {
    const value = this.query.get(name)
    return value === null ? otherwise : !['', '0', 'no', 'false', 'none'].includes(value.trim().toLowerCase())
  }

  whole(name: string): number | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    if (!/^-?\d{1,15}$/.test(value)) throw badRequest(`${name} is not a whole number: ${value.slice(0, 100)}`)
    return Number(value)
  }

  body(): Promise<Buffer> {
    if (this.#upgraded) return this.#upgraded.body()
    return readBytes(this.request, this.headers['content-length'], BODY_MAX)
  }

  json(value: unknown, status = 200): void {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`)
    this.response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': bytes.length })
    this.response.end(bytes)
  }

  empty(status = 204): void {
    this.response.writeHead(status, status === 204 || status === 304 ? {} : { 'Content-Length': 0 })
    this.response.end()
  }

  /** Takes the connection over, where the client asked for that; otherwise body and answer are the streams. */
  take(contentType: string): Taken {
    if (!this.#upgraded) {
      this.response.writeHead(200, { 'Content-Type': contentType })
      this.response.flushHeaders()
      return { input: this.request, output: this.response }
    }
    const { socket, input } = this.#upgraded
    const head = ['HTTP/1.1 101 UPGRADED', `Content-Type: ${contentType}`, 'Connection: Upgrade', 'Upgrade: tcp']
    this.response.detachSocket(socket as never)
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    return { input, output: socket }
  }
}

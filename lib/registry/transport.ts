/** HTTP/1.1 requests over connections that are kept. Knows nothing of registries. */
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Body, type BodyTimeouts } from './body.js'
import { connect, isTunnelled, portOf, proxyAuthorization, type Target } from './connect.js'
import { abortedError, networkError, RegistryError, throwIfAborted, timeoutError } from './failure.js'

export interface Timeouts extends BodyTimeouts {
  /** Milliseconds until a connection, with TLS and through a proxy, is there. */
  connect: number
  /** Milliseconds from the last byte of a request to the first of the answer. */
  response: number
}

export interface HttpRequest {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  target: Target
  headers?: Record<string, string>
  /** With a stream, `length` says how many bytes it has. */
  body?: Uint8Array | { length: number; chunks: AsyncIterable<Uint8Array> }
  signal?: AbortSignal
  /** Instead of the usual time. */
  responseTimeout?: number
}

export interface HttpResponse {
  status: number
  headers: IncomingHttpHeaders
  url: URL
  /** IP address of the server, or of the proxy. */
  address: string
  body: Body
}

/** What an agent is told beside what Node has options for. */
interface ConnectingOptions {
  target: Target
  connectTimeout: number
  aborting: AbortSignal | undefined
}

/** An agent for one server; TLS is the connection's matter, so that all look the same to it. */
class ServerAgent extends http.Agent {
  override createConnection(options: object, callback?: (error: Error | null, socket: Duplex) => void): undefined {
    const { target, connectTimeout, aborting } = options as ConnectingOptions
    connect(target, connectTimeout, aborting).then(
      (socket) => callback?.(null, socket),
      (error) => callback?.(error, undefined as unknown as Duplex),
    )
  }

  override getName(): string {
    return 'server'
  }
}

/** Connections that wait for the next request, of one server. */
const KEPT = 8

export class Transport {
  readonly timeouts: Timeouts
  readonly #agents = new Map<string, ServerAgent>()
  #closed = false

  constructor(timeouts: Timeouts) {
    this.timeouts = timeouts
  }

  /** Resolved with the head of the answer. Redirects, statuses and credentials are the caller's business. */
  async send(request: HttpRequest): Promise<HttpResponse> {
    throwIfAborted(request.signal)
    if (this.#closed) throw new RegistryError('ERR_CAISSON_INVALID_STATE', 'registry: the client is closed')
    const { target, signal } = request
    const { url } = target
    const message = await this.#exchange(request)
    const { statusCode = 0, headers, socket } = message
    return {
      status: statusCode,
      headers,
      url,
      address: (socket as Socket | null)?.remoteAddress ?? '',
      body: new Body(message, url, this.timeouts, signal),
    }
  }

  #exchange({ method, target, headers, body, signal, responseTimeout }: HttpRequest): Promise<IncomingMessage> {
    const { url, proxy } = target
    const direct = proxy === undefined || isTunnelled(target)
    const length = body === undefined ? undefined : body.length
    const connecting: ConnectingOptions = { target, connectTimeout: this.timeouts.connect, aborting: signal }
    const request = http.request({
      ...connecting,
      method,
      host: url.hostname,
      port: portOf(url),
      path: direct ? `${url.pathname}${url.search}` : `${url.origin}${url.pathname}${url.search}`,
      headers: {
        Host: url.host,
        'User-Agent': 'caisson',
        'Accept-Encoding': 'identity',
        ...headers,
        ...(length === undefined ? {} : { 'Content-Length': String(length) }),
        ...(direct || !proxy ? {} : proxyAuthorization(proxy)),
      },
      agent: this.#agentFor(target),
    })
    const within = responseTimeout ?? this.timeouts.response
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined
      const settle = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      const fail = (error: unknown) => {
        settle()
        request.destroy()
        reject(networkError(url, error))
      }
      const abort = () => fail(abortedError())
      request.once('response', (message) => {
        settle()
        resolve(message)
      })
      request.on('error', fail)
      request.once('close', () => fail(Object.assign(new Error('closed'), { code: 'ECONNRESET' })))
      request.once('finish', () => {
        timer = setTimeout(() => fail(timeoutError(url, `no answer within ${within} ms`)), within)
      })
      signal?.addEventListener('abort', abort, { once: true })
      if (body === undefined || body instanceof Uint8Array) request.end(body)
      else sendAll(request, body.chunks, this.timeouts, url).catch(fail)
    })
  }

  #agentFor(target: Target): ServerAgent {
    const { url, proxy, verify, from = '' } = target
    // Connections that were made under other rules are not for this target.
    const key = [url.origin, proxy?.href ?? '', verify, from].join(' ')
    let agent = this.#agents.get(key)
    if (!agent) {
      agent = new ServerAgent({ keepAlive: true, maxFreeSockets: KEPT })
      this.#agents.set(key, agent)
    }
    return agent
  }

  /** Cuts all connections. */
  close(): void {
    this.#closed = true
    for (const agent of this.#agents.values()) agent.destroy()
    this.#agents.clear()
  }
}

/** Writes at the pace of the server; one that does not take anything for the idle time is given up. */
async function sendAll(
  request: http.ClientRequest,
  chunks: AsyncIterable<Uint8Array>,
  { idle }: Timeouts,
  url: URL,
): Promise<void> {
  for await (const chunk of chunks) {
    if (request.destroyed) return
    if (request.write(chunk)) continue
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(timeoutError(url, `it takes no data for ${idle} ms`)), idle)
      const done = () => {
        clearTimeout(timer)
        request.off('drain', done)
        request.off('close', done)
        resolve()
      }
      request.once('drain', done)
      request.once('close', done)
    })
  }
  request.end()
}

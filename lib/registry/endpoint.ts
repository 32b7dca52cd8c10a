/**
 * One server that answers for a registry: the registry itself or a mirror of it. Requests to it carry credentials;
 * wherever it sends us, they do not.
 */
import { type AddressKind, addressKind, outermost } from './address.js'
import type { Credentials } from './auth-file.js'
import { Authenticator } from './authenticator.js'
import type { Target } from './connect.js'
import { isTransient, protocolError, speaksNoTls, statusError, unsafeError } from './failure.js'
import { Shared } from './shared.js'
import type { HttpRequest, HttpResponse, Transport } from './transport.js'

export interface Route {
  /** How to get to an address: TLS and proxy. `from`: who sent us there, when it was not the user. */
  targetFor(url: URL, from?: AddressKind): Promise<Target>
}

export interface EndpointOptions {
  /** `host[:port]`. */
  host: string
  mirror: boolean
  /** `probe`: TLS with any certificate, else none; for hosts that are insecure by name or on this machine. */
  scheme: 'http' | 'https' | 'probe'
  transport: Transport
  route: Route
  credentials: (signal?: AbortSignal) => Promise<Credentials | undefined>
  trusted: ReadonlySet<string>
}

export interface RegistryRequest {
  method: HttpRequest['method']
  /** Below the server, as `/v2/library/alpine/tags/list`, or an address that it gave us before. */
  to: string | URL
  scopes: readonly string[]
  headers?: Record<string, string>
  /** Made anew for each attempt. */
  body?: () => HttpRequest['body']
  signal?: AbortSignal
  responseTimeout?: number
}

const REDIRECTS_MAX = 5
export const REDIRECTS = new Set([301, 302, 303, 307, 308])
/** Milliseconds after which a server that is asked for TLS and says nothing is taken not to speak it. */
const PROBE_TIMEOUT = 5000

export class Endpoint {
  readonly host: string
  readonly mirror: boolean
  readonly #options: EndpointOptions
  readonly #authenticator: Authenticator
  #base: URL | undefined
  #probing: Shared<URL> | undefined
  /** Where the server turned out to be. */
  #kind: AddressKind = 'public'

  constructor(options: EndpointOptions) {
    this.#options = options
    this.host = options.host
    this.mirror = options.mirror
    this.#authenticator = new Authenticator({
      credentials: options.credentials,
      trusted: options.trusted,
      send: async (request, url, from) =>
        options.transport.send({ ...request, target: await options.route.targetFor(url, from) }),
    })
  }

  /** The server's own address. */
  async base(signal?: AbortSignal): Promise<URL> {
    if (this.#base) return this.#base
    if (!this.#probing || this.#probing.stopping) this.#probing = new Shared((stop) => this.#findBase(stop))
    this.#base = await this.#probing.wait(signal)
    return this.#base
  }

  async #findBase(signal: AbortSignal): Promise<URL> {
    const { host, scheme } = this.#options
    try {
      return new URL(`${scheme === 'probe' ? await this.#probe(signal) : scheme}://${host}/`)
    } finally {
      this.#probing = undefined
    }
  }

  /** The answer, whatever its status; redirects of GET and HEAD are followed. */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    const base = await this.base(request.signal)
    const url = request.to instanceof URL ? request.to : new URL(request.to, base)
    const own = url.origin === base.origin
    let scopes = request.scopes
    for (let attempt = 1; ; attempt++) {
      const authorization = own ? await this.#authenticator.authorization(base, scopes, request.signal) : undefined
      const target = await this.#options.route.targetFor(url, own ? undefined : this.#kind)
      const response = await this.#send(request, target, authorization)
      if (own) this.#kind = kindOf(target, response)
      if (response.status === 401 && own && attempt < 3) {
        const header = response.headers['www-authenticate']
        const learned = this.#authenticator.learn(base, header, scopes, authorization, this.#kind)
        if (learned) {
          await response.body.discard()
          scopes = learned
          continue
        }
      }
      if (!REDIRECTS.has(response.status) || (request.method !== 'GET' && request.method !== 'HEAD')) return response
      return this.#follow(request, response, target, authorization)
    }
  }

  /** The same; any status but those in `wanted` is an error, in which `what` was wanted. */
  async expect(request: RegistryRequest, wanted: readonly number[], what: string): Promise<HttpResponse> {
    const response = await this.request(request)
    if (wanted.includes(response.status)) return response
    throw await this.failure(response, what)
  }

  async failure(response: HttpResponse, what: string): Promise<Error> {
    const text = await response.body.beginning(8192)
    const { status, url, headers } = response
    return statusError({ status, url, text, retryAfter: headers['retry-after'] }, what, this.#authenticator.secrets)
  }

  #send(request: RegistryRequest, target: Target, authorization: string | undefined): Promise<HttpResponse> {
    const { method, headers = {}, body, signal, responseTimeout } = request
    return this.#options.transport.send({
      method,
      target,
      headers: { ...headers, ...(authorization === undefined ? {} : { Authorization: authorization }) },
      body: body?.(),
      signal,
      responseTimeout,
    })
  }

  async #follow(
    request: RegistryRequest,
    first: HttpResponse,
    firstTarget: Target,
    authorization: string | undefined,
  ): Promise<HttpResponse> {
    let response = first
    let target = firstTarget
    let from = kindOf(target, response)
    /** Once away from the registry, nothing of it is sent any more, not even when we are sent back. */
    let away = authorization === undefined
    for (let hops = 0; REDIRECTS.has(response.status); hops++) {
      if (hops === REDIRECTS_MAX) throw protocolError(response.url, `it redirects more than ${REDIRECTS_MAX} times`)
      const next = locationOf(response)
      await response.body.discard()
      const same = next.origin === response.url.origin
      away ||= !same
      target = await this.#options.route.targetFor(next, same ? target.from : from)
      response = await this.#send(request, target, away ? undefined : authorization)
      from = outermost(from, kindOf(target, response))
    }
    return response
  }

  async #probe(signal: AbortSignal): Promise<'http' | 'https'> {
    const { host, transport, route } = this.#options
    const url = new URL(`https://${host}/v2/`)
    const late = AbortSignal.timeout(PROBE_TIMEOUT)
    try {
      const target = await route.targetFor(url)
      const response = await transport.send({ method: 'GET', target, signal: AbortSignal.any([signal, late]) })
      await response.body.discard()
      return 'https'
    } catch (error) {
      if (signal.aborted) throw error
      if (late.aborted || isTransient(error) || speaksNoTls((error as Error).cause)) return 'http'
      // Its name may be known to the proxy alone that is for addresses without TLS.
      if ((await route.targetFor(new URL(`http://${host}/v2/`))).proxy !== undefined) return 'http'
      throw error
    }
  }
}

/** Where a server is; of one behind a proxy nothing is known. */
export function kindOf(target: Target, response: HttpResponse): AddressKind {
  return target.proxy === undefined ? addressKind(response.address) : 'public'
}

/**
 * The address in a Location header. Throws when it must not be used; one on another server gets no credentials when a
 * request is made to it.
 */
export function locationOf(response: HttpResponse): URL {
  const { url, headers } = response
  let next: URL
  try {
    next = new URL(headers.location ?? '', url)
  } catch {
    throw protocolError(url, 'it leads to what is no address')
  }
  if (headers.location === undefined) throw protocolError(url, 'it does not say where to go on (Location)')
  if (next.protocol !== 'https:' && next.protocol !== 'http:')
    throw unsafeError(url, `it leads to ${next.protocol}`, 'Do not use this registry.')
  if (url.protocol === 'https:' && next.protocol !== 'https:')
    throw unsafeError(url, 'it leads from https to http', 'Do not use this registry, or name it without TLS.')
  // Whoever it is that is named there, it is not our user.
  next.username = ''
  next.password = ''
  next.hash = ''
  return next
}

/** The next page, of the header `Link: </v2/...>; rel="next"`; never on another server. */
export function linkOf({ headers, url }: HttpResponse): URL | undefined {
  const match = /<([^>]+)>\s*;[^,]*\brel="?next"?/i.exec(String(headers.link ?? ''))
  if (!match) return undefined
  const next = new URL(match[1] as string, url)
  if (next.origin !== url.origin)
    throw unsafeError(url, 'the next page is on another server', 'Do not use this registry.')
  return next
}

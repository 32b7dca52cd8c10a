/** One connection to a server: directly or through a proxy, with TLS or without, within a bound of time. */
import dns from 'node:dns'
import http from 'node:http'
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net'
import tls, { type SecureContext } from 'node:tls'
import type { AddressKind } from './address.js'
import { abortedError, networkError, RegistryError, timeoutError, unsafeError } from './failure.js'
import { bareHost, isLocalName } from './host.js'
import { addressRefused } from './realm.js'

export interface Target {
  url: URL
  /** Default: what Node trusts. */
  context?: SecureContext
  /** False: any certificate will do. */
  verify: boolean
  proxy?: URL
  /**
   * Where the server is that sent us here, when it was not the user: it cannot send us further in than where it is
   * itself. When a proxy makes the connection, only to no metadata service.
   */
  from?: AddressKind
}

export function portOf(url: URL): number {
  return Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
}

/** Through a proxy, requests without TLS are sent to it as they are; all others need a tunnel. */
export function isTunnelled(target: Target): boolean {
  return target.proxy !== undefined && target.url.protocol === 'https:'
}

/** Resolved when requests can be sent. */
export async function connect(target: Target, timeoutMs: number, signal?: AbortSignal): Promise<Socket> {
  const { url, proxy } = target
  const stop = new AbortController()
  const onAbort = () => stop.abort(abortedError())
  const timer = setTimeout(() => stop.abort(timeoutError(url, `no connection within ${timeoutMs} ms`)), timeoutMs)
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted) onAbort()
  try {
    if (proxy === undefined) return await secured(target, await plain(url, stop.signal, target.from), stop.signal)
    const reason = target.from && refusedBehind(bareHost(url))
    if (reason) throw refused(url, reason)
    const toProxy = await plain(proxy, stop.signal)
    const safe = await secured({ url: proxy, verify: true }, toProxy, stop.signal)
    if (!isTunnelled(target)) return safe
    return await secured(target, await tunnel(target, proxy, safe, stop.signal), stop.signal)
  } catch (error) {
    throw networkError(url, error)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

/** Waits for `event` of a socket, which is destroyed when it fails or `signal` fires. */
function established(socket: Socket, event: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      socket.off(event, ready)
      socket.off('error', fail)
      socket.off('close', closed)
      signal.removeEventListener('abort', abort)
    }
    const ready = () => {
      settle()
      resolve(socket)
    }
    const fail = (error: unknown) => {
      settle()
      // An error that comes later is nobody's any more.
      socket.on('error', () => undefined)
      socket.destroy()
      reject(error)
    }
    const closed = () => fail(Object.assign(new Error('closed'), { code: 'ECONNRESET' }))
    const abort = () => fail(signal.reason)
    socket.once(event, ready)
    socket.once('error', fail)
    socket.once('close', closed)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
  })
}

function plain(url: URL, signal: AbortSignal, from?: AddressKind): Promise<Socket> {
  const host = bareHost(url)
  const reason = from && isIP(host) !== 0 ? addressRefused(from, host) : undefined
  if (reason) throw refused(url, reason)
  const socket = connectTcp({
    host,
    port: portOf(url),
    lookup: lookupFor(url, from),
    autoSelectFamily: true,
    noDelay: true,
    keepAlive: true,
  })
  return established(socket, 'connect', signal)
}

/** Names are the proxy's to look up, and nothing is known of who is near it; but metadata services are near everybody. */
function refusedBehind(host: string): string | undefined {
  return isIP(host) === 0 ? undefined : addressRefused('loopback', host)
}

function refused(url: URL, reason: string): RegistryError {
  return unsafeError(
    url,
    `not connected to: ${reason}`,
    'A registry may not send us further in than where it is itself.',
  )
}

/** Names are looked up once, and what is connected to are the addresses that were looked at. */
function lookupFor(url: URL, from: AddressKind | undefined): LookupFunction {
  return (name, options, callback) => {
    if (isLocalName(name)) {
      const reason = from && addressRefused(from, '127.0.0.1')
      if (reason) return void process.nextTick(callback, refused(url, `${name}: ${reason}`), [])
      const both = [
        { address: '127.0.0.1', family: 4 },
        { address: '::1', family: 6 },
      ]
      return void process.nextTick(callback, null, options.all ? both : '127.0.0.1', 4)
    }
    dns.lookup(name, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, [])
      const reason = from && found.map(({ address }) => addressRefused(from, address)).find(Boolean)
      const [only] = found
      if (reason) callback(refused(url, `${name}: ${reason}`), [])
      else if (options.all || !only) callback(null, found)
      else callback(null, only.address, only.family)
    })
  }
}

async function secured(target: Target, socket: Socket, signal: AbortSignal): Promise<Socket> {
  const { url, context, verify } = target
  if (url.protocol !== 'https:') return socket
  const host = bareHost(url)
  const secure = tls.connect({
    socket,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    secureContext: context,
    rejectUnauthorized: verify,
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
  })
  return established(secure, 'secureConnect', signal)
}

/** The HTTP method CONNECT (RFC 9110, 9.3.6). */
function tunnel({ url }: Target, proxy: URL, socket: Socket, signal: AbortSignal): Promise<Socket> {
  const authority = `${url.hostname}:${portOf(url)}`
  return new Promise((resolve, reject) => {
    const request = http.request({
      method: 'CONNECT',
      path: authority,
      headers: { Host: authority, ...proxyAuthorization(proxy) },
      createConnection: () => socket,
      signal,
    })
    const fail = (error: unknown) => {
      socket.destroy()
      reject(signal.aborted ? signal.reason : error)
    }
    request.once('connect', (response, _, head) => {
      if (response.statusCode === 200 && head.length === 0) return resolve(socket)
      fail(proxyError(proxy, response.statusCode))
    })
    request.once('response', (response) => fail(proxyError(proxy, response.statusCode)))
    request.once('error', fail)
    request.end()
  })
}

function proxyError(proxy: URL, status: number | undefined): RegistryError {
  return new RegistryError('ERR_CAISSON_REGISTRY_UNREACHABLE', `the proxy ${proxy.host} answers ${status}`, {
    hint: 'See what the proxy allows, and the user and password in HTTPS_PROXY.',
    status,
  })
}

export function proxyAuthorization(proxy: URL): Record<string, string> {
  if (!proxy.username && !proxy.password) return {}
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  return { 'Proxy-Authorization': `Basic ${Buffer.from(pair).toString('base64')}` }
}

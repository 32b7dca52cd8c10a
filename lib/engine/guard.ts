/**
 * Who may ask. Whoever reaches the API is root on this machine, so a web page must not reach it through the browser of
 * somebody who may: neither by asking 127.0.0.1 itself, nor by a name that leads there (DNS rebinding).
 */
import type { IncomingHttpHeaders } from 'node:http'
import { ApiError } from './failure.js'

/** What every browser sends and no client of this API: a script cannot leave them out. */
const OF_BROWSERS = ['origin', 'sec-fetch-site', 'sec-fetch-mode', 'sec-fetch-dest'] as const

/** The server as its clients may call it: whether a Host header names it. */
export type KnownHost = (name: string) => boolean

/** Throws 403 for a request of a browser, and 400 or 403 for one that asks another host. `known`: of TCP. */
export function checkSender(headers: IncomingHttpHeaders, known: KnownHost | undefined): void {
  for (const name of OF_BROWSERS)
    if (headers[name] !== undefined) throw new ApiError(403, `requests of browsers are refused (${name})`)
  // What no browser can connect to needs no name: docker's client sends what it likes for a socket, or nothing.
  if (!known) return
  const { host } = headers
  if (host === undefined || host === '') throw new ApiError(400, 'the Host header is missing')
  if (!known(nameOf(host))) throw new ApiError(403, `this server is not ${JSON.stringify(host.slice(0, 200))}`)
}

/** Without the port, and without the brackets of IPv6. */
function nameOf(host: string): string {
  return host
    .replace(/:\d{1,5}$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
}

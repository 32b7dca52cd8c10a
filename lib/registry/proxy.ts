/** Proxies by environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY, in upper or lower case, as Go and curl read them. */
import { isIP } from 'node:net'
import { CaissonError } from '../errors.js'
import { inSubnet, parseSubnet } from './address.js'
import { bareHost, isLocalName, isLoopback } from './host.js'
import { redactUrl } from './redact.js'

export type Environment = Readonly<Record<string, string | undefined>>

/** The proxy for an address, or undefined: directly. */
export function proxyFor(url: URL, env: Environment): URL | undefined {
  const host = bareHost(url)
  if (isLoopback(host) || isLocalName(host)) return undefined
  const names = url.protocol === 'https:' ? ['HTTPS_PROXY', 'https_proxy'] : httpNames(env)
  const text = first(env, names)
  if (!text || bypasses(url, first(env, ['NO_PROXY', 'no_proxy']) ?? '')) return undefined
  return parseProxy(text, names[0] as string)
}

/** A web server gives a header named Proxy to its CGI programs as HTTP_PROXY: there only the lower case counts. */
function httpNames(env: Environment): string[] {
  return env.REQUEST_METHOD === undefined ? ['HTTP_PROXY', 'http_proxy'] : ['http_proxy']
}

function first(env: Environment, names: string[]): string | undefined {
  return names.map((name) => env[name]?.trim()).find(Boolean)
}

function parseProxy(text: string, name: string): URL {
  const wrong = new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `${name}: ${redactUrl(text)} is no HTTP proxy`, {
    stage: 'registry: proxy',
    hint: 'Give http://host:port or https://host:port.',
  })
  let url: URL
  try {
    url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  } catch {
    throw wrong
  }
  if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') throw wrong
  return url
}

/** `*`, `host`, `.domain`, `*.domain`, an address, a subnet; each but the subnet with a port if only that is meant. */
function bypasses(url: URL, list: string): boolean {
  const host = bareHost(url).toLowerCase().replace(/\.$/, '')
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return list
    .split(/[,\s]+/)
    .filter((entry) => entry !== '')
    .some((entry) => matches(entry.toLowerCase(), host, port))
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  if (isIP(host) !== 0) {
    const subnet = parseSubnet(entry)
    if (subnet) return inSubnet(subnet, host)
  }
  const withPort = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(entry)
  if (withPort && withPort[3] !== port) return false
  const name = withPort ? ((withPort[1] ?? withPort[2]) as string) : entry.replace(/^\[|\]$/g, '')
  const domain = name.replace(/^\*?\./, '')
  if (domain === '') return false
  return host.endsWith(`.${domain}`) || (host === domain && (domain === name || !name.startsWith('*')))
}

/** resolv.conf(5): that of the host, and those of containers. */
import { readFile } from 'node:fs/promises'
import { invalidArgument } from '../errors.js'
import { parseAddress } from './addresses.js'

export interface HostServers {
  servers: string[]
  search: string[]
  options: string[]
}

interface Servers {
  servers: readonly string[]
  search?: readonly string[]
  options?: readonly string[]
}

const FILE = '/etc/resolv.conf'

export async function hostServers(file = FILE): Promise<HostServers> {
  return parseResolvConf(await readFile(file, 'utf8').catch(() => ''))
}

export function parseResolvConf(text: string): HostServers {
  const found: HostServers = { servers: [], search: [], options: [] }
  for (const line of text.split('\n')) {
    const [key, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (key === 'nameserver' && parseAddress(words[0])) found.servers.push(words[0] as string)
    if (key === 'search' || key === 'domain') found.search = words
    if (key === 'options') found.options.push(...words)
  }
  // As the C library's: without any, the host's own is asked.
  if (found.servers.length === 0) found.servers.push('127.0.0.1')
  return found
}

export function formatResolvConf({ servers, search = [], options = [] }: Servers): string {
  const lines = servers.map((server) => `nameserver ${server}`)
  if (search.length > 0) lines.push(`search ${search.join(' ')}`)
  if (options.length > 0) lines.push(`options ${options.join(' ')}`)
  return lines.map((line) => `${line}\n`).join('')
}

/** Each becomes a word of a line. undefined: not given. `.` alone, as for docker: no domain. */
export function checkDnsWords({ dnsSearch, dnsOptions }: { dnsSearch?: unknown; dnsOptions?: unknown }) {
  const search = checkWords(dnsSearch, 'dnsSearch', /^(\.|[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}))$/, 'a domain')
  return {
    search: search?.filter((each) => each !== '.'),
    options: checkWords(dnsOptions, 'dnsOptions', /^[a-z0-9-]+(:[0-9]+)?$/, 'an option of resolv.conf such as ndots:2'),
  }
}

function checkWords(given: unknown, option: string, form: RegExp, wanted: string): string[] | undefined {
  if (given === undefined) return undefined
  if (!Array.isArray(given)) throw invalidArgument(option, given, 'an array')
  return given.map((each, i) => {
    if (typeof each === 'string' && form.test(each)) return each
    throw invalidArgument(`${option}[${i}]`, each, wanted)
  })
}

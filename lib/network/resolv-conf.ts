/** The host's name servers (resolv.conf(5)). */
import { readFile } from 'node:fs/promises'
import { parseAddress } from './addresses.js'

export interface HostServers {
  servers: string[]
  search: string[]
  options: string[]
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

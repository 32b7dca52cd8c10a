/** The name servers of the host, for commands that share its network. */
import { readFile } from 'node:fs/promises'

export async function nameservers(): Promise<string[]> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '')
  return [...text.matchAll(/^\s*nameserver\s+([0-9A-Fa-f.:]+)\s*$/gm)].map(([, address]) => address as string)
}

/** The host's name servers, asked from the host, and only about what a policy has allowed. */
import { promises as dns } from 'node:dns'

/** A name has no addresses, or nobody knows. */
export type Found = { addresses: string[] } | { code: 'none' | 'failed' }

const WAITING_MAX = 64
const REMEMBERED_MAX = 256
const REMEMBERED_MS = 5000

export class Upstream {
  readonly #resolver = new dns.Resolver({ timeout: 2000, tries: 2 })
  /** A connection follows the question for the name at once. */
  readonly #remembered = new Map<string, { found: Promise<Found>; until: number }>()
  #waiting = 0

  /** `servers`: instead of the host's, as `address` or `address:port`. */
  constructor(servers: readonly string[]) {
    if (servers.length > 0) this.#resolver.setServers(servers)
  }

  addresses(name: string): Promise<Found> {
    const now = Date.now()
    const known = this.#remembered.get(name)
    if (known && known.until > now) return known.found
    // Neither the application nor the name servers are to be flooded by one container.
    if (this.#waiting >= WAITING_MAX) return Promise.resolve({ code: 'failed' })
    const found = this.#ask(name)
    this.#remembered.delete(name)
    this.#remembered.set(name, { found, until: now + REMEMBERED_MS })
    if (this.#remembered.size > REMEMBERED_MAX) this.#remembered.delete(this.#remembered.keys().next().value as string)
    return found
  }

  async #ask(name: string): Promise<Found> {
    this.#waiting++
    const results = await Promise.allSettled([this.#resolver.resolve4(name), this.#resolver.resolve6(name)])
    this.#waiting--
    const addresses = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
    if (addresses.length > 0) return { addresses }
    const codes = results.map((result) => (result as PromiseRejectedResult).reason?.code)
    if (codes.some((code) => code === 'ENOTFOUND' || code === 'ENODATA')) return { code: 'none' }
    this.#remembered.delete(name)
    return { code: 'failed' }
  }

  close(): void {
    this.#resolver.cancel()
  }
}

/**
 * Addresses that stand for names, inside of one container. What is dialled there is the name, whatever its servers say
 * about it at that moment or another: nobody can make a name stand for an address that was not meant. Pure.
 */
import { type Address, contains, type Family, formatAddress, parseAddress, parseSubnet } from '../addresses.js'

/** Of benchmarks (RFC 2544): nobody is there. The first one is the container's own. */
export const NAMES4 = parseSubnet('198.18.0.0/15', 'names')
/** A private prefix of ours (RFC 4193). */
export const NAMES6 = parseSubnet('fd1c:a155:e::/48', 'names')

export const OWN4 = formatAddress({ family: 4, value: NAMES4.base + 1n })
export const OWN6 = formatAddress({ family: 6, value: NAMES6.base + 1n })

const FIRST = 2
const LAST = 0x1fffe

export class NameTable {
  /** By name, the one that was used last at the end. */
  readonly #numbers = new Map<string, number>()
  readonly #names = new Map<number, string>()
  readonly #limit: number
  #next = FIRST

  /** Beyond `limit` the name that was not asked for longest is forgotten. */
  constructor(limit = 4096) {
    this.#limit = limit
  }

  get size(): number {
    return this.#numbers.size
  }

  addressOf(name: string, family: Family): string {
    const base = family === 4 ? NAMES4.base : NAMES6.base
    return formatAddress({ family, value: base + BigInt(this.#numberOf(name)) })
  }

  #numberOf(name: string): number {
    const known = this.#numbers.get(name)
    const number = known ?? this.#free()
    this.#numbers.delete(name)
    this.#numbers.set(name, number)
    this.#names.set(number, name)
    if (this.#numbers.size > this.#limit) {
      const [oldest, its] = this.#numbers.entries().next().value as [string, number]
      this.#numbers.delete(oldest)
      this.#names.delete(its)
    }
    return number
  }

  /** A number comes again as late as possible: programs keep addresses. */
  #free(): number {
    for (;;) {
      const number = this.#next
      this.#next = number === LAST ? FIRST : number + 1
      if (!this.#names.has(number)) return number
    }
  }

  /** undefined: it is no such address. '': it is, but stands for no name any more. */
  nameOf(text: string): string | undefined {
    const address = parseAddress(text)
    const names = address?.family === 4 ? NAMES4 : NAMES6
    if (!address || !contains(names, address)) return undefined
    const name = this.#names.get(offset(address, names.base))
    if (name === undefined) return ''
    this.#numberOf(name)
    return name
  }
}

function offset({ value }: Address, base: bigint): number {
  const number = value - base
  return number > BigInt(LAST) ? -1 : Number(number)
}

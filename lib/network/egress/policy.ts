/** A policy at work: it is asked about names and connections, and whatever goes wrong in that is a denial. */
import { invalidArgument } from '../../errors.js'
import { parseAddress } from '../addresses.js'
import type { EgressFunction, EgressOption, EgressReason, EgressRequest } from './request.js'
import { allowsAddress, allowsName, type EgressRule, endsInNumber, openTo, parseRules, splitPort } from './rules.js'
import { isOfHost, plainAddress, specialRange } from './special.js'

export interface Decision {
  verdict: 'allow' | 'deny' | 'rewrite'
  reason?: EgressReason
  error?: unknown
  /** Of a rewrite. */
  to?: { host: string; port?: number }
}

/** How long a function may think. */
const THINKING_MS = 5000
/** So many rules are checked for each connection in the kernel; with more of them all connections come to us. */
const KERNEL_RULES_MAX = 64

export class EgressPolicy {
  readonly #rules: readonly EgressRule[]
  readonly #function: EgressFunction | undefined
  readonly #limit: number

  constructor(option: EgressOption, limit = THINKING_MS) {
    this.#limit = limit
    if (typeof option === 'function') {
      this.#rules = []
      this.#function = option
      return
    }
    if (typeof option !== 'object' || option === null)
      throw invalidArgument('egress', option, '{ allow: [...] } or a function')
    for (const key in option)
      if (key !== 'allow') throw invalidArgument('egress', key, '{ allow: [...] } or a function, and nothing else')
    this.#rules = parseRules(option.allow)
  }

  /** What the kernel may let through to us; undefined: everything. */
  get open(): ReturnType<typeof openTo> | undefined {
    return this.#function || this.#rules.length > KERNEL_RULES_MAX ? undefined : openTo(this.#rules)
  }

  async ask(request: EgressRequest): Promise<Decision> {
    if (this.#function) return this.#askFunction(this.#function, request)
    const { host, address, port } = request
    const plain = address === undefined ? undefined : plainAddress(address)
    // Where the address leads is looked at when it is dialled, as for all.
    const allowed =
      host === undefined
        ? plain !== undefined && this.reaches(address as string, port as number)
        : allowsName(this.#rules, host, port)
    return allowed ? { verdict: 'allow' } : { verdict: 'deny', reason: 'policy' }
  }

  async #askFunction(decide: EgressFunction, request: EgressRequest): Promise<Decision> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<Decision>((resolve) => {
      timer = setTimeout(resolve, this.#limit, { verdict: 'deny', reason: 'timeout' })
      timer.unref()
    })
    try {
      const verdict = (async () => readVerdict(await decide(request)))()
      verdict.catch(() => undefined)
      return await Promise.race([verdict, late])
    } catch (error) {
      return { verdict: 'deny', reason: 'error', error }
    } finally {
      clearTimeout(timer)
    }
  }

  /** Whether an address may be dialled that was allowed, or that an allowed name leads to. */
  reaches(text: string, port: number): boolean {
    const address = plainAddress(text)
    if (!address) return false
    const ofHost = isOfHost(address)
    if (ofHost || specialRange(address) || !this.#function) return allowsAddress(this.#rules, address, port, ofHost)
    return true
  }

  /** The same for an address that an allowed name leads to: on the internet the name is enough. */
  reachesByName(text: string, port: number): boolean {
    const address = plainAddress(text)
    if (!address) return false
    return (!isOfHost(address) && !specialRange(address)) || this.reaches(text, port)
  }
}

function readVerdict(verdict: unknown): Decision {
  if (verdict === 'allow' || verdict === true) return { verdict: 'allow' }
  if (verdict === 'deny' || verdict === false) return { verdict: 'deny', reason: 'policy' }
  const to = typeof verdict === 'object' && verdict !== null && 'rewrite' in verdict && readPlace(verdict.rewrite)
  return to ? { verdict: 'rewrite', to } : { verdict: 'deny', reason: 'verdict' }
}

function readPlace(place: unknown): Decision['to'] {
  if (typeof place === 'object' && place !== null && 'host' in place)
    return checkedPlace(place.host, 'port' in place ? place.port : undefined)
  if (typeof place !== 'string') return undefined
  const { host, port } = splitPort(place)
  return checkedPlace(host, port === undefined ? undefined : /^\d{1,5}$/.test(port) ? Number(port) : Number.NaN)
}

function checkedPlace(host: unknown, port: unknown): Decision['to'] {
  if (typeof host !== 'string' || host === '') return undefined
  if (port !== undefined && !(Number.isInteger(port) && (port as number) >= 1 && (port as number) <= 65535))
    return undefined
  const name = host.replace(/\.$/, '').toLowerCase()
  if (!parseAddress(host) && (!/^[a-z0-9_.-]{1,253}$/.test(name) || endsInNumber(name))) return undefined
  return { host: name, port: port as number | undefined }
}

/** The network of a container that has an egress policy: nothing but a way to us. */

import { channel } from 'node:diagnostics_channel'
import { CaissonError, invalidArgument } from '../../errors.js'
import { addon } from '../../native/addon.js'
import type { NativeCaptiveSockets } from '../../native/network.js'
import { explained } from '../active.js'
import { formatAddress, parseAddress } from '../addresses.js'
import { formatResolvConf } from '../resolv-conf.js'
import { Gate } from './gate.js'
import { type Named, NameServer } from './name-server.js'
import { NameTable, OWN4, OWN6 } from './names.js'
import { EgressPolicy } from './policy.js'
import type { EgressEvent, EgressOption, EgressRequest, EgressUsage } from './request.js'
import { splitPort } from './rules.js'
import { Upstream } from './upstream.js'

/** addon/core/network/captive.cc */
const RESOLVER_ADDRESS = '127.0.0.11'

/** Questions for one name that come within this time are one. */
const TOGETHER_MS = 200

const decisions = channel('caisson:egress')

/** A new network namespace, and sockets that were made in it. */
export interface CaptiveNamespace {
  fd: number
  sockets: NativeCaptiveSockets
}

export interface EgressNetworkOptions {
  policy: EgressOption
  container: EgressRequest['container']
  /** Of the options; none: the host's. */
  dns: readonly string[] | undefined
  /** Of resolv.conf(5). */
  search?: readonly string[]
  resolverOptions?: readonly string[]
}

export class EgressNetwork {
  /** Of bridges there are none. */
  readonly endpoints: [] = []
  readonly publications: { readonly ports: [] } = { ports: [] }
  /** The namespace of the present run, until its process is there. */
  fd = -1
  /** Who is told of decisions, beside diagnostics_channel `caisson:egress`. */
  listener: ((event: EgressEvent) => void) | undefined
  readonly #usage: EgressUsage = { connections: 0, open: 0, denied: 0, sentBytes: 0, receivedBytes: 0 }
  readonly #policy: EgressPolicy
  #container: EgressRequest['container']
  readonly #servers: string[]
  readonly #words: { search?: readonly string[]; options: readonly string[] }
  readonly #looking = new Map<string, Promise<Named>>()
  #names: NameServer | undefined
  #gate: Gate | undefined
  #upstream: Upstream | undefined

  constructor({ policy, container, dns = [], search, resolverOptions: options = ['ndots:0'] }: EgressNetworkOptions) {
    this.#policy = new EgressPolicy(policy)
    this.#container = Object.freeze({ ...container })
    this.#servers = dns.map((server, i) => checkServer(server, `dns[${i}]`))
    this.#words = { search, options }
  }

  /** Policies are told it from the next start on. */
  async rename(name: string): Promise<void> {
    this.#container = Object.freeze({ ...this.#container, name })
  }

  /** At this moment. */
  get usage(): EgressUsage {
    const { sent, received } = this.#gate?.passing() ?? { sent: 0, received: 0 }
    const { sentBytes, receivedBytes, ...counts } = this.#usage
    return { ...counts, sentBytes: sentBytes + sent, receivedBytes: receivedBytes + received }
  }

  /** Lines of /etc/hosts. */
  hosts(hostname: string, domainname?: string): string[] {
    const name = domainname ? `${hostname}.${domainname} ${hostname}` : hostname
    return [`${OWN4}\t${name}`]
  }

  resolvConf(): string {
    return formatResolvConf({ servers: [RESOLVER_ADDRESS], ...this.#words })
  }

  async start(make: () => Promise<CaptiveNamespace>): Promise<void> {
    const { fd, sockets } = await make()
    this.fd = fd
    const { namesUdp, namesTcp, streams4, streams6 } = sockets
    const waiting = new Set([namesUdp, namesTcp, streams4, streams6].filter((each) => each >= 0))
    try {
      const settings = { own4: `${OWN4}/32`, own6: `${OWN6}/128`, open: this.#policy.open }
      const ipv6 = (await explained(addon().network.capture(sockets, settings))) === 1
      const names = new NameTable()
      const upstream = new Upstream(this.#servers)
      this.#upstream = upstream
      const tell = (event: EgressEvent) => this.#tell(event)
      const common = { policy: this.#policy, container: this.#container, names, upstream, usage: this.#usage, tell }
      this.#gate = new Gate(common)
      const listeners = ipv6 ? [streams4, streams6] : [streams4]
      // From here on they are closed by who listens on them.
      for (const each of [...listeners, namesUdp, namesTcp]) waiting.delete(each)
      await this.#gate.start(listeners)
      this.#names = await NameServer.start({
        udp: namesUdp,
        tcp: namesTcp,
        ipv6,
        addressOf: (name, family) => names.addressOf(name, family),
        look: (name) => this.#look(name, upstream),
      })
    } catch (error) {
      await this.stop()
      throw error
    } finally {
      for (const each of waiting) addon().closeFd(each)
    }
  }

  /** Resolvers ask for both kinds of addresses, at once or one after the other; a policy is asked once. */
  #look(host: string, upstream: Upstream): Promise<Named> {
    let looking = this.#looking.get(host)
    if (!looking) {
      looking = this.#lookNow(host, upstream).finally(() => {
        setTimeout(() => this.#looking.delete(host), TOGETHER_MS).unref()
      })
      this.#looking.set(host, looking)
    }
    return looking
  }

  /** The policy first: what it does not allow nobody outside hears of. */
  async #lookNow(host: string, upstream: Upstream): Promise<Named> {
    const request: EgressRequest = { protocol: 'dns', host, container: this.#container }
    const { verdict, reason, error } = await this.#policy.ask(request)
    if (verdict === 'deny') {
      this.#usage.denied++
      this.#tell({ ...request, verdict, reason, ...(error === undefined ? {} : { error }) })
      return 'none'
    }
    // Where it leads says the policy, when it is dialled.
    if (verdict === 'rewrite') return 'there'
    const found = await upstream.addresses(host)
    return 'code' in found ? found.code : 'there'
  }

  #tell(event: EgressEvent): void {
    if (decisions.hasSubscribers) decisions.publish(event)
    try {
      this.listener?.(event)
    } catch (error) {
      // Whoever listens may fail, as listeners do, but no connection with it.
      setImmediate(() => {
        throw error
      })
    }
  }

  /** The process holds the namespace now; it ends with the last of them. */
  handedOver(): void {
    if (this.fd >= 0) addon().closeFd(this.fd)
    this.fd = -1
  }

  /** The run has ended. */
  async stop(): Promise<void> {
    this.handedOver()
    this.#names?.close()
    this.#names = undefined
    this.#looking.clear()
    const gate = this.#gate
    this.#gate = undefined
    await gate?.close()
    this.#upstream?.close()
    this.#upstream = undefined
  }

  /** Of a network, which it cannot have beside this. */
  async connect(): Promise<never> {
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', 'the container has an egress policy, and no other network', {
      stage: 'network',
      hint: 'Create it without egress to connect it with networks.',
    })
  }

  async disconnect(): Promise<boolean> {
    return false
  }

  async release(): Promise<void> {
    await this.stop()
  }
}

/** An address, or `address:port`. */
function checkServer(server: unknown, option: string): string {
  const wanted = 'an address, or address:port'
  if (typeof server !== 'string') throw invalidArgument(option, server, wanted)
  const { host, port } = splitPort(server)
  const address = parseAddress(host)
  if (!address || (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535)))
    throw invalidArgument(option, server, wanted)
  const text = formatAddress(address)
  if (port === undefined) return text
  return address.family === 6 ? `[${text}]:${port}` : `${text}:${port}`
}

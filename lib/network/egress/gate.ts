/**
 * The way out of one container: accepts every connection that it makes, asks the policy, and dials from the host. That
 * the container can reach nothing else is the work of its namespace (addon/core/network/captive.h).
 */
import { once } from 'node:events'
import { createServer, isIP, type Server, type Socket } from 'node:net'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { dial } from './dial.js'
import type { NameTable } from './names.js'
import type { Decision, EgressPolicy } from './policy.js'
import { join, type Relay } from './relay.js'
import type { EgressEvent, EgressReason, EgressRequest, EgressUsage } from './request.js'
import type { Upstream } from './upstream.js'

/** Open at a time, undecided ones among them; each takes two descriptors. */
const CONNECTIONS_MAX = 1024
/** How long what a container has sent before its end may take. */
const DRAIN_MS = 2000

export interface GateOptions {
  container: EgressRequest['container']
  policy: EgressPolicy
  names: NameTable
  upstream: Upstream
  usage: EgressUsage
  tell(event: EgressEvent): void
}

/** A destination, as the container named it. */
interface Wanted {
  host?: string
  address?: string
  port: number
}

interface Connection {
  work?: Promise<void>
  /** Ends what is done before it is joined with another. */
  before?: AbortController
}

type Refusal = { reason: EgressReason; error?: unknown }

export class Gate {
  readonly #options: GateOptions
  readonly #servers: Server[] = []
  readonly #open = new Map<Socket, Connection>()
  readonly #relays = new Set<Relay>()
  #accepted = 0
  #ended = false

  constructor(options: GateOptions) {
    this.#options = options
  }

  /** `listeners`: descriptors of listening sockets; taken over. */
  async start(listeners: readonly number[]): Promise<void> {
    for (const fd of listeners) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (inside) =>
        this.#accept(inside),
      )
      server.on('error', () => undefined)
      server.listen({ fd, exclusive: true })
      await once(server, 'listening')
      server.unref()
      this.#servers.push(server)
    }
  }

  #accept(inside: Socket): void {
    this.#accepted++
    inside.unref()
    // Broken off by the container: whoever waits for it hears the same by `close`.
    inside.on('error', () => undefined)
    const { localAddress, localPort } = inside
    if (localAddress === undefined || localPort === undefined) return void inside.destroy()
    const connection: Connection = { before: new AbortController() }
    const work = this.#serve(inside, this.#wanted(localAddress, localPort), connection)
    connection.work = work.finally(() => this.#open.delete(inside))
    this.#open.set(inside, connection)
  }

  #wanted(address: string, port: number): Wanted {
    const name = this.#options.names.nameOf(address)
    return name ? { host: name, port } : { address, port }
  }

  async #serve(inside: Socket, wanted: Wanted, connection: Connection): Promise<void> {
    const { container, policy, usage, tell } = this.#options
    const { signal } = connection.before as AbortController
    const request: EgressRequest = { protocol: 'tcp', ...wanted, container }
    const refuse = (verdict: EgressEvent['verdict'], { reason, error }: Refusal): void => {
      inside.resetAndDestroy()
      if (verdict === 'deny') usage.denied++
      tell({ ...request, verdict, reason, ...(error === undefined ? {} : { error }) })
    }
    if (this.#open.size >= CONNECTIONS_MAX) return refuse('deny', { reason: 'limit' })
    if (wanted.address !== undefined && !isPlace(wanted.address)) return refuse('deny', { reason: 'guarded' })
    const decision = await policy.ask(request)
    if (decision.verdict === 'deny')
      return refuse('deny', { reason: decision.reason ?? 'policy', error: decision.error })
    const place = await this.#place(wanted, decision)
    if ('reason' in place) return refuse(place.reason === 'guarded' ? 'deny' : decision.verdict, place)
    if (inside.destroyed || signal.aborted) return void inside.destroy()
    let outside: Socket
    try {
      outside = await dial(place.addresses, place.port, signal)
    } catch (error) {
      return refuse(decision.verdict, { reason: 'unreachable', error })
    }
    connection.before = undefined
    outside.unref()
    usage.connections++
    usage.open++
    const { remoteAddress = '', remotePort } = outside
    tell({ ...request, verdict: decision.verdict, to: `${bracketed(remoteAddress)}:${remotePort}` })
    const relay = join(inside, outside, this.#relays.size)
    this.#relays.add(relay)
    if (this.#ended) relay.drain()
    await relay.done
    this.#relays.delete(relay)
    const { sent, received } = relay.passed()
    usage.sentBytes += sent
    usage.receivedBytes += received
    usage.open--
  }

  /** Bytes of connections that are open, which `usage` does not have yet. */
  passing(): { sent: number; received: number } {
    const sum = { sent: 0, received: 0 }
    for (const relay of this.#relays) {
      const { sent, received } = relay.passed()
      sum.sent += sent
      sum.received += received
    }
    return sum
  }

  /** Addresses to dial. A name is looked up once, and what was judged is what is dialled. */
  async #place(wanted: Wanted, { verdict, to }: Decision): Promise<{ addresses: string[]; port: number } | Refusal> {
    const { policy, upstream } = this.#options
    const port = to?.port ?? wanted.port
    // The program that wrote the policy has written this address.
    if (verdict === 'rewrite' && to && isIP(to.host)) return { addresses: [to.host], port }
    if (verdict === 'rewrite' && to?.host === 'localhost') return { addresses: ['127.0.0.1', '::1'], port }
    const host = to?.host ?? wanted.host
    if (host === undefined) {
      const address = wanted.address as string
      return policy.reaches(address, port) ? { addresses: [address], port } : { reason: 'guarded' }
    }
    const found = await upstream.addresses(host)
    if ('code' in found) return { reason: 'name' }
    const addresses = found.addresses.filter((address) => policy.reachesByName(address, port))
    return addresses.length > 0 ? { addresses, port } : { reason: 'guarded' }
  }

  /** The container has ended: what it sent is passed on, all else ends. */
  async close(): Promise<void> {
    await this.#acceptRest()
    for (const server of this.#servers.splice(0)) server.close()
    this.#ended = true
    for (const relay of this.#relays) relay.drain()
    const left = await withoutSilent([...this.#open])
    if (left.length === 0) return
    const timer = new AbortController()
    const late = sleep(DRAIN_MS, undefined, { signal: timer.signal }).catch(() => undefined)
    await Promise.race([Promise.all(left.map(([, { work }]) => work)), late])
    timer.abort()
    for (const each of left) breakOff(each)
    const broken = [...this.#relays]
    for (const relay of broken) relay.breakOff()
    await Promise.all(broken.map(({ done }) => done))
  }

  /** Connections that it made in its last moment wait in the queue still. Only a whole turn of the loop looks there. */
  async #acceptRest(): Promise<void> {
    await turn()
    for (let before = -1; before !== this.#accepted; ) {
      before = this.#accepted
      await turn()
    }
  }
}

/** Of those that are not joined yet: who has said nothing has nothing to be passed on. */
async function withoutSilent(connections: Array<[Socket, Connection]>): Promise<Array<[Socket, Connection]>> {
  const undecided = connections.filter(([, { before }]) => before)
  if (undecided.length === 0) return connections
  for (const [inside] of undecided) inside.read(0)
  await turn()
  const silent = new Set(undecided.filter(([inside, { before }]) => before && inside.bytesRead === 0))
  for (const each of silent) breakOff(each)
  return connections.filter((each) => !silent.has(each))
}

function breakOff([inside, { before }]: [Socket, Connection]): void {
  before?.abort()
  inside.resetAndDestroy()
}

const bracketed = (address: string) => (address.includes(':') ? `[${address}]` : address)

/** The container's own loopback leads to nobody's: whoever dials our port there has dialled nowhere. */
function isPlace(address: string): boolean {
  return !/^127\.|^::1$|^0\.|^::$/.test(address)
}

/** All networks of one container: addresses for as long as it exists, devices and names while it runs. */
import { closeSync } from 'node:fs'
import { CaissonError } from '../errors.js'
import type { NativeResolver, NativeResolverSettings } from '../native/network.js'
import { explained, type NetworkUser } from './active.js'
import type { NetworkDefinition } from './definition.js'
import {
  type Endpoint,
  type EndpointOptions,
  nameEndpoint,
  newDevice,
  portRuleOf,
  releaseEndpoint,
  renameEndpoint,
  takeEndpoint,
  unnameEndpoint,
  wireOf,
} from './endpoint.js'
import { namesDirectory } from './names.js'
import { hostAddresses, networking, placeBeside } from './place.js'
import { type checkPorts, Publications } from './ports.js'
import { formatResolvConf } from './resolv-conf.js'

/** Of the host, in containers whose network leads there. */
const HOST_NAME = 'host.caisson.internal'
/** addon/core/network/wiring.cc */
const RESOLVER_ADDRESS = '127.0.0.11'

export interface AttachmentOptions {
  user: NetworkUser
  /** The container's own, on every network; the first is what it is called. */
  names: readonly string[]
  ports: ReturnType<typeof checkPorts>
  /** Who knows the names that we do not. */
  servers: readonly string[]
  /** Of resolv.conf(5). */
  search: readonly string[]
  resolverOptions: readonly string[]
  /** What it is called for others. */
  label: string
  networks: ReadonlyArray<{ network: NetworkDefinition; options: EndpointOptions }>
}

export class Attachment {
  readonly endpoints: Endpoint[] = []
  /** The namespace of the present run, until its process is there. */
  fd = -1
  readonly publications: Publications
  readonly #options: AttachmentOptions
  #names: readonly string[]
  /** Its names are told to others. */
  #told = false
  #naming: Promise<unknown> = Promise.resolve()
  #running = false
  #resolver: NativeResolver | undefined
  #devices = 0

  private constructor(options: AttachmentOptions) {
    this.#options = options
    this.#names = options.names
    this.publications = new Publications(options.user)
  }

  static async make(options: AttachmentOptions): Promise<Attachment> {
    const made = new Attachment(options)
    try {
      for (const { network, options: each } of options.networks) await made.#take(network, each)
      if (options.ports.length > 0 && made.#wayOut?.network.internal !== false)
        throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'ports: all networks of the container are internal', {
          stage: 'options',
          hint: 'Put it on another network as well, or use container.connect(port).',
        })
      return made
    } catch (error) {
      await made.release()
      throw error
    }
  }

  async #take(network: NetworkDefinition, options: EndpointOptions): Promise<Endpoint> {
    if (this.endpoints.some((each) => each.network.id === network.id))
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `the container is on network ${network.name} already`, {
        stage: 'network',
        hint: 'Disconnect it first.',
      })
    const { user } = this.#options
    const endpoint = await takeEndpoint(network, options, { user, names: this.#names, index: this.#devices })
    this.#devices++
    this.endpoints.push(endpoint)
    return endpoint
  }

  /** Lines of /etc/hosts. */
  hosts(hostname: string, domainname?: string): string[] {
    const name = domainname ? `${hostname}.${domainname} ${hostname}` : hostname
    return this.endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ...(ipv6 ? [ipv6] : [])]).map((each) => `${each}\t${name}`)
  }

  resolvConf(): string {
    const { search, resolverOptions } = this.#options
    const options = resolverOptions.some((each) => each.startsWith('ndots:'))
      ? resolverOptions
      : [...resolverOptions, 'ndots:0']
    return formatResolvConf({ servers: [RESOLVER_ADDRESS], search, options })
  }

  /** A network namespace with all of it, connected: `make` gives one of another user namespace. */
  async start(make?: () => Promise<number>): Promise<void> {
    this.#running = true
    try {
      const made = await make?.()
      for (const endpoint of this.endpoints) endpoint.device = newDevice()
      const wires = this.endpoints.map((endpoint) => wireOf(endpoint, endpoint === this.#wayOut))
      if (made !== undefined) this.fd = made
      const wired = await explained(networking().wire(wires, this.fd, this.#resolverSettings()))
      this.#resolver = wired.resolver
      if (made === undefined) this.fd = wired.fd
      await this.#inOrder(async () => {
        this.#told = true
        for (const endpoint of this.endpoints) await nameEndpoint(endpoint, this.#options.user)
      })
      const { ports, label } = this.#options
      if (this.#wayOut) await this.publications.open(ports, this.#wayOut, label)
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Where the host is reached; none from internal networks. */
  hostAddresses(): string[] {
    const way = this.#wayOut?.network
    if (way === undefined || way.internal) return []
    // Beside the host gateways are not the host.
    return placeBeside() ? hostAddresses() : [way.ipv4.gateway, ...(way.ipv6 ? [way.ipv6.gateway] : [])]
  }

  #resolverSettings(): NativeResolverSettings {
    const way = this.#wayOut?.network
    const outward = way !== undefined && !way.internal
    const host = this.hostAddresses()
    return {
      networks: this.endpoints.filter(({ names }) => names.length > 0).map(({ network }) => namesDirectory(network.id)),
      hosts: host.length > 0 ? { [HOST_NAME]: host } : {},
      // From an internal network no question gets out either: names could carry data (CVE-2024-29018).
      servers: outward ? [...this.#options.servers] : [],
    }
  }

  #changeResolver(): void {
    if (this.#resolver) networking().changeResolver(this.#resolver, this.#resolverSettings())
  }

  get #wayOut(): Endpoint | undefined {
    return this.endpoints.find(({ network }) => !network.internal) ?? this.endpoints[0]
  }

  /** The process holds the namespace now; it ends with the last of them. */
  handedOver(): void {
    if (this.fd >= 0) closeSync(this.fd)
    this.fd = -1
  }

  /** The run has ended. */
  async stop(): Promise<void> {
    if (!this.#running) return
    this.#running = false
    this.handedOver()
    if (this.#resolver) networking().endResolver(this.#resolver)
    this.#resolver = undefined
    await this.publications.close()
    await this.#inOrder(async () => {
      this.#told = false
      for (const endpoint of this.endpoints) await unnameEndpoint(endpoint)
    })
    await explained(networking().firewall({ ports: this.endpoints.map(portRuleOf) }, false))
  }

  /** One more network; `netns` is that of the running container. */
  async connect(network: NetworkDefinition, options: EndpointOptions, netns: number | undefined): Promise<void> {
    const endpoint = await this.#take(network, options)
    if (netns === undefined) return
    try {
      await explained(networking().wire([wireOf(endpoint, this.endpoints.length === 1)], netns))
      await this.#inOrder(async () => {
        if (this.#told) await nameEndpoint(endpoint, this.#options.user)
      })
      this.#changeResolver()
    } catch (error) {
      await this.disconnect(network)
      throw error
    }
  }

  async disconnect(network: NetworkDefinition): Promise<boolean> {
    const at = this.endpoints.findIndex((each) => each.network.id === network.id)
    const endpoint = this.endpoints[at]
    if (!endpoint) return false
    this.endpoints.splice(at, 1)
    await this.#inOrder(() => unnameEndpoint(endpoint))
    this.#changeResolver()
    if (this.#running) {
      await explained(networking().removeDevice(endpoint.device))
      await explained(networking().firewall({ ports: [portRuleOf(endpoint)] }, false))
    }
    await releaseEndpoint(endpoint, this.#options.user)
    return true
  }

  /** What the container is called from now on. Its host name, and its aliases, stay. */
  async rename(name: string): Promise<void> {
    await this.#inOrder(async () => {
      const { user } = this.#options
      const [before, after] = [this.#names, [name.toLowerCase(), ...this.#names.slice(1)]]
      // Who joins a network meanwhile has them, too.
      this.#names = after
      try {
        for (const endpoint of this.endpoints) await renameEndpoint(endpoint, after, { user, told: this.#told })
      } catch (error) {
        this.#names = before
        for (const endpoint of this.endpoints)
          await renameEndpoint(endpoint, before, { user, told: this.#told }).catch(() => undefined)
        throw error
      }
    })
  }

  /** Names come and go one after the other: who gets another one may just start, or end. */
  #inOrder(work: () => Promise<void>): Promise<void> {
    const done = this.#naming.then(work)
    this.#naming = done.catch(() => undefined)
    return done
  }

  /** The container is gone. */
  async release(): Promise<void> {
    await this.stop()
    for (const endpoint of this.endpoints.splice(0)) await releaseEndpoint(endpoint, this.#options.user)
  }
}

/** All networks of one container: addresses for as long as it exists, devices and names while it runs. */
import { closeSync } from 'node:fs'
import { CaissonError } from '../errors.js'
import { addon } from '../native/addon.js'
import { explained, type NetworkUser } from './active.js'
import type { NetworkDefinition } from './definition.js'
import {
  type Endpoint,
  type EndpointOptions,
  nameEndpoint,
  portRuleOf,
  releaseEndpoint,
  takeEndpoint,
  unnameEndpoint,
  wireOf,
} from './endpoint.js'

export interface AttachmentOptions {
  user: NetworkUser
  /** The container's own, on every network. */
  names: readonly string[]
  networks: ReadonlyArray<{ network: NetworkDefinition; options: EndpointOptions }>
}

export class Attachment {
  readonly endpoints: Endpoint[] = []
  /** The namespace of the present run, until its process is there. */
  fd = -1
  readonly #options: AttachmentOptions
  #running = false
  #devices = 0

  private constructor(options: AttachmentOptions) {
    this.#options = options
  }

  static async make(options: AttachmentOptions): Promise<Attachment> {
    const made = new Attachment(options)
    try {
      for (const { network, options: each } of options.networks) await made.#take(network, each)
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
    const { user, names } = this.#options
    const endpoint = await takeEndpoint(network, options, { user, names, index: this.#devices })
    this.#devices++
    this.endpoints.push(endpoint)
    return endpoint
  }

  /** Lines of /etc/hosts. */
  hosts(hostname: string, domainname?: string): string[] {
    const name = domainname ? `${hostname}.${domainname} ${hostname}` : hostname
    return this.endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ...(ipv6 ? [ipv6] : [])]).map((each) => `${each}\t${name}`)
  }

  /** A network namespace with all of it, connected: `make` gives one of another user namespace. */
  async start(make?: () => Promise<number>): Promise<void> {
    this.#running = true
    try {
      const made = await make?.()
      const wires = this.endpoints.map((endpoint) => wireOf(endpoint, endpoint === this.#wayOut))
      if (made !== undefined) this.fd = made
      const wired = await explained(addon().network.wire(wires, this.fd))
      if (made === undefined) this.fd = wired
      for (const endpoint of this.endpoints) await nameEndpoint(endpoint, this.#options.user)
    } catch (error) {
      await this.stop()
      throw error
    }
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
    for (const endpoint of this.endpoints) await unnameEndpoint(endpoint)
    await explained(addon().network.firewall({ ports: this.endpoints.map(portRuleOf) }, false))
  }

  /** One more network; `netns` is that of the running container. */
  async connect(network: NetworkDefinition, options: EndpointOptions, netns: number | undefined): Promise<void> {
    const endpoint = await this.#take(network, options)
    if (netns === undefined) return
    try {
      await explained(addon().network.wire([wireOf(endpoint, this.endpoints.length === 1)], netns))
      await nameEndpoint(endpoint, this.#options.user)
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
    await unnameEndpoint(endpoint)
    if (this.#running) {
      await explained(addon().network.removeDevice(endpoint.device))
      await explained(addon().network.firewall({ ports: [portRuleOf(endpoint)] }, false))
    }
    await releaseEndpoint(endpoint, this.#options.user)
    return true
  }

  /** The container is gone. */
  async release(): Promise<void> {
    await this.stop()
    for (const endpoint of this.endpoints.splice(0)) await releaseEndpoint(endpoint, this.#options.user)
  }
}

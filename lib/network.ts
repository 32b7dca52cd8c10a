/** Networks that containers are connected by. */
import path from 'node:path'
import { type Container, isContainer } from './container.js'
import { CaissonError, invalidArgument } from './errors.js'
import { deactivate, networkNotFound, usersOf } from './network/active.js'
import {
  DEFAULT_NETWORK,
  type NetworkDefinition,
  readDefinition,
  readDefinitions,
  removeDefinition,
} from './network/definition.js'
import type { EndpointOptions } from './network/endpoint.js'
import { leasedAddresses } from './network/leases.js'
import { defineNetwork, type NetworkOptions } from './network/make.js'
import { attachmentsOn } from './runtime/container/attachments.js'
import { owner } from './runtime/process/owner.js'
import { type Abortable, abortable, checkAborted } from './util/abort.js'
import { checkNames, type Names } from './util/option-names.js'
import { roots } from './util/roots.js'

export type { EndpointOptions } from './network/endpoint.js'
export type { NetworkOptions } from './network/make.js'

export interface NetworkFilter extends Abortable {
  name?: string
  labels?: Record<string, string>
}

const FILTER: Names<NetworkFilter> = { name: true, labels: true, signal: true }

export interface NetworkInspection extends Omit<NetworkDefinition, 'owner' | 'mac'> {
  /** Processes that use it. */
  processes: number[]
  /** Addresses that containers of all processes have. */
  addresses: string[]
  /** Those of this process. */
  containers: Array<{ id: string; ipv4: string; ipv6?: string; mac: string; names: readonly string[] }>
}

/**
 * A bridge on the host, with addresses for the containers on it. One with a name is there until it is removed, as
 * Docker's; one without ends with this process. The device and its rules exist while a process uses the network.
 */
export class Network implements AsyncDisposable {
  readonly id: string
  readonly name: string
  readonly driver = 'bridge'
  readonly labels: Readonly<Record<string, string>>
  readonly definition: NetworkDefinition
  #removed = false

  private constructor(definition: NetworkDefinition) {
    this.definition = definition
    this.id = definition.id
    this.name = definition.name
    this.labels = definition.labels
  }

  static async create(options: NetworkOptions = {}): Promise<Network> {
    return new Network(await defineNetwork(options, await owner()))
  }

  /** By name, id, or the beginning of an id. `bridge` is always there. */
  static async get(nameOrId: string, options: Abortable = {}): Promise<Network> {
    checkAborted(options.signal, 'network')
    if (typeof nameOrId !== 'string' || nameOrId === '') throw invalidArgument('network', nameOrId, 'a name or an id')
    if (nameOrId === DEFAULT_NETWORK)
      return new Network(await defineNetwork({ name: DEFAULT_NETWORK }, await owner(), true))
    const all = await readDefinitions()
    const exact = all.find(({ name, id }) => name === nameOrId || id === nameOrId)
    const begun = nameOrId.length >= 4 ? all.filter(({ id }) => id.startsWith(nameOrId)) : []
    const found = exact ?? (begun.length === 1 ? begun[0] : undefined)
    if (!found) throw networkNotFound(nameOrId)
    return new Network(found)
  }

  static async list(filter: NetworkFilter = {}): Promise<Network[]> {
    checkNames(filter, FILTER, '')
    checkAborted(filter.signal, 'network')
    return (await readDefinitions())
      .filter(({ name }) => filter.name === undefined || filter.name === name)
      .filter(({ labels }) => Object.entries(filter.labels ?? {}).every(([key, value]) => labels[key] === value))
      .sort((a, b) => a.name.localeCompare(b.name))
      .map((definition) => new Network(definition))
  }

  /**
   * Removes those that no process uses; not the default one, nor those that end with their process. Gives the names of
   * what was removed.
   */
  static async prune(filter: NetworkFilter = {}): Promise<string[]> {
    const removed: string[] = []
    for (const network of await Network.list(filter)) {
      checkAborted(filter.signal, 'network')
      const { name, definition } = network
      if (name === DEFAULT_NETWORK || definition.owner !== undefined) continue
      try {
        await network.remove()
        removed.push(name)
      } catch (error) {
        if (!(error instanceof CaissonError && error.code === 'ERR_CAISSON_IN_USE')) throw error
      }
    }
    return removed
  }

  /** One more network for a container of this process, running or not. */
  async connect(container: Container, { signal, ...options }: EndpointOptions & Abortable = {}): Promise<void> {
    this.#mustExist('connect')
    checkAborted(signal, 'network')
    if (!isContainer(container)) throw invalidArgument('container', container, 'a Container')
    await container.joinNetwork(this.definition, options)
  }

  async disconnect(container: Container, options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'network')
    if (!isContainer(container)) throw invalidArgument('container', container, 'a Container')
    await container.leaveNetwork(this.definition)
  }

  async inspect(options: Abortable = {}): Promise<NetworkInspection> {
    this.#mustExist('inspect')
    checkAborted(options.signal, 'network')
    const { owner: _, mac: __, ...definition } = this.definition
    return {
      ...definition,
      processes: await usersOf(definition.bridge, path.join(roots().run, 'owners')),
      addresses: await leasedAddresses(this.id),
      containers: attachmentsOn(this.id).map(({ id, endpoint: { ipv4, ipv6, mac, names } }) => ({
        id,
        ipv4,
        ipv6,
        mac,
        names,
      })),
    }
  }

  /** An error while a container is on it, and of the default one, as Docker's. Removing twice is no error. */
  remove(options: Abortable = {}): Promise<void> {
    return abortable(options.signal, 'network', () => this.#remove())
  }

  async #remove(): Promise<void> {
    if (this.name === DEFAULT_NETWORK)
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `${this.name} is a pre-defined network`, {
        stage: 'network',
        hint: 'It is always there, and cannot be removed; make one with Network.create() to have one that can.',
      })
    if (this.#removed || (await readDefinition(this.name))?.id !== this.id) {
      this.#removed = true
      return
    }
    const used = attachmentsOn(this.id)
    if (used.length > 0)
      throw new CaissonError(
        'ERR_CAISSON_IN_USE',
        `network ${this.name} is used by ${used.map(({ id }) => id.slice(0, 12)).join(', ')}`,
        { stage: 'network', hint: 'Remove these containers, or disconnect them, first.' },
      )
    await deactivate(this.definition, await owner())
    await removeDefinition(this.name)
    this.#removed = true
  }

  /** The default one stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.name !== DEFAULT_NETWORK) await this.remove()
  }

  #mustExist(what: string): void {
    if (!this.#removed) return
    throw new CaissonError('ERR_CAISSON_INVALID_STATE', `${what}: network ${this.name} is removed`, {
      stage: 'network',
      hint: 'Make a new one.',
    })
  }
}

/**
 * Who has which address of a network: a symbolic link for each, made in one step or not at all, that leads to the
 * directory of its owner. When that is gone (the watchdog removes it), so is the lease.
 */
import { mkdir, readdir, readlink, stat, symlink, unlink } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import { addon } from '../native/addon.js'
import { roots } from '../util/roots.js'
import { formatAddress, parseAddress, parseSubnet, sizeOf } from './addresses.js'
import type { NetworkDefinition } from './definition.js'
import { isHost } from './subnets.js'

export const networkRun = (id: string) => path.join(roots().run, 'networks', id)
const leasesOf = (id: string) => path.join(networkRun(id), 'addresses')

/** Where the next search begins, by network: an address that was just given back is not given at once to another. */
const cursors = new Map<string, bigint>()

/** `holder`: a path that exists as long as the lease is to hold. */
export class Leases {
  readonly #network: NetworkDefinition
  readonly #holder: string

  constructor(network: NetworkDefinition, holder: string) {
    this.#network = network
    this.#holder = holder
  }

  async prepare(): Promise<void> {
    await mkdir(leasesOf(this.#network.id), { recursive: true, mode: 0o711 })
    await mkdir(path.join(networkRun(this.#network.id), 'names'), { recursive: true, mode: 0o711 })
  }

  /** A given one that another has is an error. */
  async take(asked: string): Promise<void> {
    if (await this.#try(asked)) return
    throw new CaissonError('ERR_CAISSON_ADDRESS_IN_USE', `${asked} is taken on network ${this.#network.name}`, {
      stage: 'network',
      hint: 'Leave the address out to get a free one, or remove the container that has it.',
    })
  }

  /** The next free one. */
  async next(): Promise<string> {
    const { id, name, ipv4 } = this.#network
    const subnet = parseSubnet(ipv4.subnet, 'subnet')
    const size = sizeOf(subnet)
    let taken: Set<string> | undefined
    for (let tried = 0n; tried < size; tried++) {
      // Moved on before anything is awaited: of two that search at once each has places of its own.
      const offset = cursors.get(id) ?? 2n
      cursors.set(id, (offset + 1n) % size)
      const address = { family: 4 as const, value: subnet.base + offset }
      const text = formatAddress(address)
      if (text === ipv4.gateway || !isHost(subnet, address) || taken?.has(text)) continue
      if (await this.#try(text)) return text
      // One look at all of them instead of one try for each.
      if (tried > 8n) taken ??= await this.#live()
    }
    throw new CaissonError('ERR_CAISSON_RESOURCE_EXHAUSTED', `network ${name} has no free address in ${ipv4.subnet}`, {
      stage: 'network',
      hint: 'Remove containers, or make a network with a larger subnet.',
    })
  }

  async release(address: string): Promise<void> {
    const file = path.join(leasesOf(this.#network.id), address)
    if ((await readlink(file).catch(() => undefined)) === this.#holder) await unlink(file).catch(() => undefined)
  }

  async #try(address: string): Promise<boolean> {
    const file = path.join(leasesOf(this.#network.id), address)
    try {
      await symlink(this.#holder, file)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (await stat(file).catch(() => undefined)) return false
    return this.#inherit(file)
  }

  /** Of a dead owner; not when another process was quicker. */
  async #inherit(file: string): Promise<boolean> {
    const lock = await addon().lock(path.join(networkRun(this.#network.id), 'leases.lock'), true, true)
    try {
      if (await stat(file).catch(() => undefined)) return false
      await unlink(file).catch(() => undefined)
      await symlink(this.#holder, file)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    } finally {
      addon().closeFd(lock)
    }
  }

  async #live(): Promise<Set<string>> {
    const live = new Set<string>()
    const directory = leasesOf(this.#network.id)
    for (const name of await readdir(directory).catch(() => []))
      if (await stat(path.join(directory, name)).catch(() => undefined)) live.add(name)
    return live
  }
}

/** Addresses that live owners hold. */
export async function leasedAddresses(id: string): Promise<string[]> {
  const directory = leasesOf(id)
  const found: string[] = []
  for (const name of await readdir(directory).catch(() => []))
    if (parseAddress(name) && (await stat(path.join(directory, name)).catch(() => undefined))) found.push(name)
  return found
}

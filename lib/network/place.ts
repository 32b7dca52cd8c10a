/**
 * Where networks are: for root on the host itself. An ordinary user has no rights there; runtime/user/outer-network.ts
 * makes a place beside it, in which everything is done by the same calls.
 */
import { networkInterfaces } from 'node:os'
import { addon } from '../native/addon.js'
import type { NativeNetwork } from '../native/network.js'

export interface NetworkPlace {
  calls: NativeNetwork
  /** Names of the network devices there. */
  devices(): string[]
  /** Processes of this user whose networks are in another place, where nothing of ours is reached. */
  apartFrom(): number[]
  /** Resolves when packets get from there to the world; an error says what that takes. */
  reachWorld(): Promise<void>
}

let beside: NetworkPlace | undefined

export function networksAreBeside(place: NetworkPlace): void {
  beside = place
}

/** undefined: on the host. */
export const placeBeside = (): NetworkPlace | undefined => beside

export const networking = (): NativeNetwork => beside?.calls ?? addon().network

/** Addresses by which the host is reached from beside it: never its loopback. One of each version of IP. */
export function hostAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const outside = all.filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
  const first = (family: string) => outside.find((each) => each.family === family)?.address
  return [first('IPv4'), first('IPv6')].filter((address) => address !== undefined)
}

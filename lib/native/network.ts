/** What the addon exports about networks. Addresses are text, with the length of their network behind a slash. */
import type { NativeAgent, NativeFailure } from './addon.js'

export interface NativeBridge {
  name: string
  mac: string
  mtu?: number
  addresses: string[]
}

/** One container on one network: a pair of devices. */
export interface NativeWire {
  /** Of the bridge's port. */
  name: string
  bridge: string
  /** Of the device in the container. */
  inside: string
  mac: string
  mtu?: number
  bigTcp: boolean
  addresses: string[]
  /** Without a length; where packets to everywhere else go. */
  gateways: string[]
}

export interface NativePublished {
  protocol: 'tcp' | 'udp'
  /** Of the host; absent: all of the family of `to`. */
  address?: string
  port: number
  to: string
  toPort: number
}

/** What rules are about; each part may be absent. */
export interface NativeRules {
  networks?: Array<{ bridge: string; outward: boolean; metadata: boolean }>
  ports?: Array<{ name: string; mac: string; bridge: string; addresses: string[] }>
  published?: NativePublished[]
  opened?: string[]
}

export interface NativeResolverSettings {
  /** Directories of names (lib/network/names.ts). */
  networks: string[]
  /** Addresses by name, in small letters. */
  hosts: Record<string, string[]>
  /** Who is asked about the rest; none: it does not exist. */
  servers: string[]
}

declare const resolver: unique symbol
export interface NativeResolver {
  readonly [resolver]: true
}

declare const publication: unique symbol
export interface NativePublication {
  handle: { readonly [publication]: true }
  port: number
}

declare const passage: unique symbol
/** Two connections that are one (addon/core/network/passage.h). */
export interface NativePassage {
  readonly [passage]: true
}

/** Descriptors; -1: there is no IPv6. */
export interface NativeCaptiveSockets {
  routes: number
  rules: number
  namesUdp: number
  namesTcp: number
  streams4: number
  streams6: number
}

export interface NativeCaptiveSettings {
  /** Addresses of the container, with the length of the network. */
  own4: string
  own6: string
  /** All that could be allowed: the kernel refuses the rest by itself. Absent: everything comes to us. */
  open?: Array<{ network: string; first: number; last: number }>
}

/** Networks of one place: this process's own network namespace, or one beside it. */
export interface NativeNetwork {
  /** Of where an agent is that waits in AGENT (addon/init/agent.h). The agent must not be closed. */
  beside(agent: NativeAgent): NativeNetwork
  /** Of a place beside: another agent in the same network namespace, as the one before has ended. */
  renew(agent: NativeAgent): Promise<void>
  /** Gives the one that is there its addresses, and makes it if there is none. */
  makeBridge(bridge: NativeBridge): Promise<void>
  /** None of that name is no error. */
  removeDevice(name: string): Promise<void>
  /** Networks that the host has routes to, or addresses in, whatever the place. */
  taken(): Promise<Array<{ network: string; device: string }>>
  /** Devices of the host that a default route leads through. */
  uplinks(): Promise<string[]>
  /** One transaction; what is there already, or not there any more, is no error. */
  firewall(rules: NativeRules, add: boolean): Promise<void>
  /** Chains of others that drop what is forwarded, as `ip filter FORWARD`. */
  droppingChains(): Promise<string[]>
  /** Sockets on all the addresses, on one port (0: a free one), that pass on what comes to them. */
  publish(request: {
    protocol: 'tcp' | 'udp'
    addresses: readonly string[]
    port: number
    to: string
    toPort: number
  }): Promise<NativePublication>
  /** Ends it with all connections through it. */
  unpublish(handle: NativePublication['handle']): void
  /** Into a namespace, or (-1) a new one, whose descriptor it gives; with a name server on 127.0.0.11 in it. */
  wire(
    wires: NativeWire[],
    netns: number,
    resolver?: NativeResolverSettings,
  ): Promise<{ fd: number; resolver?: NativeResolver }>
  /**
   * Makes a namespace one that leads to our sockets alone (core/network/captive.h), which were made in it; `routes` and
   * `rules` are taken over. Gives whether IPv6 is captured: 1, or 0 where the host has none.
   */
  capture(sockets: NativeCaptiveSockets, settings: NativeCaptiveSettings): Promise<number>
  /** Nobody may share the port of a datagram socket. Gives the failure, if it is one. */
  keepPort(fd: number): NativeFailure | undefined
  /**
   * Each of two connected sockets gets what the other says; they stay the caller's, to be closed. `gone`: its end. Nothing
   * where there are not enough descriptors. `buffer`: bytes that each socket and pipe holds at most; 0: what the kernel
   * gives.
   */
  passOn(inside: number, outside: number, gone: () => void, buffer: number): NativePassage | undefined
  /** Bytes from the inside and to it. */
  passed(passage: NativePassage): [number, number]
  /** Nobody is left inside: what was said there is passed on, and that is the end. */
  drain(passage: NativePassage): void
  breakOff(passage: NativePassage): void
  changeResolver(resolver: NativeResolver, settings: NativeResolverSettings): void
  endResolver(resolver: NativeResolver): void
}

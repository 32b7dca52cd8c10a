/** Which servers answer for a registry, and how they are reached. */
import type { SecureContext } from 'node:tls'
import type { AddressKind } from './address.js'
import { certificateDirectories, loadHostTls } from './certificates.js'
import { isNamedInsecure, loadConfiguration, parseMirror, type RegistryConfiguration } from './configuration.js'
import type { Target } from './connect.js'
import { checkAuth, storedCredentials } from './credentials.js'
import { Endpoint, type EndpointOptions, type Route } from './endpoint.js'
import { defaultScheme, registryHost } from './host.js'
import { type RegistryClientOptions, timeoutOptions } from './options.js'
import { proxyFor } from './proxy.js'
import { Transport } from './transport.js'

export class Servers implements Route {
  readonly #options: RegistryClientOptions
  readonly #env: NodeJS.ProcessEnv
  readonly #transport: Transport
  readonly #contexts = new Map<string, Promise<SecureContext | undefined>>()
  readonly #endpoints = new Map<string, Promise<Endpoint>>()
  #configuration: Promise<RegistryConfiguration> | undefined

  constructor(options: RegistryClientOptions) {
    this.#options = options
    this.#env = options.env ?? process.env
    this.#transport = new Transport(timeoutOptions(options))
  }

  /** Mirrors in their order, then the registry itself. */
  async forPull(registry: string, repository: string): Promise<Endpoint[]> {
    const { mirrors } = await this.#configured()
    const named = Object.hasOwn(mirrors, registry) ? (mirrors[registry] as string[]) : []
    const endpoints = await Promise.all(
      named.map(parseMirror).map(({ host, scheme }) => this.#endpoint(host, repository, registry, true, scheme)),
    )
    return [...endpoints, await this.origin(registry, repository)]
  }

  /** The registry itself. */
  origin(registry: string, repository: string): Promise<Endpoint> {
    return this.#endpoint(registryHost(registry), repository, registry, false)
  }

  async targetFor(url: URL, from?: AddressKind): Promise<Target> {
    const proxy = proxyFor(url, this.#env)
    const context = url.protocol === 'https:' ? await this.#contextFor(url) : undefined
    const verify = context !== undefined || !(await this.#mayBeInsecure(url.host))
    const insecure = isNamedInsecure(url.host, await this.#configured())
    return { url, context, verify: verify && !insecure, proxy, from }
  }

  close(): void {
    this.#transport.close()
  }

  #configured(): Promise<RegistryConfiguration> {
    this.#configuration ??= loadConfiguration(this.#options, this.#env)
    return this.#configuration
  }

  /** One for each repository: what is kept of credentials may be for one of them only. */
  #endpoint(
    host: string,
    repository: string,
    registry: string,
    mirror: boolean,
    scheme?: 'http' | 'https',
  ): Promise<Endpoint> {
    const key = [host, repository, mirror, scheme].join(' ')
    let endpoint = this.#endpoints.get(key)
    if (!endpoint) {
      endpoint = this.#newEndpoint(host, mirror, scheme, (signal) =>
        this.#credentials(host, repository, registry, mirror, signal),
      )
      this.#endpoints.set(key, endpoint)
      endpoint.catch(() => this.#endpoints.delete(key))
    }
    return endpoint
  }

  async #newEndpoint(
    host: string,
    mirror: boolean,
    scheme: 'http' | 'https' | undefined,
    credentials: EndpointOptions['credentials'],
  ): Promise<Endpoint> {
    const { tokenServers } = await this.#configured()
    return new Endpoint({
      host,
      mirror,
      scheme: scheme ?? (await this.#schemeOf(host)),
      transport: this.#transport,
      route: this,
      trusted: new Set(tokenServers),
      credentials,
    })
  }

  async #credentials(host: string, repository: string, registry: string, mirror: boolean, signal?: AbortSignal) {
    const { auth } = this.#options
    if (typeof auth === 'function') {
      const given = await auth(mirror ? host : registry)
      return given && checkAuth(given)
    }
    if (auth !== undefined && !mirror) return checkAuth(auth)
    return storedCredentials(host, repository, this.#env, signal)
  }

  /** A host on this machine for which there are certificates is meant to be spoken to with them. */
  async #schemeOf(host: string): Promise<'https' | 'probe'> {
    if (isNamedInsecure(host, await this.#configured())) return 'probe'
    if (!(await this.#mayBeInsecure(host))) return 'https'
    return (await this.#contextFor(new URL(`https://${host}`))) ? 'https' : 'probe'
  }

  async #mayBeInsecure(host: string): Promise<boolean> {
    return defaultScheme(host) === 'http' || isNamedInsecure(host, await this.#configured())
  }

  #contextFor(url: URL): Promise<SecureContext | undefined> {
    const directories = this.#options.certificateDirectories ?? certificateDirectories()
    let context = this.#contexts.get(url.host)
    if (!context) {
      const names = url.port === '' ? [url.host, `${url.host}:443`] : [url.host]
      context = firstContext(names, directories)
      this.#contexts.set(url.host, context)
    }
    return context
  }
}

async function firstContext(names: string[], directories: readonly string[]): Promise<SecureContext | undefined> {
  for (const name of names) {
    const found = await loadHostTls(name, directories)
    if (found) return found.context
  }
  return undefined
}
